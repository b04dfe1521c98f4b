"""Reading files that somebody else may have put there.

A file in a cloned folder can be a pipe that never ends, a device, a link to anywhere, or enormous.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


class FileUnreadableError(Exception):
    """The file is there but cannot be used; the message says why."""


def read_regular_file(path: Path, *, most_bytes: int) -> bytes | None:
    """Return the content, or None if nothing is there (a dangling link is nothing).

    Never waits: a pipe, a socket or a device is refused. Raises FileUnreadableError.
    """
    try:
        # Opening a pipe for reading waits for a writer unless told otherwise. Windows has no such pipes in folders.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        # Windows refuses to open a folder at all; and Path.is_dir raises where the way there is closed.
        if os.path.isdir(path):  # noqa: PTH112
            raise FileUnreadableError(f"{str(path)!r} is a folder, not a file.") from None
        raise FileUnreadableError(f"{str(path)!r} cannot be read: {_words(error)}.") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            what = "folder" if stat.S_ISDIR(mode) else "pipe or device"
            raise FileUnreadableError(f"{str(path)!r} is a {what}, not a file.")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise FileUnreadableError(f"{str(path)!r} is larger than {most_bytes:,} bytes.")
    return content


def real_path(path: Path) -> Path:
    """Return where a path leads, absolute; links that go round in circles stay. Path.resolve raises for them."""
    return Path(os.path.realpath(path))


def _words(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
