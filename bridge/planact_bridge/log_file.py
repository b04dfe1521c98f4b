"""A server's standard error on disk: kept between starts, bounded, shared by all processes that run the server."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

MAX_BYTES = 1024 * 1024
"""Past this the file becomes the older one of two."""


class LogFile:
    """Appends to a file; what cannot be written is lost, for a log must not cost a server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._complained = False

    def note(self, text: str) -> None:
        """Write a line of our own, with the time."""
        self.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S%z')} {text}\n".encode())

    def write(self, data: bytes) -> None:
        try:
            os.write(self._opened(), data[-MAX_BYTES:])
        except OSError as error:
            if not self._complained:
                self._complained = True
                logger.warning("the log %s cannot be written: %s", self._path, error.strerror)

    def close(self) -> None:
        """Let go of the file. May be called twice, and written to again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is not None and os.fstat(self._file).st_size > MAX_BYTES:
            self._rotate()
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # What servers print may hold secrets.
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return self._file

    def _rotate(self) -> None:
        # Another process may have done it already: then only our hold on the older file ends.
        current = self._is_current()
        self.close()
        if current:
            self._path.replace(older(self._path))

    def _is_current(self) -> bool:
        try:
            return self._file is not None and os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False


def older(path: Path) -> Path:
    """Return where the lines go that a log has no more room for."""
    return path.with_name(f"{path.name}.1")


def last_lines(path: Path, count: int) -> list[str]:
    """Return the newest lines of a log, oldest first. Raises FileNotFoundError where there is no log."""
    text = path.read_bytes()
    if text.count(b"\n") < count and older(path).exists():
        text = older(path).read_bytes() + text
    lines = text.decode("utf-8", "replace").splitlines()
    return lines[max(len(lines) - count, 0) :]
