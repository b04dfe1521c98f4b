"""Zed. Servers are a part of its settings; extensions keep entries there that have no command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect, Launch, Plain, read_common
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.texts import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject


def _file(machine: Machine) -> Path:
    folder = machine.roaming / "Zed" if machine.platform == "windows" else machine.xdg_config / "zed"
    return folder / "settings.json"


def _write(launch: Launch) -> JSONObject:
    # Older versions want to be told where an entry comes from, and its variables even if there are none.
    return {"source": "custom", "command": launch.command, "args": [*launch.args], "env": dict(launch.passes)}


def _read(raw: JSONObject) -> Plain:
    command = raw.get("command")
    if isinstance(command, dict):  # as Zed wrote it until the middle of 2025
        raw = {**raw, **command, "command": command.get("path")}
        del raw["path"]
    return read_common(raw)


HOST = Host(
    name="zed",
    title="Zed",
    user=_file,
    project=lambda folder: folder / ".zed" / "settings.json",
    dialect=Dialect(syntax=JSON, keys=("context_servers",), write=_write, read=_read),
    reread="Zed notices by itself.",
    found="The settings of its agent show the server.",
)
