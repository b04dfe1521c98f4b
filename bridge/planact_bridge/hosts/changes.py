"""A change to hosts: worked out first, shown as a diff, then made at once, remembered, and taken back.

The journal remembers for each file which bytes were before and after, and where the old ones are kept. Taking back puts
the old bytes in place as long as the file is as the change left it; after that, only the entries are put back.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from planact_bridge.hosts import files
from planact_bridge.hosts.editing import edit, servers_in
from planact_bridge.hosts.errors import HostError, SyntaxProblem, UneditableError
from planact_bridge.hosts.host import ENTRY
from planact_bridge.hosts.texts import JSON, TOML, YAML
from planact_bridge.hosts.texts.syntax import LISTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from planact_bridge.hosts.host import Scope
    from planact_bridge.hosts.texts import Syntax
    from planact_bridge.hosts.texts.syntax import Keys
    from planact_tools import JSONObject, JSONValue

Action: TypeAlias = Literal["install", "uninstall", "import", "undo"]

_SYNTAXES = {syntax.name: syntax for syntax in (JSON, TOML, YAML)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One file, before and after."""

    path: Path
    before: bytes | None
    after: bytes | None
    syntax: Syntax
    keys: Keys
    names: tuple[str, ...]
    """The entries that differ."""

    private: bool = False
    """Whether a new file is readable by its owner only."""

    @property
    def changed(self) -> bool:
        return self.before != self.after

    def servers_after(self) -> dict[str, JSONValue]:
        """Return the entries in the file afterwards."""
        return servers_in(self.syntax.parse(files.decode(self.path, self.after or b"")), self.keys)

    def diff(self) -> str:
        """Return the change as a unified diff."""
        old, new = (_lines(content) for content in (self.before, self.after))
        names = (
            str(self.path) if self.before is not None else "/dev/null",
            str(self.path) if self.after is not None else "/dev/null",
        )
        return "".join(difflib.unified_diff(old, new, *names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one command does to files. Nothing has been touched yet."""

    action: Action
    host: str
    scope: Scope
    edits: tuple[Edit, ...]
    notices: tuple[str, ...] = ()
    undoes: Record | None = None
    """The change that it takes back."""

    @property
    def changed(self) -> bool:
        return any(edit.changed for edit in self.edits)

    def diff(self) -> str:
        return "".join(edit.diff() for edit in self.edits if edit.changed)

    def leaves_planact(self) -> bool | None:
        """Return whether the host has Planact afterwards; None where the change is none to its file."""
        ours = [each for each in self.edits if ENTRY in each.names]
        return any(ENTRY in each.servers_after() for each in ours) if ours else None


class EditRecord(BaseModel):
    """What is remembered of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    before: str | None
    """Digest; None where there was no file."""
    after: str | None
    backup: str | None
    """The file that has the old bytes."""
    syntax: Literal["json", "toml", "yaml"]
    keys: tuple[str, ...]
    names: tuple[str, ...]
    folders: tuple[str, ...] = ()
    """Folders that were made for the file, innermost first."""


class Record(BaseModel):
    """What is remembered of one change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    scope: Literal["user", "project"]
    action: Literal["install", "uninstall", "import", "undo"]
    at: str
    edits: tuple[EditRecord, ...]

    def touches(self, path: Path) -> bool:
        return any(Path(edit.path) == path for edit in self.edits)


_RECORDS = TypeAdapter(list[Record])


@dataclass(frozen=True, slots=True)
class Journal:
    """The changes that can be taken back, in a file of Planact's own."""

    path: Path

    def records(self) -> list[Record]:
        """Return them, the oldest first. Raises HostError where the file is damaged."""
        content = files.read(self.path)
        if content is None:
            return []
        try:
            return _RECORDS.validate_json(content)
        except ValidationError:
            raise HostError(
                f"{str(self.path)!r}, where changes to hosts are remembered, is damaged. Move it away to go on; "
                f"the old files lie beside the new ones, named *{files.BACKUP}."
            ) from None

    def last(self, host: str, path: Path | None = None) -> Record | None:
        """Return the newest change of a host, or of one file of it."""
        own = [record for record in self.records() if record.host == host]
        return next((each for each in reversed(own) if path is None or each.touches(path)), None)

    def write(self, records: list[Record]) -> None:
        content = json.dumps([record.model_dump() for record in records], indent=1).encode()
        files.replace(self.path, before=files.read(self.path), after=content, mode=files.PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of a change."""

    backups: Mapping[Path, Path] = field(default_factory=dict[Path, Path])
    """File → where its old bytes are."""


def apply(change: Change, journal: Journal) -> Applied:
    """Make a change: all of its files, or none. Raises HostError."""
    edits = [each for each in change.edits if each.changed]
    for each in edits:
        files.require(each.path, each.before)
    records = journal.records()
    if change.undoes is not None:
        left = [record for record in records if record != change.undoes]
        _write_all(edits)
        _clear_up(change.undoes, edits, left)
        journal.write(left)
        return Applied()
    backups: dict[Path, Path] = {}
    folders = {each.path: _missing_folders(each.path) for each in edits}
    for each in edits:
        if each.before is not None:
            backups[each.path] = files.keep(each.path, each.before)
    _write_all(edits)
    if edits:
        try:
            journal.write([*records, _record(change, edits, backups, folders)])
        except HostError:
            # Without a record there is no way back, so there must be nothing to go back from.
            _take_back(edits)
            raise
    return Applied(backups=backups)


def undoing(record: Record, others: Iterable[Record] = ()) -> Change:
    """Return the change that takes a recorded one back. Raises HostError where the old bytes are gone.

    What hosts of `others` have given up for an entry in Planact's mcp.json keeps that entry.
    """
    edits: list[Edit] = []
    notices: list[str] = []
    others = [other for other in others if other != record]
    for each in record.edits:
        path = Path(each.path)
        now, old = files.read(path), _old_bytes(each)
        adopted = _adopted(others, each.path)
        stays = [name for name in each.names if name in adopted and ENTRY not in each.names]
        back = tuple(name for name in each.names if name not in stays)
        after = old
        if files.digest(now) == each.before:
            after = now
        elif stays or files.digest(now) != each.after:
            after = _put_back(each, back, now, old)
            notices += [f"{name} stays in {path}: {adopted[name]} has given it up for Planact, too." for name in stays]
        if back and files.digest(now) not in (each.before, each.after):
            notices.append(
                f"{path} was changed since; of it, only these entries become what they were: {', '.join(back)}."
            )
        syntax = _SYNTAXES[each.syntax]
        edits.append(Edit(path=path, before=now, after=after, syntax=syntax, keys=each.keys, names=each.names))
    return Change(
        action="undo",
        host=record.host,
        scope=record.scope,
        edits=tuple(edits),
        notices=tuple(notices),
        undoes=record,
    )


def emptied(before: JSONValue, keys: Keys) -> tuple[Keys, ...]:
    """Return the ways to what goes when nothing is left in it, since a file of this content did not have it."""
    missing: list[Keys] = []
    names = [key for key in keys if key != LISTED]
    for depth, key in enumerate(names, start=1):
        before = before.get(key) if isinstance(before, dict) else None
        if before is None:
            missing.insert(0, names[:depth])
    return tuple(missing)


def _adopted(records: Iterable[Record], ours: str) -> dict[str, str]:
    """Return the entries of this mcp.json that hosts have given up for it → such a host."""
    by_file: dict[str, dict[str, str]] = {}
    for record in records:
        servers = [each for each in record.edits if ENTRY not in each.names and each.path != ours]
        elsewhere = {name for each in servers for name in each.names}
        for each in record.edits:
            if record.action == "import" and ENTRY in each.names:
                names = [name for name in each.names if name not in elsewhere]
                by_file.setdefault(each.path, {}).update(dict.fromkeys(names, record.host))
            elif record.action == "uninstall":
                by_file.pop(each.path, None)
    return {name: host for names in by_file.values() for name, host in names.items()}


def _put_back(record: EditRecord, names: Iterable[str], now: bytes | None, old: bytes | None) -> bytes:
    """Return a file with these of the recorded entries as they were and everything else as it is."""
    path, syntax = Path(record.path), _SYNTAXES[record.syntax]
    try:
        was = syntax.parse(files.decode(path, old or b""))
        entries = servers_in(was, record.keys)
        before: dict[str, JSONObject | None] = {}
        for name in names:
            entry = entries.get(name)
            before[name] = entry if isinstance(entry, dict) else None
        text = files.decode(path, now or b"")
        return edit(syntax, text, record.keys, before, drop_empty=emptied(was, record.keys)).encode()
    except (SyntaxProblem, UneditableError) as problem:
        beside = f" The old file is {record.backup!r}." if record.backup else ""
        raise HostError(f"{path} was changed since and cannot be edited now: {problem}.{beside}") from None


def _old_bytes(record: EditRecord) -> bytes | None:
    if record.before is None:
        return None
    content = files.read(Path(record.backup)) if record.backup else None
    if files.digest(content) != record.before:
        raise HostError(f"The backup {record.backup!r} is gone or was changed, so this cannot be undone.")
    return content


def _write_all(edits: list[Edit]) -> None:
    done: list[Edit] = []
    try:
        for each in edits:
            mode = files.PRIVATE if each.private else files.PUBLIC
            files.replace(each.path, before=each.before, after=each.after, mode=mode)
            done.append(each)
    except HostError:
        _take_back(done)
        raise


def _take_back(edits: list[Edit]) -> None:
    for each in reversed(edits):
        files.replace(each.path, before=each.after, after=each.before)


def _clear_up(record: Record, edits: list[Edit], left: list[Record]) -> None:
    """Remove the backups that are in place again, and the folders that were made for a file that is gone."""
    needed = {each.backup for other in left for each in other.edits}
    for each in record.edits:
        path = Path(each.path)
        if each.backup and each.backup not in needed and files.digest(files.read(path)) == each.before:
            Path(each.backup).unlink(missing_ok=True)
        if any(one.path == path and one.after is None for one in edits):
            for folder in each.folders:
                if Path(folder).is_dir() and not any(Path(folder).iterdir()):
                    Path(folder).rmdir()


def _missing_folders(path: Path) -> list[str]:
    return [str(folder) for folder in path.parents if not folder.exists()]


def _record(
    change: Change, edits: list[Edit], backups: Mapping[Path, Path], folders: Mapping[Path, list[str]]
) -> Record:
    return Record(
        host=change.host,
        scope=change.scope,
        action=change.action,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        edits=tuple(
            EditRecord(
                path=str(each.path),
                before=files.digest(each.before),
                after=files.digest(each.after),
                backup=str(backups[each.path]) if each.path in backups else None,
                syntax=each.syntax.name,
                keys=tuple(each.keys),
                names=each.names,
                folders=tuple(folders[each.path]),
            )
            for each in edits
        ),
    )


def _lines(content: bytes | None) -> list[str]:
    if not content:
        return []
    *whole, rest = content.decode("utf-8", "replace").split("\n")
    lines = [f"{line.removesuffix(chr(13))}\n" for line in whole]
    return [*lines, f"{rest}\n\\ No newline at end of file\n"] if rest else lines
