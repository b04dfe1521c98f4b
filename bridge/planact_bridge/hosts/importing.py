"""A host's servers into Planact's own mcp.json; with `adopt`, out of the host. Nothing is written: see `changes`.

A secret that the host looks up stays looked up: its reference is written in Planact's spelling, and Planact's entry in
the host passes the value on. Texts that stand in the host's file are copied as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from planact_bridge.hosts import files
from planact_bridge.hosts.changes import Change, Edit
from planact_bridge.hosts.editing import edit, servers_in
from planact_bridge.hosts.errors import HostError, SyntaxProblem, UneditableError
from planact_bridge.hosts.host import ENTRY
from planact_bridge.hosts.installing import Read, merged, read
from planact_bridge.hosts.references import NotAdoptable, NotAServer
from planact_bridge.hosts.texts import JSON
from planact_bridge.mcp_json import SERVER_MAPS, why_unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from planact_bridge.hosts.dialect import Launch
    from planact_bridge.hosts.host import Place
    from planact_bridge.hosts.machine import Machine
    from planact_tools import JSONObject, JSONValue

Fate: TypeAlias = Literal["added", "present", "other", "unusable"]
"""`present`: Planact has it already. `other`: Planact has another one of that name. The last two stay in the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What becomes of one server of a host."""

    name: str
    fate: Fate
    reason: str = ""
    """Why it is not taken over."""

    entry: JSONObject = field(default_factory=dict[str, "JSONValue"])
    """As Planact's mcp.json has it."""

    passes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables in the entry → how the host spells their values."""

    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """All servers of a host's file, and the change that takes them over."""

    imports: tuple[Import, ...]
    change: Change


def importing(
    place: Place, target: Path, machine: Machine, *, adopt: Callable[[Mapping[str, str]], Launch] | None = None
) -> Importing:
    """Return what an import does to `target`, Planact's mcp.json. Raises HostError.

    `adopt` makes the launch that takes the servers' place in the host from the variables that it has to pass on.
    """
    theirs, ours = read(place), _Ours.read(target)
    found = [ours.compare(name, raw, place, machine) for name, raw in theirs.servers.items() if name != ENTRY]
    imports = [each for each in found if each is not None]
    added = {each.name: each.entry for each in imports if each.fate == "added"}
    edits: list[Edit] = [ours.with_entries(added)] if added else []
    taken = [each for each in imports if each.fate in ("added", "present")]
    if adopt is not None and taken:
        passes = {name: spelled for each in taken for name, spelled in each.passes.items()}
        entry = merged(theirs.servers.get(ENTRY), place.dialect.write(adopt(passes)))
        edits.append(theirs.edited({**{each.name: None for each in taken}, ENTRY: entry}))
    change = Change(
        action="import",
        host=place.host.name,
        scope=place.scope,
        edits=tuple(edits),
        notices=tuple(_not_read(theirs)) if place.scope == "user" else (),
    )
    return Importing(imports=tuple(imports), change=change)


def _not_read(theirs: Read) -> Iterator[str]:
    """Yield what is said of servers that count in one folder only."""
    host = theirs.place.host
    for folder, servers in host.local(theirs.value).items():
        names = [name for name in servers if name != ENTRY] if isinstance(servers, dict) else []
        if names:
            yield (
                f"{host.title} has servers for {folder} alone, which are not read: {', '.join(names)}. "
                f"Move what you want elsewhere to {host.title}'s user scope, then import again."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ours:
    """Planact's own mcp.json."""

    path: Path
    content: bytes | None
    text: str
    key: str
    servers: Mapping[str, JSONValue]

    @classmethod
    def read(cls, path: Path) -> _Ours:
        content = files.read(path)
        text = "" if content is None else files.decode(path, content)
        try:
            value = JSON.parse(text)
            named = [key for key in SERVER_MAPS if isinstance(value, dict) and key in value]
            key = named[0] if named else SERVER_MAPS[0]
            servers = servers_in(value, (key,))
        except SyntaxProblem as problem:
            raise HostError(f"{path}{problem.where}: {problem.reason}. Mend it, then try again.") from None
        except UneditableError as problem:
            raise HostError(f"{path}: {problem}. Mend it, then try again.") from None
        return cls(path=path, content=content, text=text, key=key, servers=servers)

    def compare(self, name: str, raw: JSONValue, place: Place, machine: Machine) -> Import | None:
        """Return what becomes of a server; None for what is a part of the host."""
        try:
            adopted = place.dialect.adopt(raw, machine, folder=place.folder)
        except NotAServer:
            return None
        except NotAdoptable as reason:
            return Import(name=name, fate="unusable", reason=str(reason))
        # What the host hands over has a value by the time that Planact reads the entry; a URL may be made of it.
        environ = {**machine.environ, **dict.fromkeys(adopted.passes, "https://value")}
        unusable = why_unusable(name, adopted.entry, path=self.path, environ=environ)
        if unusable is not None:
            return Import(name=name, fate="unusable", reason=unusable)
        fate: Fate = "added"
        reason = ""
        if name in self.servers:
            fate = "present" if self.servers[name] == adopted.entry else "other"
            reason = "" if fate == "present" else f"{self.path} has another server of that name, so rename one of them"
        return Import(
            name=name,
            fate=fate,
            reason=reason,
            entry=adopted.entry,
            passes=adopted.passes,
            notices=adopted.notices,
        )

    def with_entries(self, entries: Mapping[str, JSONObject]) -> Edit:
        try:
            text = edit(JSON, self.text, (self.key,), entries)
        except UneditableError as problem:
            raise HostError(f"{self.path} was not touched: {problem}. Mend it, then try again.") from None
        return Edit(
            path=self.path,
            before=self.content,
            after=text.encode(),
            syntax=JSON,
            keys=(self.key,),
            names=tuple(entries),
            private=True,
        )
