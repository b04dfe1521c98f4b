"""The answer: one JSON object, the same for every way a plan can end.

Pure: what is known about a run in, the object that the contract describes out. `planact_server.shrink` cuts
it to a host's budget.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote

from planact_server.doubts import open_doubts
from planact_server.sandbox import RESULT, Outcome, PlanError
from planact_server.shrink import LEAST_CHARS, MARKER, shrink, value_at
from planact_tools import JSONObject, JSONValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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
        answer["truncated"] = [_cut(left, name, size) for name, size in left.truncated.items()]
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


def _cut(left: Outcome, name: str, size: int) -> JSONObject:
    """Return the entry of what the worker has cut: how large it is, and how much of it there is."""
    missing = _missing(left.result if name == RESULT else left.variables.get(name))
    entry: JSONObject = {"path": _exported(name), "size": size}
    return {**entry, "kept": size - missing} if 0 < missing <= size else entry


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
    return _marked(value, _missing(value)) if name in left.truncated else value


def _marked(value: JSONValue, missing: int) -> JSONValue:
    """Return a value with our own mark in place of the worker's, which is ASCII for want of memory."""
    match value:
        case [*items, _] if missing:
            return [*items, f"{MARKER} {missing} more"]
        case {"...": _} if missing:
            return {key: each for key, each in value.items() if key != "..."} | {MARKER: f"{missing} more"}
        case str() if missing:
            kept = value[: value.rindex("... ", 0, -3)]
            return f"{kept}{MARKER} {missing} characters left out {MARKER}"
        case _:
            return value


def _exported(name: str) -> str:
    return "result" if name == RESULT else f"variables/{quote(name, safe='')}"
