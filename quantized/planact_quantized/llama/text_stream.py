"""Bytes of tokens to text for people: whole characters only, and nothing of a stop text."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TextStream:
    """One text as it grows. The pieces that it hands out, joined, are the text."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False
        """One of the stop texts has come."""

    def push(self, data: bytes) -> str:
        """Take the next bytes; return what may be shown now. After a stop text there is nothing more."""
        if self.stopped:
            return ""
        text = self._held + self._decoder.decode(data)
        at = min((found for stop in self._stops if (found := text.find(stop)) >= 0), default=-1)
        if at >= 0:
            self.stopped, self._held = True, ""
            return text[:at]
        shown = len(text) - self._could_be_stop(text)
        self._held = text[shown:]
        return text[:shown]

    def finish(self) -> str:
        """Return what was held back: the text ends here, so it was no stop text. Half a character becomes U+FFFD."""
        if self.stopped:
            return ""
        rest = self._held + self._decoder.decode(b"", final=True)
        self._held = ""
        return rest

    def _could_be_stop(self, text: str) -> int:
        """Return how many of the last characters might be the beginning of a stop text."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:length]):
                    longest = length
                    break
        return longest
