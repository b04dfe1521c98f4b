"""LM Studio. Its own folder may have been moved, and then a file in the home folder says where to."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from planact_bridge.hosts.dialect import Dialect
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.texts import JSON

if TYPE_CHECKING:
    from planact_bridge.hosts.machine import Machine


def _file(machine: Machine) -> Path:
    try:
        moved = Path((machine.home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        moved = Path()
    return (moved if moved.is_absolute() else machine.home / ".lmstudio") / "mcp.json"


def _link(name: str, entry: str) -> str:
    return f"lmstudio://add_mcp?{urlencode({'name': name, 'config': base64.b64encode(entry.encode()).decode()})}"


HOST = Host(
    name="lm-studio",
    title="LM Studio",
    user=_file,
    dialect=Dialect(syntax=JSON, keys=("mcpServers",)),
    reread="LM Studio notices by itself.",
    found="Switch mcp/planact on in the chat's integrations.",
    link=_link,
)
