"""Which of the doubts about a plan are told, by how the plan went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planact_server.answer import DOUBT_CHARS, CallRecord, build_answer
from planact_server.doubts import MOST_TOLD, MOST_VALUES, open_doubts
from planact_server.sandbox import SILENT_DOUBT, Outcome, PlanError

if TYPE_CHECKING:
    from planact_tools import JSONValue


def doubt(line: int | None, *, silent: bool = False, key: str | None = None) -> PlanError:
    kind = SILENT_DOUBT if silent else "KeyError"
    return PlanError(type=kind, message=f"m{line}", line=line, function="git.log", parameter=key)


def call(value: JSONValue, *, function: str = "log", ok: bool = True) -> CallRecord:
    return CallRecord(
        call=1, function=function, server="git", arguments={}, line=1, ok=ok, value=value, ms=1.0, read_only=True
    )


DOUBTS = (doubt(1), doubt(2, silent=True), doubt(3), doubt(None), doubt(5))


@pytest.mark.parametrize(
    ("status", "failed", "lines"),
    [
        ("ok", None, [2]),
        ("running", None, [1, 2, 3, 5]),
        ("approval_required", None, [1, 2, 3, 5]),
        ("error", 3, [2, 5]),
        ("error", None, [2]),
        ("denied", 1, [2, 3, 5]),
        ("timeout", None, [2]),
        ("cancelled", None, [2]),
    ],
)
def test_what_the_run_has_settled_is_not_told(status: str, failed: int | None, lines: list[int]) -> None:
    errors = (PlanError(type="ValueError", message="m", line=failed),) if status in ("error", "denied") else ()
    told = open_doubts(Outcome(status="ok", errors=errors, doubts=DOUBTS), (), status=status)
    assert [each.line for each in told] == lines


def test_what_an_own_function_failed_behind_has_been_passed() -> None:
    errors = (PlanError(type="ZeroDivisionError", message="m", line=2),)
    told = open_doubts(Outcome(status="error", errors=errors, doubts=DOUBTS, reached=4), (), status="error")
    assert [each.line for each in told] == [2, 5]


def test_each_doubt_is_told_where_it_is_not_settled_first() -> None:
    errors = (PlanError(type="ValueError", message="m", line=3),)
    doubts = tuple(
        doubt(line, key=key)
        for line, key in [(1, "a"), (4, "a"), (5, "a"), (6, "b"), *[(9, str(n)) for n in range(20)]]
    )
    told = open_doubts(Outcome(status="error", errors=errors, doubts=doubts), (), status="error")
    assert [(each.line, each.parameter) for each in told[:3]] == [(4, "a"), (6, "b"), (9, "0")]
    assert len(told) == MOST_TOLD


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (None, {"x": 1}, False),
        ("#dict", {"x": 1}, True),
        ("#dict", [{"x": 1}], False),
        ("#list/rows", {"rows": []}, True),
        ("#list/rows", {"rows": "none"}, False),
        ("#list/rows", {"others": 1}, True),
        ("#list/rows", "nothing found", False),
        ("#str/rows/[]/name", {"rows": [{"name": "a"}, {"name": "b"}]}, True),
        ("#str/rows/[]/name", {"rows": [{"name": "a"}, {"name": None}]}, False),
        ("#dict/[]", [{"x": 1}] * (MOST_VALUES + 1), True),
        ("#dict/[]/x", [{"x": 1}] * (MOST_VALUES + 1), False),
        ("#no/such", {"such": 1}, False),
    ],
)
def test_what_is_something_else_in_this_run_is_not_told(kind: str | None, value: JSONValue, told: bool) -> None:
    outcome = Outcome(status="ok", doubts=(doubt(2, key=kind),))
    assert [each.line for each in open_doubts(outcome, (), status="running")] == [2]
    assert bool(open_doubts(outcome, [call(value)], status="running")) is told


def test_all_results_of_a_tool_are_looked_through_once_and_not_without_end() -> None:
    outcome = Outcome(status="ok", doubts=tuple(doubt(line, key=str(line)) for line in range(1, 11)))
    few, many = [call({"a": [1] * 10})] * 10, [call({"a": [1] * 10})] * (MOST_VALUES // 10)
    assert len(open_doubts(outcome, few, status="running")) == 10
    assert open_doubts(outcome, many, status="running") == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([{"note": 1}], True),
        ([{"notes": 1}], False),
        ({"rows": [[{"a": {"notes": None}}]]}, False),
        ("notes", True),
        ([0] * (MOST_VALUES + 1), False),
    ],
    ids=["another key", "the key", "deep down", "a text", "too much to look through"],
)
def test_a_key_that_a_result_of_this_plan_has_is_no_doubt(value: JSONValue, told: bool) -> None:
    outcome = Outcome(status="ok", doubts=(doubt(1, silent=True, key="notes"),))
    assert bool(open_doubts(outcome, [call(value)], status="ok")) is told
    assert open_doubts(outcome, [call(value, ok=False), call(value, function="git.show")], status="ok")


def test_warnings_are_of_a_bounded_length() -> None:
    long = PlanError(type=SILENT_DOUBT, message="m" * 5_000, line=1, hint="h")
    (warning,) = build_answer("ok", outcome=Outcome(status="ok", doubts=(long,)))["warnings"]  # type: ignore[misc]
    assert isinstance(warning, str)
    assert len(warning) == DOUBT_CHARS + 1
