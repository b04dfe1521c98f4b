"""What looked wrong with a plan before it ran, as far as its run has not settled it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from planact_server.sandbox import SILENT_DOUBT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planact_server.answer import CallRecord
    from planact_server.sandbox import Outcome, PlanError
    from planact_tools import JSONValue

MOST_VALUES = 100_000
"""Of one result. What is larger is taken to have every key: nobody looks through it for a warning."""

_WAITING = frozenset({"running", "approval_required"})
_ENDED_EARLY = frozenset({"error", "denied"})


def open_doubts(outcome: Outcome, calls: Sequence[CallRecord], *, status: str) -> list[PlanError]:
    """Return the doubts that are worth telling of a plan with this status.

    A key that a result of this very plan has is none. What would have raised is told while the plan waits, and behind
    the line that failed; before it, it has not.
    """
    failed = max((error.line or 0 for error in outcome.errors), default=0) if status in _ENDED_EARLY else 0
    return [
        each
        for each in outcome.doubts
        if each.line is not None
        and (each.type == SILENT_DOUBT or status in _WAITING or 0 < failed < each.line)
        and not (each.parameter is not None and _was_there(each.parameter, _results_of(each.function, calls)))
    ]


def _results_of(tool: str | None, calls: Sequence[CallRecord]) -> Iterable[JSONValue]:
    name = (tool or "").rpartition(".")[2]
    return (call.value for call in calls if call.ok and call.function.rpartition(".")[2] == name)


def _was_there(key: str, results: Iterable[JSONValue]) -> bool:
    return any(_has(key, result) for result in results)


def _has(key: str, value: JSONValue) -> bool:
    waiting: list[JSONValue] = [value]
    for seen in waiting:
        if isinstance(seen, dict):
            if key in seen:
                return True
            waiting += seen.values()
        elif isinstance(seen, list):
            waiting += cast("list[JSONValue]", seen)
        if len(waiting) > MOST_VALUES:
            return True
    return False
