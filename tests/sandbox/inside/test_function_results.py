"""Which names the results of calls were bound to, as it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.inside.plan_worker import Fault

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker


def echo(value: object = None) -> object:
    return value


def pair(first: object = 1, second: object = 2) -> list[object]:
    return [first, second]


def fail(reason: object = "") -> object:
    raise Fault(type="ToolError", message="no", server="demo", tool="fail")


TOOLS = {"demo.echo": echo, "demo.pair": pair, "demo.fail": fail}

# Plan → the names each call was bound to, in program order.
BINDINGS = {
    "whole right side": ("x = echo(1)", [["x"]]),
    "server and tool": ("x = demo.echo(1)", [["x"]]),
    "nothing": ("echo(1)", [[]]),
    "annotated": ("x: int = echo(1)", [["x"]]),
    "chained": ("x = y = echo(1)", [["x", "y"]]),
    "unpacked": ("a, b = pair()", [["a", "b"]]),
    "starred": ("a, *b = pair()", [["a", "b"]]),
    "nested targets": ("(a, b), c = echo([[1, 2], 3])", [["a", "b", "c"]]),
    "element by element": ("a, b = echo(1), echo(2)", [["a"], ["b"]]),
    "nested element by element": ("(a, b), c = (echo(1), echo(2)), echo(3)", [["a"], ["b"], ["c"]]),
    "unequal sides": ("a, *b = echo(1), echo(2)", [["a", "b"], ["a", "b"]]),
    "subscript": ("d = {}\nd['k'] = echo(1)", [["d"]]),
    "deep subscript": ("d = {'a': [0]}\nd['a'][0] = echo(1)", [["d"]]),
    "attribute": ("class A: pass\no = A()\no.x = echo(1)", [["o"]]),
    "list": ("x = [echo(1), 2, echo(3)]", [["x"], ["x"]]),
    "tuple": ("x = (echo(1), echo(2))", [["x"], ["x"]]),
    "set": ("x = {echo(1), echo(2)}", [["x"], ["x"]]),
    "dict": ("x = {'a': echo(1), echo('b'): 2}", [["x"], ["x"]]),
    "nested containers": ("x = [{'a': [echo(1)]}, (echo(2),)]", [["x"], ["x"]]),
    "comprehension": ("x = [echo(i) for i in range(3)]", [["x"], ["x"], ["x"]]),
    "more than one frame carries": ("x = [echo(i) for i in range(150)]\ny = echo(1)", [["x"]] * 150 + [["y"]]),
    "dict comprehension": ("x = {i: echo(i) for i in range(2)}", [["x"], ["x"]]),
    "set comprehension": ("x = {echo(i) for i in range(2)}", [["x"], ["x"]]),
    "nested comprehension": ("x = [[echo(i + j) for i in range(2)] for j in range(1)]", [["x"], ["x"]]),
    "comprehension condition": ("x = [i for i in range(2) if echo(i)]", [[], []]),
    "plus": ("x = 1\nx += echo(1)", [["x"]]),
    "plus list": ("x = []\nx += [echo(1)]", [["x"]]),
    "plus subscript": ("x = {'a': 1}\nx['a'] += echo(1)", [["x"]]),
    "walrus": ("if (x := echo(1)):\n    pass", [["x"]]),
    "walrus in a container": ("print(x := [echo(1)])", [["x"]]),
    "walrus inside an assignment": ("y = (x := echo(1))", [["y", "x"]]),
    "walrus in a comprehension": ("x = [y for i in [1] if (y := echo(i))]", [["y"]]),
    "loop": ("for i in range(2):\n    x = echo(i)", [["x"], ["x"]]),
    "only the branch that ran": ("if echo(0):\n    x = echo(1)\nelse:\n    y = echo(2)", [[], ["y"]]),
    "inside an expression": ("x = echo(1) + 1", [[]]),
    "argument of a call": ("x = echo(echo(1))", [[], ["x"]]),
    "argument of a builtin": ("x = len(pair())", [[]]),
    "conditional expression": ("x = echo(1) if True else 2", [[]]),
    "subscript of the result": ("x = pair()[0]", [[]]),
    "attribute of the result": ("x = echo('a').upper()", [[]]),
    "through map": ("x = list(map(echo, [1, 2]))", [[], []]),
    "through sorted": ("x = sorted([2, 1], key=echo)", [[], []]),
    "through map in a comprehension": ("x = [v for v in map(echo, [1])]", [[]]),
    "starred element": ("x = [*pair()]", [[]]),
    "alias": ("f = echo\nx = f(1)", [["x"]]),
    "alias of a server": ("s = demo\nx = s.echo(1)\nd = {}\nd[1] = s.echo(1)", [["x"], ["d"]]),
    "partial": ("import functools\nf = functools.partial(echo, 1)\nx = f()", [["x"]]),
    "tool in a dict": ("fs = {'e': echo}\nx = fs['e'](1)", [["x"]]),
    "tool as parameter": ("def go(f):\n    inner = {}\n    inner['a'] = f(1)\ngo(echo)", [["inner"]]),
    "raw name": ("x = call_tool('echo', {'value': 1}, server='demo')", [["x"]]),
    "inside a function": ("def go():\n    x = echo(1)\n    return x\ny = go()", [["x"]]),
    "through a function": ("def go():\n    return echo(1)\ny = go()", [[]]),
    "keyword call over lines": ("x = pair(\n    first=1,\n    second=2,\n)", [["x"]]),
    "method chain over lines": ("x = (demo\n     .echo(1))", [["x"]]),
    "raised": ("try:\n    x = fail()\nexcept ToolError:\n    pass", [[]]),
    "unpacking fails": ("try:\n    a, b = echo([1])\nexcept ValueError:\n    pass", [[]]),
    "later element fails": ("try:\n    x = [echo(1), fail()]\nexcept ToolError:\n    pass", [[], []]),
    "subscript fails": ("t = (1,)\ntry:\n    t[0] = echo(1)\nexcept TypeError:\n    pass", [[]]),
    "plus fails": ("x = 'a'\ntry:\n    x += echo(1)\nexcept TypeError:\n    pass", [[]]),
    "fails, then works": (
        "d = [0, 0]\nfor i in (7, 1):\n    try:\n        d[i] = echo(i)\n    except IndexError:\n        pass",
        [[], ["d"]],
    ),
    "comprehension fails, then works": (
        "for xs in ([1, 'a'], [1, 2]):\n try:\n  y = [[echo(x), 1 + x] for x in xs]\n except TypeError:\n  pass",
        [[], [], ["y"], ["y"]],
    ),
    "recursion": (
        "def go(n):\n    d = {}\n    d['a'] = [echo(n), go(n - 1) if n else None]\ngo(1)",
        [["d"], ["d"]],
    ),
    "await": ("x = await echo(1)", [["x"]]),
    "await unpacked": ("a, b = await pair()", [["a", "b"]]),
    "await in a comprehension": ("x = [await echo(i) for i in range(2)]", [["x"], ["x"]]),
    "await in a coroutine": ("async def go():\n    x = await echo(1)\n    return x\ny = await go()", [["x"]]),
    "gather": ("import asyncio\na, b = await asyncio.gather(echo(1), echo(2))", [[], []]),
    "def shadows the tool": ("def echo(x):\n    return x\ny = echo(1)", []),
    "rebound from itself": ("pair = pair()", [["pair"]]),
}  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), BINDINGS.values(), ids=BINDINGS)
def test_a_result_is_bound_to_the_names_that_received_it(
    session: PlanWorker, source: str, expected: list[list[str]]
) -> None:
    run = session.run(f"{source}\nclean = 'up'", TOOLS)
    names = [*run.variables, "echo", "pair", "f", "s"]
    session.run("\n".join(f"try:\n    del {name}\nexcept NameError:\n    pass" for name in names))

    assert (run.status, run.done["errors"]) == ("ok", [])
    assert [run.bound.get(call["call"], []) for call in run.calls] == expected


def test_the_articles_own_example_is_observed_while_running(session: PlanWorker) -> None:
    run = session.run("x = [1, 2]\nz = pair(x)\nfor n in range(2):\n    k = pair(n)\necho()\nz = pair()", TOOLS)

    assert run.function_results == {"pair": ["z", "k"], "echo": []}


def test_every_call_knows_its_line(session: PlanWorker) -> None:
    run = session.run("a = echo(1)\n\ndef go():\n    return [\n        echo(2)]\ngo()\nlist(map(echo, [3]))", TOOLS)

    assert [call["line"] for call in run.calls] == [1, 5, 7]


def test_a_call_in_a_function_of_an_earlier_plan_has_the_line_that_called_the_function(session: PlanWorker) -> None:
    session.run("def later(n):\n\n\n    got = echo(n)\n    return got", TOOLS)

    run = session.run("x = 1\ny = later(5)", TOOLS)

    assert ([call["line"] for call in run.calls], run.bound) == ([2], {1: ["got"]})


def test_bindings_up_to_an_error_stay(session: PlanWorker) -> None:
    run = session.run("a = echo(1)\nb = fail()", TOOLS)

    assert (run.status, run.bound) == ("error", {1: ["a"]})
