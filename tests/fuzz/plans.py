"""Runs one plan of the grammar in a room and looks at everything that it holds afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.hostile import Hostile
from fuzz.invariant import Invariant
from planact_server.sandbox.inside.interrupts import PlanStopped
from planact_server.sandbox.inside.source import Refused, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz.room import Room

_PLAN_SECONDS = 0.5
_MOST_FINDINGS = 5


class Plans:
    """The plans of one room; what one leaves is gone before the next."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._invariant = Invariant(room)
        self._hostile = Hostile(room)
        modules = ", ".join(name for name in room.modules if name != "asyncio")
        room.define(f"import {modules}, asyncio")
        self._clean = dict(room.session._globals)
        self.ran = 0
        self.refused = 0

    def run(self, source: str) -> list[str]:
        """Return what the plan got that it must not have."""
        self._hostile.heard.clear()
        try:
            failure = self._run(source)
        except Refused:
            self.refused += 1
            return []
        self.ran += 1
        findings = [finding for finding, _ in zip(self._looked_at(failure), range(_MOST_FINDINGS), strict=False)]
        self._room.session._loop.reset()
        self._room.session._globals.clear()
        self._room.session._globals.update(self._clean)
        return findings

    def _run(self, source: str) -> BaseException | None:
        session = self._room.session
        prepared = session._prepare(Text(source, "<plan>"), max_bytes=1 << 20)
        session.channel.begin_plan(output_bytes=1 << 30, frame_bytes=1 << 20)
        try:
            session._interrupts.foreign(lambda: session._execute(prepared.code), seconds=_PLAN_SECONDS)
        except PlanStopped:
            return None
        except BaseException as error:  # noqa: BLE001 - whatever a plan raises
            return error.with_traceback(None)
        return None

    def _looked_at(self, failure: BaseException | None) -> Iterator[str]:
        yield from self._invariant.breaches(failure, "what it raised")
        for name, value in self._room.variables.items():
            if self._clean.get(name) is not value:
                yield from self._invariant.breaches(value, name)
        for hook, value in self._hostile.heard[:300]:
            yield from self._invariant.breaches(value, hook, depth=2)
