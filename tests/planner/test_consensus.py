"""Plans are compared by what they call, and the one most like the others is chosen."""

from __future__ import annotations

from typing import Any

from planact_server.answer import CallRecord
from planact_server.planner.consensus import likeness, medoid, trace


def calls(*made: tuple[str, dict[str, Any]]) -> list[CallRecord]:
    return [
        CallRecord(call=number, function=name, server="s", arguments=arguments, line=1, ok=True, ms=1.0, read_only=True)
        for number, (name, arguments) in enumerate(made, start=1)
    ]


def test_a_trace_is_what_was_called_in_program_order_whatever_the_order_of_arguments() -> None:
    first = trace(calls(("f", {"a": 1, "b": [2]}), ("g", {})))
    again = trace(reversed(calls(("f", {"b": [2], "a": 1}), ("g", {}))))
    assert first == again == ('s.f({"a": 1, "b": [2]}', "s.g({}")


def test_likeness_is_whole_for_equal_traces_none_for_strangers_and_between_for_the_rest() -> None:
    book, remind, other = ('s.book({"day": 1}', 's.remind({"x": 1}', 's.book({"day": 2}')

    assert likeness((book, remind), (book, remind)) == 1.0
    assert likeness((), ()) == 1.0
    assert likeness((book,), ()) == 0.0
    assert likeness((book,), (remind,)) == 0.0
    assert likeness((book, remind), (remind, book)) == 0.75
    assert likeness((book,), (other,)) == 0.125
    assert likeness((book, remind), (book,)) == likeness((book,), (book, remind)) == 2 / 3


def test_the_majority_wins_over_the_first() -> None:
    assert medoid([("a",), ("b", "c"), ("b", "c"), ("d",)]) == 1


def test_the_one_in_the_middle_wins_where_no_two_are_equal() -> None:
    assert medoid([("a", "b", "x", "y"), ("a", "b", "c", "d"), ("a", "b", "c"), ("z",)]) == 2


def test_equal_agreement_goes_to_the_first_and_only_those_among_may_win() -> None:
    traces = [("a",), ("b",), ("b",), ("a",)]
    assert medoid(traces) == 0
    assert medoid(traces, among=[1, 3]) == 1
    assert medoid([("b",), ("b",), ("c",)], among=[2]) == 2
