"""Files of gigabytes: whether there is room for them, their hash, copies of them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

Report: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes done so far and those there are, None when that is not known."""

CHUNK: Final = 1 << 20
SPARE_BYTES: Final = 256 << 20
"""What is left free on the disk besides: a full one breaks more than us."""


class NoSpaceError(Exception):
    """There is no room for a file. The message says how much is missing, and where."""


def silent(done: int, total: int | None) -> None:
    """Report to nobody."""


def free_bytes(folder: Path) -> int:
    """Return how much may still be written into a folder's file system."""
    return shutil.disk_usage(folder).free


def require_space(folder: Path, size: int, *, what: str) -> None:
    """Raise NoSpaceError unless so many bytes fit into a folder."""
    free = free_bytes(folder)
    if size + SPARE_BYTES > free:
        raise NoSpaceError(
            f"{what} needs {megabytes(size)} in {str(folder)!r}, and {megabytes(SPARE_BYTES)} should stay free; "
            f"{megabytes(free)} are. Make room, or let PLANACT_HOME name a folder on a larger disk."
        )


def megabytes(size: int) -> str:
    """Return a size as people read it, in powers of ten: `398 MB`, `1.93 GB`."""
    if size < 1_000_000:
        return f"{size / 1e3:.0f} kB"
    if size < 10_000_000:
        return f"{size / 1e6:.2f} MB"
    return f"{size / 1e6:.0f} MB" if size < 1_000_000_000 else f"{size / 1e9:.2f} GB"


def sha256_of(path: Path, *, report: Report = silent) -> str:
    """Return the hash of a file. Raises OSError."""
    hashed, total, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
            done += len(chunk)
            report(done, total)
    return hashed.hexdigest()


def copy(source: Path, target: Path, *, report: Report = silent) -> str:
    """Copy a file and return its hash. Raises OSError; what is at `target` then is not whole."""
    hashed, total, done = hashlib.sha256(), source.stat().st_size, 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(CHUNK):
            writing.write(chunk)
            hashed.update(chunk)
            done += len(chunk)
            report(done, total)
        writing.flush()
        os.fsync(writing.fileno())
    return hashed.hexdigest()
