"""The calls of one plan, as they happen and as its answer shows them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from planact_server.answer import CallRecord
from planact_server.plain_json import size_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.policy import Decision
    from planact_tools import JSONValue

RECORDED_CHARS = 64 * 1024 * 1024
"""How much of what one run's calls returned is kept for its answer."""

Origin: TypeAlias = Literal["tool", "stand_in", "reused", "emulated"]
"""Who answered: the tool itself; a made-up value; the record of an earlier attempt; the planner's model."""

CANCELLED = "The call was cancelled."
NOT_MADE = "The plan gave the call up before it was made."
OUTCOME_UNKNOWN = "It is not known whether it took effect."


@dataclass(slots=True, kw_only=True, eq=False)
class LoggedCall:
    """One call. `tool` and `decision` are None where no tool is called: `ask_model`."""

    number: int
    """The worker's number; the record's own counts only the calls that were valid."""

    function: str
    server: str
    arguments: Mapping[str, JSONValue]
    tool: CatalogTool | None = None
    decision: Decision | None = None
    line: int | None
    started: float
    ended: float | None = None
    value: JSONValue = None
    whole: bool = True
    """`value` is what was returned, not a note that there was no room for it."""

    error: str | None = None
    origin: Origin = "tool"
    unknown: bool = False
    """It may or may not have taken effect."""

    @property
    def is_write(self) -> bool:
        """True for a call that reached a tool which may change something."""
        return self.decision is not None and not self.decision.read_only and self.origin == "tool"

    @property
    def was_held_back(self) -> bool:
        """True for a call that the policy stopped."""
        return self.decision is not None and self.decision.verdict != "allow" and self.origin == "tool"


class CallLog:
    """What one run of one plan has called so far."""

    def __init__(self) -> None:
        self._calls: list[LoggedCall] = []
        self._room = RECORDED_CHARS

    def __iter__(self) -> Iterator[LoggedCall]:
        return iter(self._calls)

    def add(self, call: LoggedCall) -> None:
        self._calls.append(call)

    def returned(self, call: LoggedCall, value: JSONValue) -> None:
        """Note what a call has returned, as long as those of the run have room in memory."""
        call.ended = time.perf_counter()
        call.error = None
        size = size_of(value)
        if size > self._room:
            note = f"not kept: the calls of this run returned more than {RECORDED_CHARS:,} characters"
            call.value, call.whole = {"$type": type(value).__name__, "repr": note}, False
            return
        self._room -= size
        call.value = value

    def held_back(self, number: int) -> bool:
        """Say whether the worker's call `number` was stopped by the policy."""
        return any(call.number == number and call.was_held_back for call in self._calls)

    def position(self, number: int | None) -> int | None:
        """Return which record belongs to the worker's call `number`, counting from 1."""
        numbers = [call.number for call in self._in_order()]
        return numbers.index(number) + 1 if number in numbers else None

    def records(self, bindings: Mapping[int, tuple[str, ...]]) -> tuple[CallRecord, ...]:
        """Return what was called, in program order."""
        overlapping = _overlapping(self._calls)
        return tuple(
            CallRecord(
                call=position,
                function=call.function,
                server=call.server,
                arguments=call.arguments,
                line=call.line,
                bound_to=bindings.get(call.number, ()) if call.error is None else (),
                ok=call.error is None and call.ended is not None,
                value=call.value,
                error=call.error if call.ended is not None else "No answer yet.",
                ms=round(((call.ended or time.perf_counter()) - call.started) * 1000, 3),
                read_only=call.decision is None or call.decision.read_only,
                parallel=call.number in overlapping,
                stand_in=call.origin == "stand_in",
                reused=call.origin == "reused",
                emulated=call.origin == "emulated",
            )
            for position, call in enumerate(self._in_order(), start=1)
        )

    def _in_order(self) -> list[LoggedCall]:
        return sorted(self._calls, key=lambda call: call.number)


def _overlapping(calls: Sequence[LoggedCall]) -> set[int]:
    """Return the numbers of the calls that ran at the same time as another one."""
    found: set[int] = set()
    latest: LoggedCall | None = None
    for call in sorted(calls, key=lambda call: call.started):
        if latest is not None and (latest.ended is None or call.started < latest.ended):
            found.update((latest.number, call.number))
        if latest is None or latest.ended is None or (call.ended or float("inf")) > latest.ended:
            latest = call
    return found
