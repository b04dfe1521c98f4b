"""The answer: one JSON object, the same for every way a plan can end.

Pure: what is known about a run in, the object that the contract describes out. `planact_server.shrink` cuts
it to a host's budget.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeAlias, cast
from urllib.parse import quote

from planact_server.doubts import open_doubts
from planact_server.sandbox import RESULT, Outcome, PlanError
from planact_server.shrink import LEAST_CHARS, MARKER, shrink, value_at
from planact_tools import JSONObject, JSONValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = [
    "LEAST_CHARS",
    "Attempt",
    "CallRecord",
    "Status",
    "build_answer",
    "function_results",
    "is_error",
    "shrink",
    "value_at",
]

Status: TypeAlias = Literal[
    "ok", "error", "refused", "timeout", "limit", "running", "approval_required", "denied", "cancelled"
]

DOUBT_CHARS = 500
"""Of one warning about how a plan reads results."""

_LEFT_OUT = re.compile(r"\.\.\. (\d{1,15}) characters left out \.\.\.$")
_MORE = re.compile(r"\.\.\. (\d{1,15}) more")
"""What the worker puts at the end of what it has cut."""

_MARKS = ("stand_in", "reused", "emulated")
_WELL: AbstractSet[str] = frozenset({"ok", "running", "approval_required"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One tool call of a plan, in program order."""

    call: int
    """Counts from 1."""

    function: str
    """As the plan may write it: the plain name where that is unique, else `server.tool`."""

    server: str
    arguments: Mapping[str, JSONValue]
    line: int | None
    bound_to: tuple[str, ...] = ()
    ok: bool
    value: JSONValue = None
    error: str | None = None
    """Why it failed, where it did; `value` means nothing then."""

    ms: float
    read_only: bool
    parallel: bool = False
    """True when it overlapped another call."""

    stand_in: bool = False
    """A made-up value answered it: nothing was called."""

    reused: bool = False
    """An earlier attempt had made it, and its result answered: it was not made again."""

    emulated: bool = False
    """A language model answered, not a tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One plan of the planner's and what went wrong with it."""

    plan: str
    errors: tuple[PlanError, ...] = ()


def is_error(status: str) -> bool:
    """Say whether a result with this status is marked as an error to the host."""
    return status not in _WELL


def build_answer(
    status: Status,
    *,
    session: str | None = None,
    run: str | None = None,
    outcome: Outcome | None = None,
    calls: Sequence[CallRecord] = (),
    plan: str | None = None,
    attempts: Sequence[Attempt] = (),
    pending: JSONValue = None,
    warnings: Sequence[str] = (),
    recovered: JSONObject | None = None,
    progress: str | None = None,
    usage: JSONObject | None = None,
) -> JSONObject:
    """Return the whole answer; keys in the contract's order, those that do not apply left out."""
    left = outcome if outcome is not None else Outcome(status="ok")
    answer: JSONObject = {"status": status}
    if session is not None:
        answer["session"] = session
    if run is not None:
        answer["run"] = run
    if progress is not None:
        answer["progress"] = progress
    if plan is not None:
        answer["plan"] = plan
    # One attempt is the plan that ran; where none ran, what the model wrote is nowhere else.
    if len(attempts) > 1 or (plan is None and any(each.errors for each in attempts)):
        answer["attempts"] = [{"plan": each.plan, "errors": _errors(each.errors)} for each in attempts]
    if left.has_result:
        answer["result"] = _whole_or_marked(left, RESULT, left.result)
    answer["function_results"] = {name: list[JSONValue](bound) for name, bound in function_results(calls).items()}
    answer["variables"] = {name: _whole_or_marked(left, name, value) for name, value in left.variables.items()}
    answer["calls"] = [_call(record) for record in sorted(calls, key=lambda record: record.call)]
    answer["output"] = left.output
    answer["errors"] = _errors(left.errors)
    if pending is not None:
        answer["pending"] = pending
    if left.truncated:
        # The worker could not hand these over whole: what is kept of a run has no more of them.
        answer["truncated"] = [entry for name, size in left.truncated.items() for entry in _cut(left, name, size)]
    doubts = (_doubt(each) for each in open_doubts(left, calls, status=status))
    if warnings := (*warnings, *doubts):
        answer["warnings"] = list[JSONValue](warnings)
    if recovered is not None:
        answer["recovered"] = recovered
    if usage is not None:
        answer["usage"] = usage
    return answer


def function_results(calls: Iterable[CallRecord]) -> dict[str, list[str]]:
    """Return function → names that its results were bound to, each once, in order of first binding.

    Every function that was called has a key. A name that two servers share gets its server in front.
    """
    in_order = sorted(calls, key=lambda record: record.call)
    servers: dict[str, set[str]] = {}
    for record in in_order:
        servers.setdefault(record.function, set()).add(record.server)
    results: dict[str, list[str]] = {}
    for record in in_order:
        shared = len(servers[record.function]) > 1
        names = results.setdefault(f"{record.server}.{record.function}" if shared else record.function, [])
        names.extend(name for name in dict.fromkeys(record.bound_to) if name not in names)
    return results


def _call(record: CallRecord) -> JSONObject:
    said: JSONObject = {"value": record.value} if record.ok else {"error": record.error}
    return {
        "call": record.call,
        "function": record.function,
        "server": record.server,
        "arguments": dict(record.arguments),
        "line": record.line,
        "bound_to": list[JSONValue](record.bound_to),
        "ok": record.ok,
        **said,
        "ms": record.ms,
        "read_only": record.read_only,
        "parallel": record.parallel,
        **{mark: True for mark in _MARKS if getattr(record, mark)},
    }


def _errors(errors: Iterable[PlanError]) -> list[JSONValue]:
    return [
        {field.name: value for field in fields(error) if (value := getattr(error, field.name)) is not None}
        for error in errors
    ]


def _doubt(doubt: PlanError) -> str:
    text = f"Line {doubt.line}: {doubt.message} {doubt.hint or ''}".rstrip()
    return text if len(text) <= DOUBT_CHARS else f"{text[:DOUBT_CHARS]}…"


def _cut(left: Outcome, name: str, size: int) -> list[JSONObject]:
    """Return what the worker has cut of a value: where, how large that is, and how much of it there is."""
    value = left.result if name == RESULT else left.variables.get(name)
    cuts = [*_cuts(value, _exported(name))]
    return cuts or [{"path": _exported(name), "size": size}]


def _cuts(value: JSONValue, path: str) -> Iterator[JSONObject]:
    missing = _missing(value)
    if missing:
        kept = value.rindex("... ", 0, -3) if isinstance(value, str) else len(cast("list[JSONValue]", value)) - 1
        yield {"path": path, "size": kept + missing, "kept": kept}
    last = _last(value, missing)
    if last is not None:
        key, inner = last
        yield from _cuts(inner, f"{path}/{quote(str(key), safe='')}")


def _last(value: JSONValue, missing: int) -> tuple[str | int, JSONValue] | None:
    """Return what the worker had come to when there was no room any more; before it everything is whole."""
    match value:
        case [*items] if items:
            place = len(items) - (2 if missing else 1)
            # Of a list with more than one item, a cut one has been taken away.
            return None if place < 0 or (missing and place > 0) else (place, items[place])
        case {**fields}:
            keys = [key for key in fields if not (missing and key == "...")]
            return (keys[-1], fields[keys[-1]]) if keys else None
        case _:
            return None


def _missing(value: JSONValue) -> int:
    """Return how much the worker has left out at the end of a value; 0 for what it cut further inside."""
    match value:
        case [*_, str(mark)]:
            found = _MORE.fullmatch(mark)
        case {"...": str(mark)}:
            found = _MORE.fullmatch(f"... {mark}")
        case str():
            found = _LEFT_OUT.search(value, max(0, len(value) - 60))
        case _:
            found = None
    return 0 if found is None else int(found[1])


def _whole_or_marked(left: Outcome, name: str, value: JSONValue) -> JSONValue:
    return _marked(value) if name in left.truncated else value


def _marked(value: JSONValue) -> JSONValue:
    """Return a value with our own marks in place of the worker's, which are ASCII for want of memory."""
    missing = _missing(value)
    if isinstance(value, str):
        return (
            f"{value[: value.rindex('... ', 0, -3)]}{MARKER} {missing} characters left out {MARKER}"
            if missing
            else value
        )
    last = _last(value, missing)
    match value:
        case [*items]:
            whole = items[:-1] if missing else items
            if last is not None:
                whole = [*whole[:-1], _marked(last[1])]
            return [*whole, f"{MARKER} {missing} more"] if missing else whole
        case {**fields}:
            kept = {key: each for key, each in fields.items() if not (missing and key == "...")}
            if last is not None:
                kept[str(last[0])] = _marked(last[1])
            return kept | ({MARKER: f"{missing} more"} if missing else {})
        case _:
            return value


def _exported(name: str) -> str:
    return "result" if name == RESULT else f"variables/{quote(name, safe='')}"
