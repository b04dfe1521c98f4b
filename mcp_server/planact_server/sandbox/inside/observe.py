"""What really happened to the results of calls: which names they were bound to, and on which line.

When a tool is called, the calling frame's instruction position says which call of the source is running; the table of
`bindings` says where its result goes. Where something can still fail between the call and the name, the plan carries
markers around the statement, and only a statement that completed is reported. Plain code pays nothing.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside.bindings import current_frame
from planact_server.sandbox.inside.tools import Server

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import CodeType, FrameType

    from planact_server.sandbox.inside.bindings import Site, Table

_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a call was made, and what will be bound when it succeeds."""

    line: int | None
    names: tuple[str, ...] = ()
    statement: tuple[FrameType, int] | None = None
    """What must complete before the names are bound, where anything can still fail."""


class Observer:
    """Knows the tables of all plans of a session by file name, and the bindings of the running one."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        # By the frame itself, not its id: a frame that is kept cannot be mistaken for a later one.
        self.open: dict[tuple[FrameType, int], list[tuple[int, tuple[str, ...]]]] = {}
        """Results that wait for their statement to complete. One object for good: plans ask whether it is empty."""

        self._bound: dict[int, list[str]] = {}
        self._current: set[str] = set()

    def begin_plan(self, filename: str, table: Table) -> None:
        self._current.clear()
        self.add_code(filename, table)
        self.open.clear()
        self._bound.clear()

    def add_code(self, filename: str, table: Table) -> None:
        """Code that was written while the plan runs is a part of it."""
        self._tables[filename] = table
        self._current.add(filename)

    @property
    def files(self) -> Collection[str]:
        """The file names of the running plan's code."""
        return self._current

    def place(self, callee: object, frame: FrameType | None) -> Place:
        """Find where the frame that calls `callee` is."""
        while frame is not None and frame.f_code.co_filename not in self._tables:
            frame, callee = frame.f_back, MISSING  # called by library code: no name receives this result
        if frame is None:
            return Place(line=None)
        line = frame.f_lineno if frame.f_code.co_filename in self._current else self._outer_line(frame)
        site = self._site(frame)
        if site is None or not _is_calling(site.callee, callee, frame):
            return Place(line=line)
        if site.statement is None:
            return Place(line=line, names=site.names)
        key = (_statement_frame(frame, site.comprehensions), site.statement)
        return Place(line=line, names=site.names, statement=key)

    def succeeded(self, call: int, place: Place) -> None:
        """The call has returned a value to the plan."""
        if not place.names:
            return
        if place.statement is None:
            self._report(call, place.names)
        else:
            self.open.setdefault(place.statement, []).append((call, place.names))

    def begin(self, statement: int) -> None:
        """Marker before a statement: what an earlier, failed run of it left is void."""
        self.open.pop((current_frame(1), statement), None)

    def commit(self, statement: int, _begun: None = None, value: Any = None) -> Any:
        """Marker after a statement, or around the value of a walrus."""
        if self.open:
            for call, names in self.open.pop((current_frame(1), statement), ()):
                self._report(call, names)
        return value

    def take(self) -> list[tuple[int, list[str]]]:
        """Return what was bound since the last time."""
        bound = list(self._bound.items())
        self._bound.clear()
        return bound

    def _report(self, call: int, names: tuple[str, ...]) -> None:
        self._bound.setdefault(call, []).extend(names)

    def _site(self, frame: FrameType) -> Site | None:
        table = self._tables[frame.f_code.co_filename]
        if not table.sites:
            return None
        _, end_line, _, end_column = _positions(frame.f_code)[frame.f_lasti // 2]
        return None if end_line is None or end_column is None else table.sites.get((end_line, end_column))

    def _outer_line(self, frame: FrameType | None) -> int | None:
        """A function of an earlier plan calls: the line of this plan that called the function."""
        while frame is not None and frame.f_code.co_filename not in self._current:
            frame = frame.f_back
        return None if frame is None else frame.f_lineno


MISSING = object()


@functools.lru_cache(maxsize=256)
def _positions(code: CodeType) -> list[tuple[int | None, int | None, int | None, int | None]]:
    return list(code.co_positions())


def _statement_frame(frame: FrameType, comprehensions: int) -> FrameType:
    """Leave the comprehensions between a call and its statement (Python 3.12 makes no frames for them)."""
    for _ in range(comprehensions):
        if frame.f_code.co_name in _COMPREHENSIONS and frame.f_back is not None:
            frame = frame.f_back
    return frame


def _is_calling(expression: ast.expr, callee: object, frame: FrameType) -> bool:
    """False when the running call is `list(map(tool, xs))`: another function is called here, the tool further down."""
    if callee is MISSING:
        return False
    steps: list[str] = []
    while isinstance(expression, ast.Attribute):
        steps.append(expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        return True  # `tools["a"](x)`: what was called cannot be looked up again without running it
    called = lookup(expression.id, frame)
    for step in reversed(steps):
        called = _stored(called, step)
    while isinstance(called, functools.partial):
        called = called.func  # type: ignore[assignment]
    return called is callee or getattr(callee, "is_same", _never)(called)


def _stored(target: object, name: str) -> Any:
    """An attribute that can be read without running a plan's code."""
    if isinstance(target, Server):
        return getattr(target, name, MISSING)
    try:
        return object.__getattribute__(target, "__dict__").get(name, MISSING)
    except AttributeError:
        return MISSING


def _never(_: object) -> bool:
    return False


def lookup(name: str, frame: FrameType) -> Any:
    """The value of a name as the frame sees it."""
    for names in (frame.f_locals, frame.f_globals, frame.f_builtins):
        if name in names:
            return names[name]
    return MISSING
