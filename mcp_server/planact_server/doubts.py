"""What looked wrong with a plan before it ran, as far as its run has not settled it. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, cast

from planact_server.sandbox import SILENT_DOUBT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planact_server.answer import CallRecord
    from planact_server.sandbox import Outcome, PlanError
    from planact_tools import JSONValue

MOST_TOLD = 10
MOST_VALUES = 50_000
"""Of all results of one tool. Where there are more they are taken to have every key: nobody looks through them for a
warning."""

EACH = "[]"
KIND = "#"
_KINDS = {"dict": dict, "list": list, "str": str, "int": (int, float), "float": (int, float), "bool": bool}
_WAITING = frozenset({"running", "approval_required"})
_ENDED_EARLY = frozenset({"error", "denied"})


def open_doubts(outcome: Outcome, calls: Sequence[CallRecord], *, status: str) -> list[PlanError]:
    """Return the doubts that are worth telling of a plan with this status, `MOST_TOLD` at most, each once.

    A key that a result of this very plan has is none, nor that a value is something else than it is in one of them.
    What would have raised is told while the plan waits, and behind the line that it had reached when it failed; before
    it, it has not.
    """
    failed = max((error.line or 0 for error in outcome.errors), default=0) if status in _ENDED_EARLY else 0
    reached = max(failed, outcome.reached)
    run = _Run(calls)
    told: dict[object, PlanError] = {}
    for each in outcome.doubts:
        is_ahead = status in _WAITING or 0 < failed <= reached < (each.line or 0)
        if each.line is not None and (each.type == SILENT_DOUBT or is_ahead) and not run.settles(each):
            told.setdefault((each.function, each.type, each.message if _is_of_kind(each) else each.parameter), each)
    return [*told.values()][:MOST_TOLD]


class _Run:
    """What the tools have returned to one plan."""

    def __init__(self, calls: Sequence[CallRecord]) -> None:
        self._calls = calls
        self._keys: dict[str, frozenset[str] | None] = {}

    def settles(self, doubt: PlanError) -> bool:
        """Say whether the results speak against a doubt, or may do so."""
        name = _bare(doubt.function or "")
        if doubt.parameter is None:
            return any(True for _ in self._results(name))
        if _is_of_kind(doubt):
            return not _are_all(doubt.parameter, self._results(name))
        if name not in self._keys:
            self._keys[name] = _keys(self._results(name))
        keys = self._keys[name]
        return keys is None or doubt.parameter in keys

    def _results(self, name: str) -> Iterable[JSONValue]:
        return (call.value for call in self._calls if call.ok and _bare(call.function) == name)


def _bare(function: str) -> str:
    return function.rpartition(".")[2]


def _is_of_kind(doubt: PlanError) -> bool:
    return doubt.parameter is None or doubt.parameter.startswith(KIND)


def _are_all(kind: str, results: Iterable[JSONValue]) -> bool:
    """Say whether what stands at a place is of one kind wherever a result has it: `#dict/entries/[]`."""
    name, *steps = kind.removeprefix(KIND).split("/")
    values = [*results]
    for step in steps:
        holder = list if step == EACH else dict
        if len(values) > MOST_VALUES or not all(isinstance(value, holder) for value in values):
            return False
        inner = (each for value in values for each in _inside(value, step))
        values = [*islice(inner, MOST_VALUES + 1)]
    return all(isinstance(value, _KINDS.get(name, ())) for value in values)


def _inside(value: JSONValue, step: str) -> Iterable[JSONValue]:
    if isinstance(value, list):
        return value
    return [value[step]] if isinstance(value, dict) and step in value else []


def _keys(results: Iterable[JSONValue]) -> frozenset[str] | None:
    """Return all keys of some results, however deep; None where they are too many to look through."""
    keys: set[str] = set()
    seen = 0
    for result in results:
        waiting: list[JSONValue] = [result]
        for value in waiting:
            if isinstance(value, dict):
                keys.update(value)
                waiting += value.values()
            elif isinstance(value, list):
                waiting += cast("list[JSONValue]", value)
            if seen + len(waiting) > MOST_VALUES:
                return None
        seen += len(waiting)
    return frozenset(keys)
