"""goose: YAML, `cmd` and `envs`, and secrets that it keeps in the system's keyring and hands on by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect, Launch, Plain, rest_of, switched_off, texts_of
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.references import NotAServer
from planact_bridge.hosts.texts import YAML

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject

_TAKEN = frozenset({"type", "cmd", "args", "envs", "env_keys", "uri", "headers", "bundled", "display_name"})
_TRANSPORTS = {"stdio": None, "streamable_http": "http", "sse": "sse"}
_SECONDS = 300
"""How long goose waits for a call; as long as a plan may take."""


def _file(machine: Machine) -> Path:
    if machine.platform == "windows":
        return machine.roaming / "Block" / "goose" / "config" / "config.yaml"
    return machine.xdg_config / "goose" / "config.yaml"


def _write(launch: Launch) -> JSONObject:
    return {
        "enabled": True,
        "type": "stdio",
        "name": "planact",
        "description": "Runs Python plans over other MCP servers",
        "cmd": launch.command,
        "args": [*launch.args],
        "envs": {},
        "env_keys": [*sorted(launch.passes)],
        "timeout": _SECONDS,
    }


def _read(raw: JSONObject) -> Plain:
    kind = raw.get("type")
    if kind not in _TRANSPORTS:
        raise NotAServer(f"it is a part of goose (`type: {kind}`)")
    keys = raw.get("env_keys")
    names = [name for name in keys if isinstance(name, str)] if isinstance(keys, list) else []
    env: JSONObject = {**texts_of(raw, "envs"), **{name: f"${{{name}}}" for name in names}}
    if kind == "stdio":
        entry: JSONObject = {"command": raw.get("cmd"), "args": raw.get("args") or []}
        entry |= {"env": env} if env else {}
    else:
        entry = {"url": raw.get("uri"), "type": _TRANSPORTS[kind]}
        entry |= {"headers": {**texts_of(raw, "headers")}} if raw.get("headers") else {}
    if isinstance(raw.get("timeout"), int):
        entry["timeout"] = raw["timeout"]
    if switched_off(raw):
        entry["disabled"] = True
    return Plain(entry=entry, passes={name: name for name in names}, rest=rest_of(raw, _TAKEN))


HOST = Host(
    name="goose",
    title="goose",
    user=_file,
    dialect=Dialect(syntax=YAML, keys=("extensions",), write=_write, read=_read),
    reread="Start a new goose session.",
)
