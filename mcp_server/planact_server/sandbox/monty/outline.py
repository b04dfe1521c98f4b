"""A plan's text, as it was read before it runs in Monty: where its calls are, what they bind, what it defines.

A plan's text alone can keep a parser busy for minutes, so it is read where the host can put an end to it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside.source import Text
from planact_server.sandbox.monty.language import RESULT

if TYPE_CHECKING:
    from collections.abc import Collection

Span = tuple[int, int]
"""First and last byte of an expression, as Monty counts them: in UTF-8, the end left out."""

AWAIT = "await "
KEEP = f"{RESULT}[0] = "
"""What the last value is left behind with: whether it can be sent is looked at before it is."""

CAUGHT = "planact_caught"
"""The helper that is put around a caught ToolError, to have its facts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSite:
    """One call as it stands in the source."""

    line: int
    awaited: bool = False
    """Whether the plan wants a coroutine here: it stands under `await`, or is given to `asyncio`."""

    names: tuple[str, ...] = ()
    """What an assignment around it binds."""

    last_line: int | None = None
    """Where a statement ends that has to work before they are bound; None where nothing can go wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What `facts` tells."""

    calls: list[tuple[int, int, bool, list[str], int | None]]
    bound: list[str]
    stores: list[tuple[int, list[str]]]
    ending: int | None
    errors: list[tuple[int, int]]
    coroutine: int | None
    definitions: list[tuple[str, int, str]]


class Outline:
    """One plan, read."""

    def __init__(self, source: str, filename: str, facts: dict[str, Any]) -> None:
        found = Facts(**facts)
        self.text = Text(source, filename)
        self.bound: Collection[str] = found.bound
        self.has_result = found.ending is not None
        self.definitions = found.definitions
        """Name, last line and source of what the plan defines at its top, each name once."""

        self._stores = found.stores
        body = source.encode()
        self._starts = [0, *(index + 1 for index, byte in enumerate(body) if byte == 10)]
        self._edits = _edits(found, len(body))
        self._calls = {
            (start, end): CallSite(line=self._line(start), awaited=awaited, names=tuple(names), last_line=last_line)
            for start, end, awaited, names, last_line in found.calls
        }
        self.code = _edited(body, self._edits).decode()
        """What Monty runs: the source, with what its language needs to be told put in."""

    def call(self, start: int, end: int) -> CallSite:
        """Return the call at a place in `code`."""
        place = self._original(start), self._original(end)
        return self._calls.get(place) or CallSite(line=self._line(place[0]))

    def column(self, line: int, column: int) -> int:
        """Return where in the source a column of `code` is; both count characters from 1."""
        shift = 0
        for place, text in self._edits:
            if self._line(place) == line and self.text.column(line, place - self._starts[line - 1]) + shift < column:
                shift += len(text)
        return column - shift

    def certainly_assigned(self, before: int | None) -> frozenset[str]:
        """Names that the plan has assigned when it fails in a line of its own, or (None) when it ends well."""
        done = [names for line, names in self._stores if before is None or line < before]
        return frozenset[str]().union(*done)

    def _line(self, offset: int) -> int:
        return bisect_right(self._starts, offset)

    def _original(self, offset: int) -> int:
        shift = 0
        for place, text in self._edits:
            if place + shift >= offset:
                break
            shift += len(text)
        return offset - shift


def _edits(facts: Facts, size: int) -> list[tuple[int, str]]:
    """What is put into the source, and at which of its bytes; nothing in it breaks a line."""
    edits = [] if facts.ending is None else [(facts.ending, KEEP)]
    edits += [edit for start, end in facts.errors for edit in ((start, f"{CAUGHT}("), (end, ")"))]
    if facts.coroutine is not None:
        edits.append((facts.coroutine, AWAIT))
    return sorted(((min(place, size), text) for place, text in edits), key=itemgetter(0))


def _edited(body: bytes, edits: list[tuple[int, str]]) -> bytes:
    parts: list[bytes] = []
    begin = 0
    for place, text in edits:
        parts += [body[begin:place], text.encode()]
        begin = place
    return b"".join([*parts, body[begin:]])
