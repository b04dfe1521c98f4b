"""A text in circles is noticed while it is written; plans as people write them never are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from planact_server.planner.repetition import Repetition
from quantized.gold_plans import bfcl_plans, dpab_plans, nestful_plans  # noqa: TID251 - a folder of tests

if TYPE_CHECKING:
    from pathlib import Path


def noticed(text: str, *, piece: int = 5) -> str | None:
    """Feed a text as a model would write it; return the reason it was stopped for."""
    watching = Repetition()
    for start in range(0, len(text), piece):
        if watching.feed(text[start : start + piece]):
            return watching.reason
    return None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = f(1)\n" * 50, "the same line comes again and again"),
        ("a = f(1)\nb = g(a)\nprint(b)\n" * 50, "the same 3 lines repeat"),
        ("".join(f"x{n} = f(x{n - 1}, {n})\n" for n in range(1, 200)), "a line of the same form repeat without end"),
        (
            "".join(f"a{n} = f({n})\nb{n} = g(a{n})\n" for n in range(100)),
            "2 lines of the same form repeat without end",
        ),
        ("".join("    " * n + f"if x > {n}:\n" for n in range(60)), "the nesting gets deeper and deeper"),
        ("x = " + "[" * 500, "the nesting gets deeper and deeper"),
        ("x = f(" + "g(h(" * 200, "the nesting gets deeper and deeper"),
        ("x = '" + "a" * 3_000, "a piece of one line repeats without end"),
        ("x = '" + "very " * 400, "a piece of one line repeats without end"),
        ("x = [" + "'Main Street 1, ', " * 90, "a piece of one line repeats without end"),
        ("I think so. " * 90, "a piece of one line repeats without end"),
        ("x = '" + "".join(chr(97 + n * n % 26) + str(n) for n in range(6_000)), "one line has no end"),
        ("\n\n \n" * 3_000, "nothing but blank lines"),
    ],
)
def test_a_circle_is_noticed(text: str, reason: str) -> None:
    assert noticed(text) == reason


def test_a_circle_is_noticed_early_and_whatever_the_pieces() -> None:
    head = "day = '2026-12-01'\nslots = list_appointments(day=day)\n"
    for piece in (1, 7, 64, 10_000):
        assert noticed(head + "slots = list_appointments(day=day)\n" * 5, piece=piece) is not None
        assert noticed(head + "slots = list_appointments(day=day)\n" * 3, piece=piece) is None


@pytest.mark.parametrize(
    "plan",
    [
        "".join(f'add_to_reminders(reminder_text="Buy {thing}")\n' for thing in ["milk", "bread", "eggs", "tea"] * 4),
        "".join(f"touch(file_name='file_{n}.txt')\n" for n in range(50)),
        f"numbers = {list(range(400))}\nprint(sum(numbers))",
        f"rows = {[{'name': f'n{n}', 'age': n} for n in range(60)]}",
        "grid = [" + ", ".join(["0"] * 100) + "]",
        "line = '" + "-" * 200 + "'\nprint(line)",
        "for a in x:\n    for b in a:\n        for c in b:\n            if c:\n                f(c)",
        "x = f(g(h(i(j(k([{'a': (1, 2)}]))))))",
        "text = '''" + "Dear all,\n\nplease find the minutes attached.\n" * 3 + "'''\nsend(text)",
        "print()\nprint('a')\nprint()\nprint('b')\nprint()\nprint('c')\nprint()\n",
        "| a | b |\n|---|---|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(40)),
    ],
)
def test_a_plan_as_people_write_them_is_left_alone(plan: str) -> None:
    assert noticed(plan) is None


def test_no_gold_plan_of_the_benchmarks_is_stopped(shared: Path) -> None:
    plans = [*bfcl_plans(shared), *nestful_plans(shared), *dpab_plans(shared)]
    assert len(plans) > 1_700
    assert [plan.id for plan in plans if noticed(plan.source, piece=24) is not None] == []


@pytest.mark.parametrize("unit", ["a\\'b,", "\\'\\\"", "\"\\'x "])
def test_a_line_full_of_escaped_quotes_is_looked_through_in_linear_time(unit: str) -> None:
    """Whatever serves others waits meanwhile; it was minutes."""
    line = "'" + "".join(f"{unit}{number}" for number in range(3_000))
    began = time.perf_counter()
    assert noticed(line[:15_000]) is None
    assert time.perf_counter() - began < 5
