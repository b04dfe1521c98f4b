"""What a plan's author is told when it fails: where, and what would help."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker


# Plan → type, line, column, hint.
ERRORS = {
    "index": ("z = [3, 5]\nz[5]", "IndexError", 2, 1, "z has 2 items: [3, 5]"),
    "index one": ("z = [3]\nx = z[1]", "IndexError", 2, 5, "z has 1 item: [3]"),
    "index nested": ("d = {'k': [1]}\nd['k'][4]", "IndexError", 2, 1, "d['k'] has 1 item: [1]"),
    "key": ("d = {'name': 1, 'size': 2}\nd['nam']", "KeyError", 2, 1,
            "Did you mean 'name'? d has the keys 'name', 'size'."),
    "key unlike": ("d = {'name': 1}\nd['q']", "KeyError", 2, 1, "d has the key 'name'."),
    "empty dict": ("d = {}\nd['q']", "KeyError", 2, 1, "d is an empty dict."),
    "attribute of a dict": ("r = {'name': 1}\nr.name", "AttributeError", 2, 1, "r is a dict: use r['name']."),
    "attribute": ("'a'.uper()", "AttributeError", 1, 1, "Did you mean 'upper'?"),
    "attribute of none": ("x = None\nx.upper()", "AttributeError", 2, 1, "x is None."),
    "subscript of none": ("x = None\nx['a']", "TypeError", 2, 1, "x is None."),
    "text index": ("x = 'abc'\nx['a']", "TypeError", 2, 1, "x is text: 'abc'"),
    "list index": ("x = [{'a': 1}]\nx['a']", "TypeError", 2, 1, "x is a list of 1 item: [{…}]"),
    "operands": ("n = 5\n'a' + n", "TypeError", 2, 1, "'a' is 'a' (str); n is 5 (int)."),
    "long integer as text": ("str(10 ** 5000)", "ValueError", 1, 1, "n.bit_length()"),
    "name at run time": ("count = 1\ndel count\ncount", "NameError", 3, 1, None),
    "unbound local": ("def f():\n    print(v)\n    v = 1\nf()", "UnboundLocalError", 2, 11, None),
    "in a function": ("def f(x):\n    return x[0]\n\nf([])", "IndexError", 2, 12, "x has 0 items: []"),
    # From 3.12 on, a comprehension's variables are gone when its error is looked at.
    "in a comprehension": (
        "[i['a'] for i in [{'b': 1}]]", "KeyError", 1, 2, "i has the key 'b'." if sys.version_info < (3, 12) else None
    ),
    "raised": ("raise ValueError('no')", "ValueError", 1, 1, None),
    "own class": ("class Bad(Exception): pass\nraise Bad('x')", "Bad", 2, 1, None),
    "in library code": ("import json\n\njson.loads('{')", "JSONDecodeError", 3, 1, None),
    "after wide characters": ("x = 'é😀'; y = [][0]", "IndexError", 1, 15, None),
    "misspelt import": ("from collections import Countr", "ImportError", 1, 1, None),
    "policy": ("getattr([], '__class__')", "PolicyError", 1, 1, None),
    "system exit": ("raise SystemExit(1)", "SystemExit", 1, 1, None),
    "keyboard interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt", 1, 1, None),
    "generator exit": ("raise GeneratorExit", "GeneratorExit", 1, 1, None),
    "recursion": ("def f(n):\n    return f(n + 1)\nf(0)", "RecursionError", 2, None, "loop"),
    "import at run time": ("def f():\n    try:\n        import nope\n    except ImportError: raise\nf()",
                           "ModuleNotFoundError", 3, 9, None),
    "setting on a builtin": ("x = []\nx.size = 3", "AttributeError", 2, None, None),
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("print(1, x=2)", "print() got an unexpected keyword argument 'x'"),
        ("call_tool('echo', x=2)", "call_tool() got an unexpected keyword argument 'x'"),
        ("ask_model('?', x=2)", "ask_model() got an unexpected keyword argument 'x'"),
        ("search_tools(x=2)", "search_tools() got an unexpected keyword argument 'x'"),
        ("dir()", "dir() missing 1 required positional argument: 'target'"),
        ("import json\njson.load()", "load() missing 1 required positional argument: 'file'"),
        ("import functools\nfunctools.cache(x=2)", "cache() got an unexpected keyword argument 'x'"),
        ("import asyncio\nasyncio.run(x=2)", "run() got an unexpected keyword argument 'x'"),
        ("import asyncio\nasyncio.Semaphore(x=2)", "Semaphore.__init__() got an unexpected keyword argument 'x'"),
        ("import asyncio\nasyncio.Queue().get(2)", "Queue.get() takes 1 positional argument but 2 were given"),
        ("str.format()", "format() missing 1 required positional argument: 'template'"),
        ("import operator\noperator.attrgetter()", "attrgetter() missing 1 required positional argument: 'name'"),
        ("print(1, sep=3)", "sep must be None or a string, not int"),
        ("print(1, end=3)", "end must be None or a string, not int"),
    ],
)
def test_a_wrong_call_names_the_function_as_the_plan_does(session: PlanWorker, call: str, message: str) -> None:
    run = session.run(call)

    assert (run.status, run.error["type"], run.error["message"]) == ("error", "TypeError", message)


@pytest.mark.parametrize(("source", "kind", "line", "column", "hint"), ERRORS.values(), ids=ERRORS)
def test_an_error_says_where_and_what_would_help(
    session: PlanWorker, source: str, kind: str, line: int, column: int | None, hint: str | None
) -> None:
    run = session.run(source)

    assert (run.status, run.error["type"], run.error["line"]) == ("error", kind, line)
    assert column is None or run.error["column"] == column
    assert run.error["code_line"] == source.splitlines()[line - 1].strip()
    assert hint is None or hint in run.error["hint"]
    assert session.run("1").result == 1


def test_the_contracts_example(worker: PlanWorker) -> None:
    tools = {"demo.pair_sum": lambda a, b: [x + y for x, y in zip(a, b, strict=True)]}

    run = worker.run('x = [1, 2]\nz = pair_sum(a=x, b=[2, 3])\nprint("so far", z)\nz[5]', tools)

    assert run.status == "error"
    assert run.function_results == {"pair_sum": ["z"]}
    assert run.variables == {"x": [1, 2], "z": [3, 5]}
    assert run.output == "so far [3, 5]\n"
    assert run.error == {
        "type": "IndexError", "message": "list index out of range", "line": 4, "column": 1, "code_line": "z[5]",
        "hint": "z has 2 items: [3, 5]",
    }  # fmt: skip


def test_an_error_in_an_earlier_plans_function_points_at_the_call(worker: PlanWorker) -> None:
    worker.run("def first(xs):\n    return xs[0]")

    run = worker.run("ok = 1\nfirst([])")

    assert (run.error["line"], run.error["code_line"]) == (2, "first([])")


@pytest.mark.parametrize(
    "method", ["while True: pass", "raise ValueError", "return 5", "return S('x')\nclass S(str): pass"]
)
def test_an_exception_with_a_hostile_text_is_still_reported(worker: PlanWorker, method: str) -> None:
    run = worker.run(f"class E(Exception):\n    def __str__(self):\n        {method}\nraise E()", within=4)

    assert (run.status, run.error["type"]) == ("error", "E")


def test_a_misspelt_import_says_what_was_meant(session: PlanWorker) -> None:
    assert "Did you mean 'Counter'?" in session.run("from collections import Countr").error["message"]
