"""The last lines that a server wrote on its standard error: bounded, whatever the server does."""

from __future__ import annotations

from collections import deque

LINES = 200
LINE_CHARACTERS = 2_000


class LogTail:
    """Keeps the newest lines of a byte stream."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)
        self._open = b""

    def feed(self, data: bytes) -> None:
        *whole, self._open = (self._open + data).split(b"\n")
        for line in whole:
            self._keep(line)
        if len(self._open) > LINE_CHARACTERS:
            # A line without end is cut rather than collected.
            self._keep(self._open)
            self._open = b""

    def lines(self, last: int = LINES) -> tuple[str, ...]:
        """Return the newest lines, oldest first, the unfinished one included."""
        lines = [*self._lines, self._text(self._open)]
        return tuple(line for line in lines if line)[-last:]

    def _keep(self, line: bytes) -> None:
        self._lines.append(self._text(line))

    @staticmethod
    def _text(line: bytes) -> str:
        return line[:LINE_CHARACTERS].decode("utf-8", "replace").rstrip()
