"""What a plan leaves behind, as JSON and within budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker

EXPORTED = {
    "plain": ("[1, 'a', None, True, 1.5, {'k': []}]", [1, "a", None, True, 1.5, {"k": []}]),
    "tuple": ("(1, (2, 3))", [1, [2, 3]]),
    "set": ("{1}", [1]),
    "frozenset": ("frozenset(['a'])", ["a"]),
    "deque": ("deque([1])", [1]),
    "dates": ("[datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3), datetime.time(4)]",
              ["2024-01-02", "2024-01-02T03:00:00", "04:00:00"]),
    "decimal": ("decimal.Decimal('1.10')", "1.10"),
    "uuid": ("uuid.UUID(int=5)", "00000000-0000-0000-0000-000000000005"),
    "not a number": ("[float('nan'), float('inf'), -float('inf')]", ["nan", "inf", "-inf"]),
    "keys": ("{1: 'a', None: 'b', 2.5: 'c', (1, 2): 'd', datetime.date(2024, 1, 2): 'e'}",
             {"1": "a", "None": "b", "2.5": "c", "(1, 2)": "d", "2024-01-02": "e"}),
    "bytes": ("b'ab'", {"$type": "bytes", "repr": "b'ab'"}),
    "object": ("P(1)", {"$type": "P", "repr": "P(x=1)"}),
    "enum": ("E.a", {"$type": "E", "repr": "<E.a: 1>"}),
    "int enum": ("I.a", {"$type": "I", "repr": "<I.a: 1>"}),
    "named tuple": ("N(1, 2)", [1, 2]),
    "counter": ("Counter('aab')", {"a": 2, "b": 1}),
    "subclasses": ("[S('x'), L([1])]", ["x", [1]]),
    "range": ("range(3)", {"$type": "range", "repr": "range(0, 3)"}),
    "large int": ("2 ** 100", 2**100),
    "huge int": ("2 ** 100_000", {"$type": "int", "repr": "<int of 100001 bits>"}),
    "function": ("len", {"$type": "builtin_function_or_method", "repr": "<built-in function len>"}),
    "address": ("object()", {"$type": "object", "repr": "<object object>"}),
    "class": ("int", {"$type": "type", "repr": "<class 'int'>"}),
    "surrogate": ("'a\\ud800'", "a?"),
}  # fmt: skip

SETUP = """
import datetime, decimal, uuid
from collections import Counter, deque, namedtuple
from dataclasses import dataclass
from enum import Enum, IntEnum
@dataclass
class P:
    x: int
E = Enum('E', 'a')
I = IntEnum('I', 'a')
N = namedtuple('N', 'x y')
class S(str):
    def __str__(self): return 'changed'
class L(list):
    def __iter__(self): return iter('changed')
"""


@pytest.mark.parametrize(("expression", "expected"), EXPORTED.values(), ids=EXPORTED)
def test_a_value_is_exported_as_the_contract_says(session: PlanWorker, expression: str, expected: object) -> None:
    session.run(SETUP)

    run = session.run(expression)

    assert (run.status, run.result) == ("ok", expected)


def test_a_value_that_contains_itself_ends(session: PlanWorker) -> None:
    run = session.run("x = [1]\nx.append(x)\nd = {'x': x}\nd['d'] = d\nd")

    assert run.result == {"x": [1, {"$type": "list", "repr": "[...]"}], "d": {"$type": "dict", "repr": "{...}"}}


def test_variables_hold_what_was_made_bound_again_or_changed_in_place(worker: PlanWorker) -> None:
    first = worker.run("a = 1\nb = [1]\nc = {'k': []}\n_d = 4\nsame = 1\nfor i in range(2): pass")
    second = worker.run("a = 2\nb.append(2)\nc['k'].append(3)\nnew = a\nsame = 1\nunused = None")
    third = worker.run("print(a, b)")

    assert first.variables == {"a": 1, "b": [1], "c": {"k": []}, "_d": 4, "same": 1, "i": 1}
    assert second.variables == {"a": 2, "b": [1, 2], "c": {"k": [3]}, "same": 1, "new": 2, "unused": None}
    assert third.variables == {}


def test_functions_classes_and_modules_are_no_variables(worker: PlanWorker) -> None:
    run = worker.run("import math\nfrom json import dumps\ndef f(): pass\nclass A: pass\ng = lambda: 1\na = A()\nx = 1")

    assert run.done["functions"] == ["math", "dumps", "f", "A", "g"]
    assert list(run.variables) == ["a", "x"]


def test_deleted_variables_are_named(worker: PlanWorker) -> None:
    worker.run("a = b = 1\ndef f(): pass")

    run = worker.run("del a, f")

    assert (run.done["deleted"], run.done["functions"]) == (["a", "f"], [])


def test_restored_variables_are_there_and_unchanged(worker: PlanWorker) -> None:
    worker.restore({"a": [1], "__builtins__": {}, "not a name": 1})

    run = worker.run("a.append(2)\na")

    assert (run.result, run.variables) == ([1, 2], {"a": [1, 2]})
    assert worker.run("len(a)").variables == {}


def test_partial_state_stays_when_a_plan_fails(worker: PlanWorker) -> None:
    run = worker.run("x = [1]\nx.append(2)\ny = x[9]\nz = 1")

    assert (run.status, run.variables) == ("error", {"x": [1, 2]})


def test_a_large_variable_is_cut_and_the_small_ones_stay_whole(worker: PlanWorker) -> None:
    run = worker.run("big = list(range(100_000))\ntext = 'é' * 100_000\nsmall = {'a': 1}\nsmall", state_bytes=20_000)

    assert (run.result, run.variables["small"]) == ({"a": 1}, {"a": 1})
    assert run.done["truncated"] == {"big": 100_000, "text": 100_000}
    assert run.variables["big"][:3] == [0, 1, 2]
    assert 4_000 < len(run.variables["text"].encode()) < 20_000


def test_what_is_cut_says_so_where_it_is_cut_and_no_item_is_cut_in_two(worker: PlanWorker) -> None:
    source = """
rows = [{"id": n, "text": "y" * 50} for n in range(1_000)]
table = {f"k{n}": n for n in range(10_000)}
deep = {"rows": [[n, n] for n in range(10_000)]}
"""
    run = worker.run(source, state_bytes=30_000)

    *rows, last = run.variables["rows"]
    assert (last, rows) == (f"... {1_000 - len(rows)} more", [{"id": n, "text": "y" * 50} for n in range(len(rows))])
    table = dict(run.variables["table"])
    assert table.pop("...") == f"{10_000 - len(table)} more"
    *pairs, last = run.variables["deep"]["rows"]
    assert (last, pairs) == (f"... {10_000 - len(pairs)} more", [[n, n] for n in range(len(pairs))])
    assert run.done["truncated"] == {"rows": 1_000, "table": 10_000, "deep": 1}
    for letter in "éz":
        text = worker.run(f"text = {letter!r} * 100_000", state_bytes=20_000).variables["text"]
        kept = text.count(letter)
        assert text == f"{letter * kept}... {100_000 - kept} characters left out ..."


def test_a_variable_called_result_is_not_the_result(worker: PlanWorker) -> None:
    one = worker.run("result = list(range(100_000))\n1", state_bytes=20_000)
    other = worker.run("result = 1\n'x' * 100_000", state_bytes=20_000)
    assert (one.done["truncated"], one.result) == ({"result": 100_000}, 1)
    assert (other.done["truncated"], other.variables) == ({"__result__": 100_000}, {"result": 1})


def test_state_that_json_inflates_still_fits_into_a_frame(worker: PlanWorker) -> None:
    run = worker.run("x = '\\x00' * 900_000\ny = 1", state_bytes=1_000_000, frame_bytes=1_500_000)

    assert (run.status, run.variables["y"], run.done["truncated"]) == ("ok", 1, {"x": 900_000})


HOSTILE = {
    "endless": "while True: pass",
    "raises": "raise ValueError",
    "no text": "return 5",
    "swallows": "while True:\n            try:\n                go()\n            finally:\n                continue",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_repr_costs_a_moment_and_the_worker_says_what_it_can(worker: PlanWorker, body: str) -> None:
    go = "def go():\n    for _ in range(10_000): pass"

    run = worker.run(f"{go}\nclass A:\n    def __repr__(self):\n        {body}\na = A()\nok = 1", within=4)

    assert (run.status, run.variables) == ("ok", {"a": {"$type": "A", "repr": "<A object>"}, "ok": 1})


OWN_KINDS = {
    "text that is none": ("datetime.date", "isoformat", "return 5", "K(2024, 1, 2)",
                          {"$type": "K", "repr": "<K object>"}),
    "endless text": ("datetime.date", "isoformat", "while True: pass", "K(2024, 1, 2)",
                     {"$type": "K", "repr": "<K object>"}),
    "failing text": ("decimal.Decimal", "__str__", "raise ValueError", "K(1)", {"$type": "K", "repr": "<K object>"}),
    "failing key": ("datetime.date", "__str__", "raise ValueError", "{K(2024, 1, 2): 1}", {"<K object>": 1}),
    "failing time zone": ("datetime.tzinfo", "utcoffset", "raise ValueError", "datetime.time(4, tzinfo=K())",
                          {"$type": "time", "repr": "<time object>"}),
    "failing int": ("int", "__int__", "raise ValueError", "K(7)", 7),
    "failing float": ("float", "__float__", "raise ValueError", "K(0.5)", 0.5),
    "endless length": ("list", "__len__", "while True: pass", "K(['a' * 600_000, 'b' * 600_000])", None),
}  # fmt: skip


@pytest.mark.parametrize(("base", "method", "body", "made", "shown"), OWN_KINDS.values(), ids=OWN_KINDS)
def test_a_plans_own_variant_of_a_known_kind_cannot_break_the_export(
    worker: PlanWorker, base: str, method: str, body: str, made: str, shown: object
) -> None:
    own = f"class K({base}):\n    def {method}(self, *_):\n        {body}\n"

    run = worker.run(f"import datetime, decimal\n{own}x = {made}", within=4)

    assert run.status == "ok"
    assert shown is None or run.variables["x"] == shown


def test_many_kinds_of_hostile_repr_cost_a_moment_together(worker: PlanWorker) -> None:
    endless = "def made():\n    class A:\n        def __repr__(self):\n            while True: pass\n    return A()\n"

    run = worker.run(f"{endless}x = [made() for _ in range(40)]", within=5)

    assert run.variables == {"x": [{"$type": "A", "repr": "<A object>"}] * 40}


def test_an_error_about_a_hostile_value_costs_a_moment(worker: PlanWorker) -> None:
    run = worker.run("class L(list):\n    def __len__(self):\n        while True: pass\nx = L()\nx[3]", within=4)

    assert (run.status, run.error["type"], run.error["line"]) == ("error", "IndexError", 5)


def test_after_a_hostile_repr_the_session_is_quick_again(worker: PlanWorker) -> None:
    worker.run("class A:\n    def __repr__(self):\n        while True: pass\na = A()")

    assert worker.run("1").seconds < 0.2
