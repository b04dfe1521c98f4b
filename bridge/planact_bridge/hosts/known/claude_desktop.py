"""Claude Desktop. On Windows the packaged installation reads a copy of %APPDATA% that only it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.machine import is_there
from planact_bridge.hosts.texts import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine

_NAME = "claude_desktop_config.json"


def _file(machine: Machine) -> Path:
    usual = machine.application_support / "Claude" / _NAME
    if machine.platform != "windows":
        return usual
    packaged = [package / "LocalCache" / "Roaming" / "Claude" / _NAME for package in _packages(machine)]
    # An older installation may have left its file behind; the packaged one does not look there.
    return next((path for path in packaged if is_there(path)), packaged[0] if packaged else usual)


def _packages(machine: Machine) -> tuple[Path, ...]:
    return tuple(sorted((machine.local / "Packages").glob("Claude_*")))


HOST = Host(
    name="claude-desktop",
    title="Claude Desktop",
    user=_file,
    marks=lambda machine: _packages(machine) if machine.platform == "windows" else (),
    dialect=Dialect(syntax=JSON, keys=("mcpServers",)),
    reread="Quit Claude Desktop and start it again; closing its window is not enough.",
)
