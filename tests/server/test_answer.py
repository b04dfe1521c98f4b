"""The one object that every plan's end is told in."""

import pytest

from planact_server.answer import Attempt, CallRecord, Status, build_answer, function_results, is_error
from planact_server.sandbox import RESULT, Outcome, PlanError


def record(call: int, function: str, *bound_to: str, server: str = "demo") -> CallRecord:
    return CallRecord(
        call=call,
        function=function,
        server=server,
        arguments={},
        line=call,
        bound_to=bound_to,
        ok=True,
        value=call,
        ms=1.0,
        read_only=True,
    )


def test_what_a_model_wrote_is_there_where_no_plan_came_of_it() -> None:
    problem = PlanError(type="NoPlanError", message="The code block was not closed.")
    answer = build_answer("error", attempts=[Attempt(plan="```python\nx =", errors=(problem,))])
    assert answer["attempts"] == [
        {
            "plan": "```python\nx =",
            "errors": [{"type": "NoPlanError", "message": "The code block was not closed."}],
        }
    ]
    assert "attempts" not in build_answer("error", plan="x", attempts=[Attempt(plan="x", errors=(problem,))])


def test_the_example_of_the_contract_comes_out_key_for_key() -> None:
    answer = build_answer(
        "error",
        session="s_5f0c",
        run="r_91ab",
        outcome=Outcome(
            status="error",
            variables={"x": [1, 2], "z": [3, 5]},
            output="so far [3, 5]\n",
            errors=(
                PlanError(
                    type="IndexError",
                    message="list index out of range",
                    line=4,
                    column=1,
                    code_line="z[5]",
                    hint="z has 2 items: [3, 5]",
                ),
            ),
        ),
        calls=[
            CallRecord(
                call=1,
                function="pair_sum",
                server="demo",
                arguments={"a": [1, 2], "b": [2, 3]},
                line=2,
                bound_to=("z",),
                ok=True,
                value=[3, 5],
                ms=0.8,
                read_only=True,
            )
        ],
    )
    expected = {
        "status": "error",
        "session": "s_5f0c",
        "run": "r_91ab",
        "function_results": {"pair_sum": ["z"]},
        "variables": {"x": [1, 2], "z": [3, 5]},
        "calls": [
            {
                "call": 1,
                "function": "pair_sum",
                "server": "demo",
                "arguments": {"a": [1, 2], "b": [2, 3]},
                "line": 2,
                "bound_to": ["z"],
                "ok": True,
                "value": [3, 5],
                "ms": 0.8,
                "read_only": True,
                "parallel": False,
            }
        ],
        "output": "so far [3, 5]\n",
        "errors": [
            {
                "type": "IndexError",
                "message": "list index out of range",
                "line": 4,
                "column": 1,
                "code_line": "z[5]",
                "hint": "z has 2 items: [3, 5]",
            }
        ],
    }
    assert answer == expected
    assert list(answer) == list(expected)
    assert list(answer["calls"][0]) == list(expected["calls"][0])


def test_every_key_stands_where_the_contract_lists_it() -> None:
    answer = build_answer(
        "approval_required",
        session="s",
        run="r",
        outcome=Outcome(status="ok", result=None, has_result=True, truncated={"big": 9_000_000, RESULT: 7}),
        plan="x = 1",
        attempts=[Attempt(plan="x =", errors=(PlanError(type="SyntaxError", message="no"),)), Attempt(plan="x = 1")],
        pending=[{"function": "f"}],
        warnings=["not a security boundary"],
        recovered={"kept": ["a"], "lost": []},
    )
    assert answer == {
        "status": "approval_required",
        "session": "s",
        "run": "r",
        "plan": "x = 1",
        "attempts": [
            {"plan": "x =", "errors": [{"type": "SyntaxError", "message": "no"}]},
            {"plan": "x = 1", "errors": []},
        ],
        "result": None,
        "function_results": {},
        "variables": {},
        "calls": [],
        "output": "",
        "errors": [],
        "pending": [{"function": "f"}],
        "truncated": [{"path": "variables/big", "size": 9_000_000}, {"path": "result", "size": 7}],
        "warnings": ["not a security boundary"],
        "recovered": {"kept": ["a"], "lost": []},
    }
    assert list(answer) == [
        "status", "session", "run", "plan", "attempts", "result", "function_results", "variables", "calls",
        "output", "errors", "pending", "truncated", "warnings", "recovered",
    ]  # fmt: skip


def test_what_does_not_apply_is_left_out() -> None:
    assert build_answer("running", run="r", attempts=[Attempt(plan="x")]) == {
        "status": "running",
        "run": "r",
        "function_results": {},
        "variables": {},
        "calls": [],
        "output": "",
        "errors": [],
    }


def test_a_failed_call_has_an_error_and_no_value() -> None:
    failed = CallRecord(
        call=1, function="f", server="s", arguments={}, line=None, ok=False, error="boom", ms=0.1, read_only=False
    )
    assert build_answer("error", calls=[failed])["calls"] == [
        {
            "call": 1,
            "function": "f",
            "server": "s",
            "arguments": {},
            "line": None,
            "bound_to": [],
            "ok": False,
            "error": "boom",
            "ms": 0.1,
            "read_only": False,
            "parallel": False,
        }
    ]


def test_calls_stand_in_program_order_whatever_order_they_ended_in() -> None:
    answer = build_answer("ok", calls=[record(2, "g", "b"), record(1, "f", "a")])
    assert [call["call"] for call in answer["calls"]] == [1, 2]
    assert list(answer["function_results"].items()) == [("f", ["a"]), ("g", ["b"])]


def test_function_results_name_each_variable_once_in_order_of_first_binding() -> None:
    calls = [record(3, "f", "z"), record(1, "f", "z", "k"), record(2, "g"), record(4, "f", "a", "z", "a")]
    assert function_results(calls) == {"f": ["z", "k", "a"], "g": []}


def test_a_function_name_that_two_servers_share_gets_its_server() -> None:
    calls = [record(1, "status", "a", server="git"), record(2, "status", "b", server="svn"), record(3, "log", "c")]
    assert function_results(calls) == {"git.status": ["a"], "svn.status": ["b"], "log": ["c"]}


def test_a_function_that_comes_with_its_server_keeps_that_name() -> None:
    calls = [record(1, "git.status", "a", server="git"), record(2, "git.log", "b", server="git")]
    assert function_results(calls) == {"git.status": ["a"], "git.log": ["b"]}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("ok", False),
        ("running", False),
        ("approval_required", False),
        ("error", True),
        ("refused", True),
        ("timeout", True),
        ("limit", True),
        ("denied", True),
        ("cancelled", True),
    ],
)
def test_every_other_status_is_an_error_to_the_host(status: Status, error: bool) -> None:
    assert is_error(status) is error


def test_what_the_worker_has_cut_is_named_with_how_much_there_is() -> None:
    left = Outcome(
        status="ok",
        result="ab... 7 characters left out ...",
        has_result=True,
        variables={
            "result": [1, 2, "... 3 more"],
            "größe": {"a": 1, "...": "4 more"},
            "deep": {"count": 9, "rows": [1, "... 8 more"], "...": "2 more"},
            "texts": ["ab... 7 characters left out ..."],
            "own": [1, ["... 5 more"], "... 3 more"],
        },
        truncated={RESULT: 9, "result": 5, "größe": 5, "deep": 4, "texts": 1, "own": 5},
    )
    answer = build_answer("ok", outcome=left)
    assert answer["result"] == "ab… 7 characters left out …"
    assert answer["variables"] == {
        "result": [1, 2, "… 3 more"],
        "größe": {"a": 1, "…": "4 more"},
        "deep": {"count": 9, "rows": [1, "… 8 more"], "…": "2 more"},
        "texts": ["ab… 7 characters left out …"],
        "own": [1, ["... 5 more"], "… 3 more"],
    }
    assert answer["truncated"] == [
        {"path": "result", "size": 9, "kept": 2},
        {"path": "variables/result", "size": 5, "kept": 2},
        {"path": "variables/gr%C3%B6%C3%9Fe", "size": 5, "kept": 1},
        {"path": "variables/deep", "size": 4, "kept": 2},
        {"path": "variables/deep/rows", "size": 9, "kept": 1},
        {"path": "variables/texts/0", "size": 9, "kept": 2},
        {"path": "variables/own", "size": 5, "kept": 2},
    ]
