"""Claude Code. Its user file holds much else, and is written by every session of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect, Launch, write_common
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.references import BRACED
from planact_bridge.hosts.texts import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject


def _file(machine: Machine) -> Path:
    return (machine.folder("CLAUDE_CONFIG_DIR") or machine.home) / ".claude.json"


def _write(launch: Launch) -> JSONObject:
    return {"type": "stdio", **write_common(launch)}


HOST = Host(
    name="claude-code",
    title="Claude Code",
    user=_file,
    project=lambda folder: folder / ".mcp.json",
    marks=lambda machine: (machine.home / ".claude",),
    dialect=Dialect(syntax=JSON, keys=("mcpServers",), write=_write, references=BRACED),
    reread="Start a new session of Claude Code; `/mcp` shows its servers.",
)
