"""JetBrains Junie."""

from __future__ import annotations

from planact_bridge.hosts.dialect import Dialect
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.texts import JSON

HOST = Host(
    name="junie",
    title="JetBrains Junie",
    user=lambda machine: machine.home / ".junie" / "mcp" / "mcp.json",
    project=lambda folder: folder / ".junie" / "mcp" / "mcp.json",
    marks=lambda machine: (machine.home / ".junie",),
    dialect=Dialect(syntax=JSON, keys=("mcpServers",)),
    reread="Junie notices by itself.",
    found="Settings → Tools → Junie → MCP Settings shows the server and its switch.",
)
