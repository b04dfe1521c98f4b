"""One process at a time: a lock on a file, which the system takes back from a process that dies."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_POLL_SECONDS = 0.02


class LockedError(Exception):
    """Another process has held the lock for longer than we were to wait."""


@contextmanager
def locked(path: Path, *, seconds: float) -> Generator[None]:
    """Hold the lock on a file, which is made if need be and stays. Raises LockedError after so many seconds."""
    deadline = time.monotonic() + seconds
    with path.open("ab") as file:
        while True:
            try:
                _try_lock(file)
            except OSError:
                if time.monotonic() >= deadline:
                    raise LockedError(str(path)) from None
                time.sleep(_POLL_SECONDS)  # neither system can wait for a lock and a deadline together
            else:
                break
        yield  # closing the file gives the lock back
