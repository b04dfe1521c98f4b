"""Folders where there is no opening relative to a descriptor: Windows. Every step resolves and checks.

Weaker than `descriptors` in one way: somebody who swaps a folder for a link between a check and the use of
a path can redirect a write. What is opened is compared with what was checked, so reads and appends cannot be.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from io import FileIO
from typing import TYPE_CHECKING, Self

from planact_tools.packs.rooted.folder import Entry, RefusedError, check_kind, entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | _BINARY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


class PathFolder:
    """A Folder that is a resolved path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def open_root(cls, path: Path) -> Self:
        """Open the folder that a resolved path leads to."""
        os.scandir(path).close()  # fails where it is none
        return cls(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def entries(self) -> Sequence[Entry]:
        self.check_unmoved()
        with os.scandir(self._path) as scan:
            return sorted((entry(item.name, os.lstat(item.path)) for item in scan), key=lambda found: found.name)

    def find(self, name: str) -> Entry | None:
        try:
            return entry(name, os.lstat(self._at(name)))
        except FileNotFoundError:
            return None

    def folder(self, name: str) -> Self:
        found = self.find(name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        check_kind(found, "folder")
        inner = type(self)(self._at(name))
        inner.check_unmoved()
        return inner

    def read(self, name: str) -> FileIO:
        return self._open_file(name, _READ, "rb")

    def append(self, name: str) -> FileIO:
        return self._open_file(name, _APPEND, "ab")

    def create(self, name: str, *, mode: int | None) -> FileIO:
        path = self._at(name)
        file = FileIO(os.open(path, _CREATE, 0o666), "wb")
        if mode is not None:
            path.chmod(stat.S_IMODE(mode) & 0o777)
        return file

    def make_folder(self, name: str) -> None:
        self._at(name).mkdir()

    def replace(self, name: str, target: Self, new_name: str) -> None:
        self._at(name).replace(target._at(new_name))

    def move(self, name: str, target: Self, new_name: str) -> None:
        if target.find(new_name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._at(name).rename(target._at(new_name))  # on Windows this, too, fails where something is there

    def remove(self, name: str) -> None:
        self._at(name).unlink()

    def remove_folder(self, name: str) -> None:
        self._at(name).rmdir()

    def _at(self, name: str) -> Path:
        if _FORBIDDEN.search(name) or _DEVICE.fullmatch(name):
            raise RefusedError("is not a name that Windows can keep.")
        self.check_unmoved()
        return self._path / name

    def check_unmoved(self) -> None:
        """Raise RefusedError where the path does not lead to itself any more."""
        real = os.path.realpath(self._path)
        if os.path.normcase(real) != os.path.normcase(self._path):
            raise RefusedError("leads through a link; links are not followed.")

    def _open_file(self, name: str, flags: int, mode: str) -> FileIO:
        path = self._at(name)
        found = self.find(name)
        if found is not None:
            check_kind(found, "file")
        file = FileIO(os.open(path, flags, 0o666), mode)
        try:
            opened = os.fstat(file.fileno())
            check_kind(entry(name, opened), "file")
            self.check_unmoved()
            if not os.path.samestat(opened, os.lstat(path)):
                raise RefusedError("is a link; links are not followed.")
        except BaseException:
            file.close()
            raise
        return file
