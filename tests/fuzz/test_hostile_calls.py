"""Everything that plans can call is called with all that plans can make: nothing of Python's machinery comes out.

A counterexample names hostile values: `hostile.py` says what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fuzz.child import Child
from fuzz.hostile import NAMES
from fuzz.planted import PLANTED

if TYPE_CHECKING:
    from collections.abc import Iterator

ARGUMENTS = st.fixed_dictionaries(
    {
        "positional": st.lists(st.sampled_from(NAMES), max_size=4),
        "keywords": st.lists(st.tuples(st.integers(0, 9), st.sampled_from(NAMES)), max_size=2),
    }
)
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.fixture(scope="module")
def calls() -> Iterator[Child]:
    child = Child("fuzz.serve_calls")
    yield child
    child.close()


@example({"positional": ["hostile_function", "generator"]})
@example({"positional": ["class object", "with properties"]})
@given(ARGUMENTS)
@settings(max_examples=1, derandomize=True, **SETTINGS)
def test_no_call_hands_out_the_machinery(calls: Child, arguments: dict[str, Any]) -> None:
    assert calls.ask(arguments) == []
    assert calls.last["targets"] > 2000


@pytest.mark.check
@given(ARGUMENTS)
@settings(max_examples=40, **SETTINGS)
def test_no_call_hands_out_the_machinery_whatever_it_is_given(calls: Child, arguments: dict[str, Any]) -> None:
    assert calls.ask(arguments) == []


@pytest.mark.check
def test_the_fuzzer_sees_leaks_that_are_planted() -> None:
    """A wrapper that hands out a frame, an `attrgetter` past the guard, a module in an exception: each is found."""
    child = Child("fuzz.serve_calls", "--plant")
    requests = [["text gi_frame", "generator"], ["hostile_function", "generator"], []]
    try:
        found = {
            name: any(child.ask({"positional": names, "only": name}, fresh=False) for names in requests)
            for name in PLANTED
        }
    finally:
        child.close()

    assert found == dict.fromkeys(PLANTED, True)
