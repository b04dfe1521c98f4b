"""opencode: a command is one list. Version 2 keeps the servers one level deeper, and reads the old place, too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect, Launch, Plain, rest_of, switched_off, texts_of
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.machine import is_there
from planact_bridge.hosts.references import OPENCODE, NotAdoptable
from planact_bridge.hosts.texts import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_bridge.hosts.texts.syntax import Keys
    from planact_tools import JSONObject, JSONValue

_TAKEN = frozenset({"type", "command", "environment", "cwd", "url", "headers"})
_FILE = re.compile(r"\{file:[^}]*\}")


def _file(machine: Machine) -> Path:
    return _in(machine.xdg_config / "opencode")


def _in(folder: Path) -> Path:
    names = ("opencode.json", "opencode.jsonc")
    return next((folder / name for name in names if is_there(folder / name)), folder / names[0])


def _keys_in(value: JSONValue) -> Keys | None:
    servers = value.get("mcp") if isinstance(value, dict) else None
    inner = servers.get("servers") if isinstance(servers, dict) else None
    return ("mcp", "servers") if isinstance(inner, dict) and not {"type", "command", "enabled"} & {*inner} else None


def _write(launch: Launch) -> JSONObject:
    environment: JSONObject = {"environment": dict(launch.passes)} if launch.passes else {}
    return {"type": "local", "command": [launch.command, *launch.args], **environment}


def _read(raw: JSONObject) -> Plain:
    if found := _FILE.search(str(raw)):
        raise NotAdoptable(f"it reads a value from a file ({found[0]}), and Planact does not")
    command = raw.get("command")
    entry: JSONObject = {}
    if isinstance(command, list) and command:
        entry |= {"command": command[0], "args": command[1:]}
    elif raw.get("url"):
        entry |= {"url": raw["url"]}
    for own, theirs in (("env", "environment"), ("headers", "headers")):
        if raw.get(theirs):
            entry[own] = {**texts_of(raw, theirs)}
    if raw.get("cwd"):
        entry["cwd"] = raw["cwd"]
    if switched_off(raw):
        entry["disabled"] = True
    return Plain(entry=entry, rest=rest_of(raw, _TAKEN))


HOST = Host(
    name="opencode",
    title="opencode",
    user=_file,
    project=_in,
    dialect=Dialect(syntax=JSON, keys=("mcp",), keys_in=_keys_in, write=_write, read=_read, references=OPENCODE),
    reread="Start opencode again; `opencode mcp list` shows its servers.",
)
