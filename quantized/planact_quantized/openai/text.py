"""A text while it is being written: where it has to end, and who watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planact_quantized.backend import GenerateRequest, StopReason, Watcher


CHARS_PER_TOKEN = 64
"""Far more than a token has on average. A server that goes on beyond that does not keep to `max_tokens`."""


class GrowingText:
    """Takes pieces, cuts at the first stop text, and says when it is over."""

    def __init__(self, request: GenerateRequest, number: int, watch: Watcher | None) -> None:
        self.text = ""
        self.stop: StopReason | None = None
        self.pieces = 0
        self._stops = [stop for stop in request.stop if stop]
        self._longest = max(map(len, self._stops), default=0)
        self._room = request.max_tokens * CHARS_PER_TOKEN
        self._number = number
        self._watch = watch

    def add(self, piece: str) -> bool:
        """Take a piece and return whether the text is over."""
        before = len(self.text)
        self.text += piece
        self.pieces += 1
        if (end := self._end(before)) is not None:
            self.text, self.stop = self.text[:end], "end"
        elif len(self.text) > self._room:
            self.text, self.stop = self.text[: self._room], "length"
        new = self.text[before:]
        if new and self._watch is not None and self._watch(self._number, new) and self.stop is None:
            self.stop = "watched"
        return self.stop is not None

    def _end(self, before: int) -> int | None:
        """Return where the text has to be cut, if it has to."""
        start = max(before - self._longest + 1, 0)
        found = [at for stop in self._stops if (at := self.text.find(stop, start)) >= 0]
        return min(found, default=None)
