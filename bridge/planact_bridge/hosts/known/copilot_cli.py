"""GitHub Copilot CLI: an entry says which of its tools may be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect, Launch, write_common
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.references import SHELL
from planact_bridge.hosts.texts import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject


def _file(machine: Machine) -> Path:
    return (machine.folder("COPILOT_HOME") or machine.home / ".copilot") / "mcp-config.json"


def _write(launch: Launch) -> JSONObject:
    return {"type": "local", **write_common(launch), "tools": ["*"]}


HOST = Host(
    name="copilot-cli",
    title="Copilot CLI",
    user=_file,
    # It reads a project's .mcp.json, too; but that is Claude Code's, which knows no `local`.
    project=lambda folder: folder / ".github" / "mcp.json",
    dialect=Dialect(syntax=JSON, keys=("mcpServers",), write=_write, references=SHELL),
    reread="Start Copilot CLI again; `/mcp show` lists its servers.",
)
