"""One process at a time: a file that exists while somebody is at work."""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

LOOK_SECONDS = 0.05


@asynccontextmanager
async def alone(path: Path, *, stale_seconds: float) -> AsyncGenerator[None]:
    """Wait until no other process is in this block. One that is in it for longer than `stale_seconds` has died."""
    while not _taken(path):
        _clear(path, stale_seconds)
        await anyio.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        _leave(path)


def _taken(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def _clear(path: Path, stale_seconds: float) -> None:
    # Gone meanwhile, or not ours to remove: the next look tells.
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > stale_seconds:
            path.unlink(missing_ok=True)


def _leave(path: Path) -> None:
    path.unlink(missing_ok=True)
