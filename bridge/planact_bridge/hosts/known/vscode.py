"""VS Code. Its file asks for secrets with `inputs`, which stay in it: Planact gets them from VS Code as variables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from planact_bridge.hosts.dialect import Dialect, Launch, write_common
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.references import VSCODE
from planact_bridge.hosts.texts import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject


def _file(machine: Machine) -> Path:
    return machine.application_support / "Code" / "User" / "mcp.json"


def _write(launch: Launch) -> JSONObject:
    return {"type": "stdio", **write_common(launch)}


def _link(name: str, entry: str) -> str:
    return f"vscode:mcp/install?{quote(json.dumps({'name': name, **json.loads(entry)}), safe='')}"


HOST = Host(
    name="vscode",
    title="VS Code",
    user=_file,
    project=lambda folder: folder / ".vscode" / "mcp.json",
    dialect=Dialect(syntax=JSON, keys=("servers",), write=_write, references=VSCODE),
    reread="VS Code notices by itself.",
    found='Run "MCP: List Servers" in it and start planact there.',
    link=_link,
)
