"""Planact into a host's file and out of it again, and what stands there. Nothing is written here: see `changes`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from planact_bridge.hosts import files
from planact_bridge.hosts.changes import Change, Edit, Journal, emptied, undoing
from planact_bridge.hosts.editing import edit, servers_in
from planact_bridge.hosts.errors import HostError, SyntaxProblem, UneditableError
from planact_bridge.hosts.host import ENTRY
from planact_bridge.hosts.references import NotAdoptable, NotAServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planact_bridge.hosts.changes import EditRecord, Record
    from planact_bridge.hosts.dialect import Launch
    from planact_bridge.hosts.host import Place
    from planact_bridge.hosts.machine import Machine
    from planact_bridge.hosts.texts.syntax import Keys
    from planact_tools import JSONObject, JSONValue


SERVE, CONFIG = "serve", ("--config", "-c")
"""What ends the command line of every launch, and the spellings of the option that one may have behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A host's file as it is now."""

    place: Place
    content: bytes | None
    text: str = ""
    value: JSONValue = field(default_factory=dict[str, "JSONValue"])
    keys: Keys = ()
    servers: Mapping[str, JSONValue] = field(default_factory=dict[str, "JSONValue"])
    """Name → entry, ours included."""

    def edited(self, entries: Mapping[str, JSONObject | None], *, drop_empty: tuple[Keys, ...] = ()) -> Edit:
        """Return the edit that puts entries in or takes them out. Raises HostError."""
        place, dialect = self.place, self.place.dialect
        try:
            text = edit(dialect.syntax, self.text, self.keys, entries, drop_empty=drop_empty)
        except UneditableError as problem:
            raise HostError(
                f"{place.path} was not touched: {problem}. Edit it by hand; "
                f"`planact hosts install {place.host.name} --print` shows the entry."
            ) from None
        after = self.content if text == self.text else text.encode()
        return Edit(
            path=place.path,
            before=self.content,
            after=after,
            syntax=dialect.syntax,
            keys=self.keys,
            names=tuple(entries),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How one file of a host stands."""

    place: Place
    exists: bool
    planact: JSONObject | None = None
    """Our entry."""

    servers: tuple[str, ...] = ()
    """The other servers in it."""

    problem: str | None = None
    """Why it cannot be read."""


def read(place: Place) -> Read:
    """Return a host's file. Raises HostError, naming the line, for one that cannot be used."""
    content = files.read(place.path)
    text = "" if content is None else files.decode(place.path, content)
    try:
        value = place.dialect.syntax.parse(text)
        keys = place.dialect.keys_of(value)
        servers = servers_in(value, keys)
    except SyntaxProblem as problem:
        raise HostError(
            f"{place.path}{problem.where}: {problem.reason}. The file was not touched. Mend it there, or where "
            f"{place.host.title} shows it, then try again."
        ) from None
    except UneditableError as problem:
        raise HostError(f"{place.path}: {problem}. The file was not touched. Mend it, then try again.") from None
    return Read(place=place, content=content, text=text, value=value, keys=keys, servers=servers)


def look(place: Place, machine: Machine) -> Seen:
    """Return how a file stands. Never raises for what is in it."""
    try:
        now = read(place)
    except HostError as error:
        return Seen(place=place, exists=True, problem=str(error))
    ours = now.servers.get(ENTRY)
    return Seen(
        place=place,
        exists=now.content is not None,
        planact=ours if isinstance(ours, dict) else None,
        servers=tuple(name for name, raw in now.servers.items() if name != ENTRY and _is_server(place, raw, machine)),
    )


def installing(place: Place, launch: Launch) -> Change:
    """Return the change that adds Planact, or brings its entry up to date. Raises HostError."""
    now = read(place)
    edit = now.edited({ENTRY: merged(now.servers.get(ENTRY), place.dialect.write(launch))})
    return Change(action="install", host=place.host.name, scope=place.scope, edits=(edit,))


def uninstalling(place: Place, journal: Journal) -> Change:
    """Return the change that takes Planact out. Raises HostError.

    A file that is as `install` left it, or an import that replaced its servers, becomes what it was before, byte for
    byte. In another one the servers that an import took are put back.
    """
    now = read(place)
    if ENTRY not in now.servers:
        return Change(action="uninstall", host=place.host.name, scope=place.scope, edits=())
    missing: tuple[Keys, ...] = ()
    record = journal.last(place.host.name, place.path)
    if given_up := _given_up(now, journal):
        return _giving_back(now, given_up, journal)
    before = None if record is None or record.action != "install" else _value_before(place, record)
    if record is not None and before is not None:
        missing = emptied(before, now.keys)
        as_left = any(each.after == files.digest(now.content) for each in record.edits)
        # An older entry of ours, which `install` brought up to date, must not come back.
        if as_left and ENTRY not in servers_in(before, now.keys):
            return undoing(record)
    edit = now.edited({ENTRY: None}, drop_empty=missing)
    return Change(action="uninstall", host=place.host.name, scope=place.scope, edits=(edit,))


def _given_up(now: Read, journal: Journal) -> dict[str, JSONObject]:
    """Return the servers that imports have replaced by Planact since it came in, and that are not back."""
    found: dict[str, JSONObject] = {}
    for record in reversed([each for each in journal.records() if each.touches(now.place.path)]):
        value = _value_before(now.place, record)
        old = servers_in(value, now.keys) if value is not None else {}
        for name in _edit_of(record, now.place).names if record.action == "import" else ():
            if name not in now.servers and isinstance(raw := old.get(name), dict):
                found.setdefault(name, raw)
        if ENTRY not in old:
            break
    return found


def _giving_back(now: Read, servers: Mapping[str, JSONObject], journal: Journal) -> Change:
    """Return the change that takes Planact out and puts servers of the host back."""
    place, without_us = now.place, _last_without_us(now, journal)
    if without_us is None:
        edit = now.edited({**servers, ENTRY: None})
    else:
        edit = Edit(
            path=place.path,
            before=now.content,
            after=_bytes_before(without_us),
            syntax=place.dialect.syntax,
            keys=now.keys,
            names=(*servers, ENTRY),
        )
    return Change(
        action="uninstall",
        host=place.host.name,
        scope=place.scope,
        edits=(edit,),
        notices=(f"Its own servers are in it again: {', '.join(servers)}.",),
    )


def _last_without_us(now: Read, journal: Journal) -> EditRecord | None:
    """Return the edit before which Planact was not in a file that only we have changed since."""
    content = files.digest(now.content)
    for record in reversed([each for each in journal.records() if each.touches(now.place.path)]):
        edited, value = _edit_of(record, now.place), _value_before(now.place, record)
        if edited.after != content or value is None:
            return None
        if ENTRY not in servers_in(value, now.keys):
            return edited
        content = edited.before
    return None


def merged(before: JSONValue, entry: JSONObject) -> JSONObject:
    """Return our entry over one that is there already: what the user has added to it stays, a switch is turned on."""
    if not isinstance(before, dict):
        return entry
    off: JSONObject = {"enabled": False, "disabled": True}
    kept = {key: value for key, value in before.items() if off.get(key) != value and key != "name"}
    result = {**kept, **entry}
    for key in ("args", "command"):
        old, new = before.get(key), entry.get(key)
        if isinstance(old, list) and isinstance(new, list):
            result[key] = _with_options(old, new)
    for key in ("env", "envs", "environment"):
        if isinstance(before.get(key), dict):
            result[key] = {**cast("JSONObject", before[key]), **cast("JSONObject", entry.get(key, {}))}
    for key in ("env_keys", "env_vars"):
        if isinstance(before.get(key), list):
            names = [*cast("list[JSONValue]", before[key]), *cast("list[JSONValue]", entry.get(key, []))]
            result[key] = [name for number, name in enumerate(names) if name not in names[:number]]
    return result


def _with_options(old: list[JSONValue], new: list[JSONValue]) -> list[JSONValue]:
    """Return a new command line with the options of the old one, which are the user's, behind it."""
    ours = new[: new.index(SERVE) + 1] if SERVE in new else new
    if old[: len(ours)] != ours:
        return new
    options = old[len(ours) :]
    return [*new, *(_without_config(options) if len(new) > len(ours) else options)]


def _without_config(options: list[JSONValue]) -> Iterator[JSONValue]:
    """Yield options but for those that name a configuration: the last of them would count."""
    given = iter(options)
    for option in given:
        if option in CONFIG:
            next(given, None)
        elif not (isinstance(option, str) and option.startswith((f"{CONFIG[0]}=", f"{CONFIG[1]}="))):
            yield option


def shown(place: Place, launch: Launch) -> str:
    """Return our entry as text to paste, in the shape of this file."""
    dialect = place.dialect
    return dialect.syntax.show(dialect.keys, ENTRY, dialect.write(launch))


def starts(place: Place, entry: JSONObject, machine: Machine) -> str | None:
    """Return the command that an entry of ours starts; None where it has none."""
    try:
        command = place.dialect.adopt(entry, machine).entry.get("command")
    except NotAdoptable:
        return None
    return command if isinstance(command, str) else None


def _is_server(place: Place, raw: JSONValue, machine: Machine) -> bool:
    try:
        place.dialect.adopt(raw, machine)
    except NotAServer:
        return False
    except NotAdoptable:
        return True
    return True


def _value_before(place: Place, record: Record) -> JSONValue:
    """Return what a file said before a change; None where nobody knows any more."""
    edited = _edit_of(record, place)
    try:
        content = _bytes_before(edited)
        if files.digest(content) != edited.before:
            return None
        return place.dialect.syntax.parse(files.decode(place.path, content or b""))
    except (HostError, SyntaxProblem):
        return None


def _edit_of(record: Record, place: Place) -> EditRecord:
    return next(each for each in record.edits if each.path == str(place.path))


def _bytes_before(edited: EditRecord) -> bytes | None:
    return files.read(Path(edited.backup)) if edited.backup else None
