"""Which of the doubts about a plan are told, by how the plan went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planact_server.answer import DOUBT_CHARS, CallRecord, build_answer
from planact_server.doubts import MOST_VALUES, open_doubts
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
