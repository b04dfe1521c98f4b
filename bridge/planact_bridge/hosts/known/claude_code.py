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
    from planact_tools import JSONObject, JSONValue


def _file(machine: Machine) -> Path:
    return (machine.folder("CLAUDE_CONFIG_DIR") or machine.home) / ".claude.json"


def _write(launch: Launch) -> JSONObject:
    return {"type": "stdio", **write_common(launch)}


def _local(value: JSONValue) -> dict[str, JSONValue]:
    """Return what `claude mcp add` makes unless it is told otherwise: servers of one user in one folder."""
    projects = value.get("projects") if isinstance(value, dict) else None
    if not isinstance(projects, dict):
        return {}
    return {
        folder: of_it["mcpServers"]
        for folder, of_it in projects.items()
        if isinstance(of_it, dict) and of_it.get("mcpServers")
    }


HOST = Host(
    name="claude-code",
    title="Claude Code",
    user=_file,
    project=lambda folder: folder / ".mcp.json",
    local=_local,
    marks=lambda machine: (machine.home / ".claude",),
    dialect=Dialect(syntax=JSON, keys=("mcpServers",), write=_write, references=BRACED),
    reread="Start a new session of Claude Code; `/mcp` shows its servers.",
)
