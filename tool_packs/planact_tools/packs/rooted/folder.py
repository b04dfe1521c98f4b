"""One folder held open, and what may be done to the names in it.

A `Folder` takes single names, never paths, and follows no link: whoever goes from a root through `Folder`s
cannot leave it. `descriptors` is the one for POSIX, `paths` the one for Windows.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO

Kind: TypeAlias = Literal["file", "folder", "link", "other"]


class RefusedError(Exception):
    """A path may not be used. The message goes on after the path: "is a link; …"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A name in a folder, as it was when it was looked at. A link is itself, not what it leads to."""

    name: str
    kind: Kind
    size: int
    modified: float
    """Seconds since 1970, UTC."""

    mode: int
    links: int
    """How many names the file has. More than one: another may lie outside the root."""


class Folder(Protocol):
    """A folder that stays open until it is closed. Everything here may raise OSError."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def entries(self) -> Sequence[Entry]:
        """Return what is in it, by name."""
        ...

    def find(self, name: str) -> Entry | None:
        """Return one entry, None if there is none."""
        ...

    def folder(self, name: str) -> Self:
        """Open a folder in it. Raises RefusedError for anything else."""
        ...

    def read(self, name: str) -> FileIO:
        """Open a regular file; never waits for a pipe. Raises RefusedError for anything else."""
        ...

    def append(self, name: str) -> FileIO:
        """Open a regular file to write at its end, making it if need be. Raises RefusedError for anything else."""
        ...

    def create(self, name: str, *, mode: int | None) -> FileIO:
        """Make a new file, with these permissions if given. Raises FileExistsError."""
        ...

    def make_folder(self, name: str) -> None: ...

    def replace(self, name: str, target: Self, new_name: str) -> None:
        """Give an entry another place, in one step, replacing a file there."""
        ...

    def move(self, name: str, target: Self, new_name: str) -> None:
        """Give an entry another place. Raises FileExistsError where something is there."""
        ...

    def remove(self, name: str) -> None: ...

    def remove_folder(self, name: str) -> None: ...


def split(path: str) -> tuple[str, ...]:
    """Return the names in a relative path. Raises RefusedError for one that does not stay below its start."""
    separators = {"/", os.sep}
    if "\0" in path:
        raise RefusedError("contains a null character.")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise RefusedError("is not valid Unicode text.") from None
    if path[:1] in separators:
        raise RefusedError("is absolute. Paths start from this pack's folder, like 'notes/today.md'.")
    for separator in separators:
        path = path.replace(separator, "/")
    names = tuple(name for name in path.split("/") if name not in ("", "."))
    if ".." in names:
        raise RefusedError("goes up with '..'. Write the path as it is seen from this pack's folder.")
    return names


def entry(name: str, status: os.stat_result) -> Entry:
    """Describe what `lstat` says about a name."""
    # Windows: a junction is a folder to `stat`, and leads elsewhere all the same.
    is_link = stat.S_ISLNK(status.st_mode) or bool(getattr(status, "st_reparse_tag", 0))
    return Entry(
        name=name,
        kind="link" if is_link else _kind(status.st_mode),
        size=status.st_size,
        modified=status.st_mtime,
        mode=stat.S_IMODE(status.st_mode),
        links=status.st_nlink,
    )


def check_kind(found: Entry, wanted: Literal["file", "folder"]) -> None:
    """Raise RefusedError where an entry is something else."""
    if found.kind == wanted:
        return
    if found.kind == "link":
        raise RefusedError("is a link; links are not followed.")
    what = "a pipe, a socket or a device" if found.kind == "other" else f"a {found.kind}"
    raise RefusedError(f"is {what}, not a {wanted}.")


def _kind(mode: int) -> Kind:
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"
