"""Noticing that a text goes round in circles while it is being written. Pure.

Small models do: the same statement again and again, a few lines in a cycle, ever deeper nesting, a string without
end. What counts is structure, as in RPG ("Rethinking Repetition Problems of LLMs in Code Generation"): a line is
compared as it is, and with its names, numbers and strings taken out, for `x7 = f(7)` after `x6 = f(6)` is a circle
too, only later. The thresholds are far above what people write by hand; benchmarks/planning.py counts false alarms.
"""

from __future__ import annotations

import re
from collections import deque

SAME_LINE = 6
"""Times that one line stands in a row before it is a circle."""

SAME_CYCLE = 5
"""Times that a group of 2 to CYCLE_LINES lines comes in a row."""

SAME_SHAPE = 60
"""Lines in a row that differ only in names, numbers and strings."""

SHAPE_CYCLE = 30
"""Times that a group of such lines comes in a row."""

CYCLE_LINES = 16
BLANK_LINES = 40
"""In a row."""

MOST_INDENT = 48
"""Spaces before a statement."""

MOST_BRACKETS = 24
"""Brackets open at the same time."""

LONGEST_LINE = 16_000
"""Characters."""

PERIOD = 64
"""Longest piece of a line whose repetition is noticed."""

PERIODIC_CHARS = 480
"""How much of a line must consist of one repeated piece."""

_LOOK_EVERY = 64
# An escaped character is taken whole outside of strings, too: else every one of n escaped quotes would begin a string
# that has no end, and be looked through to the end of the line.
_WORDS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\d[\w.]*|[^\W\d]\w*|\\.")


class Repetition:
    """Watches one text. Feed it as it comes; after `True` it has said what it has to say."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """What goes round in circles, for the model: a part of a sentence."""

        self._line: list[str] = []
        self._line_chars = 0
        self._looked = 0
        self._blank = 0
        self._exact = _Cycles(SAME_LINE, SAME_CYCLE)
        self._shapes = _Cycles(SAME_SHAPE, SHAPE_CYCLE)

    def feed(self, piece: str) -> bool:
        """Take the next piece of text and say whether the text goes round in circles by now."""
        *whole, rest = piece.split("\n")
        for part in whole:
            self._extend(part)
            self._end_line()
        self._extend(rest)
        return self.reason is not None

    def _extend(self, part: str) -> None:
        self._line.append(part)
        self._line_chars += len(part)
        if self._line_chars - self._looked >= _LOOK_EVERY and self.reason is None:
            self._looked = self._line_chars
            self._line = ["".join(self._line)]
            self.reason = _within(self._line[0])

    def _end_line(self) -> None:
        line = "".join(self._line)
        self._line, self._line_chars, self._looked = [], 0, 0
        self._blank = 0 if line.strip() else self._blank + 1
        if self.reason is not None or 0 < self._blank < BLANK_LINES:
            return
        if self._blank:
            self.reason = "nothing but blank lines"
        elif len(line) - len(line.lstrip()) > MOST_INDENT:
            self.reason = "the nesting gets deeper and deeper"
        elif lines := self._exact.add(line.rstrip()):
            self.reason = "the same line comes again and again" if lines == 1 else f"the same {lines} lines repeat"
        elif lines := self._shapes.add(shape(line)):
            self.reason = f"{'a line' if lines == 1 else f'{lines} lines'} of the same form repeat without end"


class _Cycles:
    """Counts, for every length of cycle, how long the lines have kept to it."""

    def __init__(self, single: int, several: int) -> None:
        self._lines: deque[str] = deque(maxlen=CYCLE_LINES)
        self._kept = [0] * (CYCLE_LINES + 1)
        self._single = single
        self._several = several

    def add(self, line: str) -> int:
        """Take a line; return the length of the cycle that has come too often, or 0."""
        for length in range(1, CYCLE_LINES + 1):
            same = len(self._lines) >= length and self._lines[-length] == line
            self._kept[length] = self._kept[length] + 1 if same else 0
        self._lines.append(line)
        for length in range(1, CYCLE_LINES + 1):
            times = self._single if length == 1 else self._several
            # The first round is kept to nothing.
            if self._kept[length] >= length * (times - 1):
                return length
        return 0


def shape(line: str) -> str:
    """Return a line without what may differ between the rounds of a circle."""
    return _WORDS.sub(_placeholder, line.rstrip())


def _placeholder(match: re.Match[str]) -> str:
    first = match[0][0]
    return match[0] if first == "\\" else "S" if first in "'\"" else "N" if first.isdigit() else "I"


def _within(line: str) -> str | None:
    """Look at a long line that is not over yet."""
    if len(line) > LONGEST_LINE:
        return "one line has no end"
    if _open_brackets(line) > MOST_BRACKETS:
        return "the nesting gets deeper and deeper"
    tail = line[-PERIODIC_CHARS:]
    if len(tail) == PERIODIC_CHARS and _is_periodic(tail):
        return "a piece of one line repeats without end"
    return None


def _open_brackets(line: str) -> int:
    bare = _WORDS.sub("", line)
    return sum(bare.count(bracket) for bracket in "([{") - sum(bare.count(bracket) for bracket in ")]}")


def _is_periodic(text: str) -> bool:
    # A text with period p is found in itself p characters on.
    end = text[-PERIOD:]
    place = text.rfind(end, 0, len(text) - 1)
    if place < 0:
        return False
    period = len(text) - PERIOD - place
    return text[period:] == text[:-period]
