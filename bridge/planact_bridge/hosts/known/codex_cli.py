"""Codex CLI: TOML, and variables that are handed on by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_bridge.hosts.dialect import Dialect, Launch, Plain, rest_of, switched_off, texts_of
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.texts import TOML

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject

_TAKEN = frozenset(
    {
        *("command", "args", "env", "env_vars", "cwd", "url", "bearer_token_env_var", "http_headers"),
        *("env_http_headers", "tool_timeout_sec", "startup_timeout_sec"),
    }
)


def _file(machine: Machine) -> Path:
    return (machine.folder("CODEX_HOME") or machine.home / ".codex") / "config.toml"


def _write(launch: Launch) -> JSONObject:
    named: JSONObject = {"env_vars": [*sorted(launch.passes)]} if launch.passes else {}
    return {"command": launch.command, "args": [*launch.args], **named}


def _read(raw: JSONObject) -> Plain:
    passed: list[str] = []

    def variable(name: str) -> str:
        passed.append(name)
        return f"${{{name}}}"

    names = raw.get("env_vars")
    listed = names if isinstance(names, list) else []
    env: JSONObject = {name: variable(name) for name in listed if isinstance(name, str)}
    headers: JSONObject = {name: variable(value) for name, value in texts_of(raw, "env_http_headers").items()}
    token = raw.get("bearer_token_env_var")
    if isinstance(token, str):
        headers["Authorization"] = f"Bearer {variable(token)}"
    entry = {key: raw[key] for key in ("command", "args", "cwd", "url") if raw.get(key) not in (None, [])}
    if env or raw.get("env"):
        entry["env"] = {**texts_of(raw, "env"), **env}
    if headers or raw.get("http_headers"):
        entry["headers"] = {**texts_of(raw, "http_headers"), **headers}
    if "tool_timeout_sec" in raw:
        entry["timeout"] = raw["tool_timeout_sec"]
    if switched_off(raw):
        entry["disabled"] = True
    return Plain(entry=entry, passes={name: name for name in passed}, rest=rest_of(raw, _TAKEN))


HOST = Host(
    name="codex-cli",
    title="Codex CLI",
    user=_file,
    project=lambda folder: folder / ".codex" / "config.toml",
    dialect=Dialect(syntax=TOML, keys=("mcp_servers",), write=_write, read=_read),
    reread="Start Codex again; `/mcp` shows its servers.",
    found="It reads a project's file only where it trusts the project.",
)
