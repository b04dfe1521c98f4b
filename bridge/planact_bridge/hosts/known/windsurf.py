"""Windsurf."""

from __future__ import annotations

from planact_bridge.hosts.dialect import Dialect
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.references import EDITOR
from planact_bridge.hosts.texts import JSON

HOST = Host(
    name="windsurf",
    title="Windsurf",
    user=lambda machine: machine.home / ".codeium" / "windsurf" / "mcp_config.json",
    dialect=Dialect(syntax=JSON, keys=("mcpServers",), references=EDITOR),
    reread="Press the refresh button of Cascade's MCP settings.",
)
