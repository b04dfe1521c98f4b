"""Folders on POSIX: every name is opened relative to the descriptor of the folder that holds it.

`O_NOFOLLOW` on each of them: a link that somebody swaps in between two steps is an error, not a way out.
"""

from __future__ import annotations

import errno
import os
import sys
from io import FileIO
from typing import TYPE_CHECKING, Self

from planact_tools.packs.rooted.folder import Entry, RefusedError, check_kind, entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Tells the type checker, too, that what follows is not for Windows, where `os` lacks half of it.
assert sys.platform != "win32"  # noqa: S101

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a pipe waits for its other end unless told not to.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class DescriptorFolder:
    """A Folder that is an open descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open_root(cls, path: Path) -> Self:
        """Open the folder that a resolved path leads to."""
        return cls(os.open(path, _FOLDER))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def entries(self) -> Sequence[Entry]:
        found = (self.find(name) for name in sorted(os.listdir(self._descriptor)))  # noqa: PTH208 - of a descriptor
        return [entry for entry in found if entry is not None]

    def find(self, name: str) -> Entry | None:
        try:
            return entry(name, os.stat(name, dir_fd=self._descriptor, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def folder(self, name: str) -> Self:
        try:
            return type(self)(os.open(name, _FOLDER, dir_fd=self._descriptor))
        except OSError:
            found = self.find(name)
            if found is not None:
                check_kind(found, "folder")
            raise

    def read(self, name: str) -> FileIO:
        self._check_file(name)  # opening a device can already do something
        return self._open_file(name, _READ, "rb")

    def append(self, name: str) -> FileIO:
        self._check_file(name)
        return self._open_file(name, _APPEND, "ab")

    def create(self, name: str, *, mode: int | None) -> FileIO:
        descriptor = os.open(name, _CREATE, 0o666, dir_fd=self._descriptor)
        file = FileIO(descriptor, "wb")
        if mode is not None:
            os.fchmod(descriptor, mode & 0o777)
        return file

    def make_folder(self, name: str) -> None:
        os.mkdir(name, dir_fd=self._descriptor)

    def replace(self, name: str, target: Self, new_name: str) -> None:
        os.rename(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=target._descriptor)

    def move(self, name: str, target: Self, new_name: str) -> None:
        found = self.find(name)
        if found is not None and found.kind == "file" and self._link(name, target, new_name):
            self.remove(name)
            return
        # A folder replaces at most an empty folder; a file system without hard links leaves a moment between.
        if target.find(new_name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self.replace(name, target, new_name)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._descriptor)

    def remove_folder(self, name: str) -> None:
        os.rmdir(name, dir_fd=self._descriptor)

    def _check_file(self, name: str) -> None:
        found = self.find(name)
        if found is not None:
            check_kind(found, "file")

    def _open_file(self, name: str, flags: int, mode: str) -> FileIO:
        try:
            descriptor = os.open(name, flags, 0o666, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK):
                raise RefusedError("is a link; links are not followed.") from None
            raise
        file = FileIO(descriptor, mode)
        try:
            check_kind(entry(name, os.fstat(descriptor)), "file")
        except BaseException:
            file.close()
            raise
        return file

    def _link(self, name: str, target: Self, new_name: str) -> bool:
        """Give a file a second name, which fails where something is there, as renaming does not."""
        try:
            os.link(
                name,
                new_name,
                src_dir_fd=self._descriptor,
                dst_dir_fd=target._descriptor,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno in _NO_HARD_LINKS:
                return False
            raise
        return True
