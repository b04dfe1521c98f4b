"""How a host writes one server, and how Planact writes the same."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planact_bridge.hosts.references import LITERAL, NotAdoptable, NotAServer, References

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from planact_bridge.hosts.machine import Machine
    from planact_bridge.hosts.texts import Syntax
    from planact_bridge.hosts.texts.syntax import Keys
    from planact_tools import JSONObject, JSONValue

_TAKEN = frozenset({"command", "args", "env", "cwd", "url", "serverUrl", "httpUrl", "headers", "type", "transport"})
_SWITCHES = frozenset({"disabled", "enabled"})
_CHATTER = frozenset({"name", "description", "icon", "gallery", "version", "source", "trust", "dev", "timeout"})
"""What an entry says to its host only, and nobody misses."""

_STREAMABLE = frozenset({"http", "streamable-http", "streamableHttp", "streamable_http", "remote"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a host has to start."""

    command: str
    """An absolute path: hosts do not read a shell's PATH."""

    args: tuple[str, ...]
    passes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that Planact needs from the host, each with the host's own spelling of the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A host's server as Planact's mcp.json has it."""

    entry: JSONObject
    passes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables in the entry → the host's spelling of their values."""

    notices: tuple[str, ...] = ()
    """What is different with Planact, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """An entry in the standard spelling, its texts still as the host spells them."""

    entry: JSONObject
    passes: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the entry says outside of its texts: variables that the host hands on by name."""

    rest: tuple[str, ...] = ()
    """Keys that have no counterpart."""


def write_common(launch: Launch) -> JSONObject:
    """Return the entry that most hosts share."""
    env: JSONObject = {"env": dict(launch.passes)} if launch.passes else {}
    return {"command": launch.command, "args": [*launch.args], **env}


def read_common(raw: JSONObject) -> Plain:
    """Return an entry of the shared shape. Raises NotAdoptable."""
    if "envFile" in raw:
        raise NotAdoptable("it reads variables from a file (`envFile`), and Planact does not")
    said = {key: value for key, value in raw.items() if value not in (None, {}, [])}
    entry: JSONObject = {key: said[key] for key in ("command", "args", "env", "cwd", "headers") if key in said}
    url = next((raw[key] for key in ("url", "serverUrl", "httpUrl") if raw.get(key)), None)
    if url is not None:
        entry["url"] = url
    kind = raw.get("type", raw.get("transport"))
    if url is not None and isinstance(kind, str):
        entry["type"] = "http" if kind in _STREAMABLE else kind
    if switched_off(raw):
        entry["disabled"] = True
    return Plain(entry=entry, rest=rest_of(raw, _TAKEN))


def switched_off(raw: JSONObject) -> bool:
    return raw.get("disabled") is True or raw.get("enabled") is False


def rest_of(raw: JSONObject, taken: frozenset[str]) -> tuple[str, ...]:
    """Return the keys of an entry that say something and are not taken over."""
    return tuple(
        key
        for key, value in raw.items()
        if key not in taken | _SWITCHES | _CHATTER and value not in (None, {}, [], "", ["*"])
    )


def texts_of(raw: JSONObject, key: str) -> dict[str, str]:
    """Return an object of texts. Raises NotAdoptable for what is no text; numbers and switches are written as one."""
    value = raw.get(key)
    texts: dict[str, str] = {}
    for name, each in value.items() if isinstance(value, dict) else ():
        if not isinstance(each, str | int | float):
            raise NotAdoptable(f"its {key}[{name!r}] is no text")
        texts[name] = each if isinstance(each, str) else json.dumps(each)
    return texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One shape of a configuration file."""

    syntax: Syntax
    keys: Keys
    """The way to the servers."""

    keys_in: Callable[[JSONValue], Keys | None] = lambda _: None
    """Another way to them that this very file goes; None for `keys`."""

    write: Callable[[Launch], JSONObject] = write_common
    read: Callable[[JSONObject], Plain] = read_common
    references: References = LITERAL

    def keys_of(self, value: JSONValue) -> Keys:
        """Return the way to the servers in a file of this content."""
        return self.keys_in(value) or self.keys

    def adopt(self, raw: JSONValue, machine: Machine, *, folder: Path | None = None) -> Adopted:
        """Return an entry in Planact's spelling; `folder` is what its relative paths are meant from.

        Raises NotAdoptable.
        """
        if not isinstance(raw, dict):
            raise NotAdoptable("its entry is no object")
        plain = self.read(raw)
        if not isinstance(plain.entry.get("command", plain.entry.get("url")), str):
            raise NotAServer("it has neither a `command` nor a `url`")
        passes = dict(plain.passes)

        def translated(text: str) -> str:
            if any(f"${{{name}}}" in text for name in plain.passes):
                return text  # passed on by name, and so spelt for Planact already
            text, found = self.references.translate(text, machine)
            passes.update(found)
            return text

        entry = _map_texts(plain.entry, translated)
        if folder is not None and "command" in entry:
            entry |= _placed(entry, folder)
        return Adopted(entry=entry, passes=passes, notices=tuple(self._notices(plain)))

    def _notices(self, plain: Plain) -> list[str]:
        notices = [f"`{key}` has no counterpart and is left out" for key in plain.rest]
        if self.references.pattern is None and "${" in str(plain.entry) and not plain.passes:
            notices.append("Planact replaces ${…} in it by the value of the variable, which the host did not")
        if "${workspaceFolder}" in str(plain.entry):
            notices.append("`${workspaceFolder}` is the folder that Planact is started in")
        return notices


def _placed(entry: JSONObject, folder: Path) -> JSONObject:
    """Return command and working folder with their relative paths meant from a project's folder."""
    command, cwd = str(entry["command"]), str(entry.get("cwd", ""))
    relative = command.startswith(("./", "../", ".\\", "..\\"))
    inside = cwd.startswith(("${", "~"))
    return {
        "command": os.path.normpath(folder / command) if relative else command,
        "cwd": cwd if inside else os.path.normpath(folder / cwd),
    }


def _map_texts(entry: JSONObject, change: Callable[[str], str]) -> JSONObject:
    def mapped(value: JSONValue) -> JSONValue:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, list):
            return [mapped(item) for item in value]
        if isinstance(value, dict):
            return {key: mapped(item) for key, item in value.items()}
        return value

    return {key: mapped(value) for key, value in entry.items()}
