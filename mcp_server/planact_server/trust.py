"""Whether the files of a folder are the ones that the user has trusted.

A cloned folder may bring a planact.toml and an mcp.json that name programs to start and packs to import.
Trust binds to the folder's path and to what those files, and the pack files that they name, contain.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from planact_server.regular_file import FileUnreadableError, read_regular_file
from planact_server.toml_text import parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS_NAME = "planact.toml"
SERVERS_NAME = "mcp.json"

MOST_FILE_BYTES = 256 * 1024
"""Largest planact.toml or mcp.json read from a folder; parsing bigger ones takes time that nobody agreed to."""

MOST_PACK_BYTES = 16 * 1024 * 1024
MOST_PACK_FILES = 1_000

_ABSENT = "absent"


class TrustError(Exception):
    """The folder cannot be trusted; the message says why."""


class TrustStore(Protocol):
    """Where trust is remembered between processes."""

    def trusted_folder(self, folder: str) -> Mapping[str, str] | None: ...

    def trust_folder(self, folder: str, fingerprint: Mapping[str, str]) -> None: ...

    def distrust_folder(self, folder: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFiles:
    """What a folder brings. Its two files are read once: what is hashed is what is parsed; packs are read again."""

    folder: Path
    """Resolved: two ways to the same folder are one folder."""

    settings: bytes | None = None
    """The content of its planact.toml."""

    servers: bytes | None = None
    """The content of its mcp.json."""

    packs: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Its own packs: as planact.toml names them → where they are."""

    problem: str | None = None
    """Why the files could not be read; such a folder is never trusted."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return which of the two files were found."""
        return tuple(name for name in (SETTINGS_NAME, SERVERS_NAME) if os.path.lexists(self.folder / name))


def examine(folder: Path) -> FolderFiles | None:
    """Read what `folder` brings; None if it brings nothing. Never raises, never waits."""
    folder = folder.resolve()
    try:
        settings = read_regular_file(folder / SETTINGS_NAME, most_bytes=MOST_FILE_BYTES)
        servers = read_regular_file(folder / SERVERS_NAME, most_bytes=MOST_FILE_BYTES)
    except FileUnreadableError as error:
        return FolderFiles(folder=folder, problem=str(error))
    if settings is None and servers is None:
        return None
    return FolderFiles(folder=folder, settings=settings, servers=servers, packs=_own_packs(settings, folder))


def fingerprint(files: FolderFiles) -> dict[str, str]:
    """Return file → hash for everything that trust binds to. Raises TrustError.

    Reads every file of the folder's packs, so ask only where trust is in question.
    """
    if files.problem is not None:
        raise TrustError(f"The folder {str(files.folder)!r} cannot be trusted: {files.problem}")
    try:
        return _fingerprint(files)
    except FileUnreadableError as error:
        raise TrustError(f"The folder {str(files.folder)!r} cannot be trusted: {error}") from None


def changes(files: FolderFiles, trusted: Mapping[str, str]) -> tuple[str, ...]:
    """Return what differs from what was trusted, in words; nothing when the folder is as it was. Raises TrustError."""
    now = fingerprint(files)
    words: list[str] = []
    for name in dict.fromkeys((*now, *trusted)):
        before, after = trusted.get(name, _ABSENT), now.get(name, _ABSENT)
        if before != after:
            verb = "is new" if before == _ABSENT else "is gone" if after == _ABSENT else "changed"
            words.append(f"{name} {verb}")
    return tuple(words)


def trust_folder(store: TrustStore, files: FolderFiles) -> None:
    """Remember the folder as it was read and as its packs are now. Raises TrustError."""
    store.trust_folder(str(files.folder), fingerprint(files))


def local_pack(spec: str, base: Path) -> Path | None:
    """Return the path that a pack's name stands for, None for the name of a shipped pack.

    A path has a separator, begins with a dot or a tilde, or ends in `.py`.
    """
    if not (spec.startswith((".", "~")) or "/" in spec or "\\" in spec or spec.endswith(".py")):
        return None
    return base / os.path.expanduser(spec)  # noqa: PTH111 - Path.expanduser raises for an unknown user


def _own_packs(settings: bytes | None, folder: Path) -> dict[str, Path]:
    try:
        named = parse_toml(settings or b"").get("packs")
    except ValueError:
        return {}
    if not isinstance(named, list):
        return {}
    found: dict[str, Path] = {}
    for spec in named:  # pyright: ignore[reportUnknownVariableType] - TOML from anybody
        path = local_pack(spec, folder) if isinstance(spec, str) else None
        if isinstance(spec, str) and path is not None:
            found[spec] = path
    return found


def _fingerprint(files: FolderFiles) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for name, content in ((SETTINGS_NAME, files.settings), (SERVERS_NAME, files.servers)):
        if content is not None:
            hashes[name] = _hash(content)
    room = MOST_PACK_BYTES
    for spec, path in files.packs.items():
        for name, file in _pack_files(spec, path):
            content = read_regular_file(file, most_bytes=room)
            hashes[name] = _ABSENT if content is None else _hash(content)
            room -= len(content or b"")
            if len(hashes) > MOST_PACK_FILES:
                raise FileUnreadableError(f"its packs have more than {MOST_PACK_FILES:,} files.")
    return hashes


def _pack_files(spec: str, path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield spec, path
        return
    for seen, (parent, folders, names) in enumerate(os.walk(path)):
        if seen > MOST_PACK_FILES:
            raise FileUnreadableError(f"{str(path)!r} has more than {MOST_PACK_FILES:,} folders.")
        for name in folders:
            # What a link to a folder leads to could change without anything here changing.
            if (Path(parent) / name).is_symlink():
                raise FileUnreadableError(f"{str(Path(parent) / name)!r} is a link to a folder.")
        # Python writes __pycache__ itself. Packs are compiled from their source, never loaded from there.
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in sorted(names):
            file = Path(parent) / name
            yield f"{spec.rstrip('/')}/{file.relative_to(path).as_posix()}", file


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
