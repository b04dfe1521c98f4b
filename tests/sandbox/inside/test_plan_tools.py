"""Tools and helpers as plans meet them: names, arguments, errors, handles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.inside.plan_worker import Fault, Limit

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker


def add(a: Any, b: Any = 1) -> Any:
    return a + b


def echo(value: Any = None) -> Any:
    return value


def fail() -> None:
    raise Fault(
        type="ToolError", message="disk full", server="files", tool="fail", arguments={"p": 1}, hint="Free some space."
    )


TOOLS = {"math_server.add": add, "files.echo": echo, "files.fail": fail}


def test_names_are_asked_once_before_anything_runs(session: PlanWorker) -> None:
    run = session.run("print('x')\ny = [files.echo(add(n)) for n in range(2)]\nfiles.fail", TOOLS)

    assert run.resolved == ["files", "add", "files.echo", "files.fail"]
    assert run.output == "x\n"


@pytest.mark.parametrize(
    "source",
    ["[n for n in range(3)]", "def f(a, *b, c=1, **d):\n    return [a, b, c, d]\nf(1)", "import math\nmath.pi",
     "for i in range(2): pass\ni", "class A:\n    x = 1\n    y = x\nA.y",
     "try:\n    1/0\nexcept ZeroDivisionError as e:\n    str(e)",
     "match 1:\n    case n: n", "with_ = lambda q: q\nwith_(1)", "def g():\n    global made\n    made = 1\ng()\nmade",
     "[(y := 1) for _ in range(1)]\ny", "def h():\n    def inner(): return k\n    k = 2\n    return inner()\nh()"],
)  # fmt: skip
def test_names_that_the_plan_binds_itself_are_not_asked(worker: PlanWorker, source: str) -> None:
    assert (worker.run(source).resolved, worker.run(source).status) == ([], "ok")


REFUSED = {
    "undefined": ("x = 1\nprnt(x)", "NameError", 2, 1, "'print'"),
    "unknown tool": ("files.ech(1)", "AttributeError", 1, 1, None),
    "unknown keyword": ("ok = add(a=1, c=2)", "TypeError", 1, 15, "a, b"),
    "misspelt keyword": ("files.echo(valu=2)", "TypeError", 1, 12, "'value'"),
    "too many": ("add(1, 2, 3)", "TypeError", 1, 1, "a, b"),
    "in a function that is never called": ("def f():\n    return undefined_thing", "NameError", 2, 12, None),
}


@pytest.mark.parametrize(("source", "kind", "line", "column", "hint"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_name_that_is_visible_is_refused_before_anything_runs(
    session: PlanWorker, source: str, kind: str, line: int, column: int, hint: str | None
) -> None:
    run = session.run(f"{source}\nadd(1)", TOOLS)

    assert (run.status, run.calls) == ("refused", [])
    assert (run.error["type"], run.error["line"], run.error["column"]) == (kind, line, column)
    assert hint is None or hint in run.error["hint"]


def test_a_refused_call_names_function_and_parameter(session: PlanWorker) -> None:
    run = session.run("add(a=1, c=2)", TOOLS)

    assert (run.error["function"], run.error["parameter"]) == ("add", "c")


def test_a_users_own_name_hides_a_tool_in_this_and_in_later_plans(worker: PlanWorker) -> None:
    assert worker.run("def add(a, b):\n    return 'mine'\nadd(1, b=2)", TOOLS).result == "mine"
    assert worker.run("add(1, 2)", TOOLS).result == "mine"
    assert worker.run("del add\n1", TOOLS).status == "ok"
    assert worker.run("add(1, 2)", TOOLS).result == 3


def test_a_tool_that_is_gone_is_refused_by_name(worker: PlanWorker) -> None:
    worker.run("add(1)", TOOLS)

    assert worker.run("add(1)", {}).error["message"] == "name 'add' is not defined"


def test_arguments_become_json(session: PlanWorker) -> None:
    run = session.run(
        "import datetime, decimal, uuid, enum, collections\nclass C(enum.Enum):\n    A = 'a'\n"
        "echo([(1, 2), {3}, datetime.date(2024, 1, 2), datetime.time(1), decimal.Decimal('1.5'), uuid.UUID(int=1),"
        " C.A, collections.OrderedDict(x=1), {1: 2, C.A: 3}, range(2), {'k': 1}.keys(), True, None, 1.5])",
        TOOLS,
    )

    assert run.calls[0]["positional"] == [
        [[1, 2], [3], "2024-01-02", "01:00:00", "1.5", "00000000-0000-0000-0000-000000000001", "a", {"x": 1},
         {"1": 2, "a": 3}, [0, 1], ["k"], True, None, 1.5]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "kind", "hint"),
    [("b'x'", "TypeError", "base64"), ("object()", "TypeError", ""), ("float('nan')", "ValueError", "nan"),
     ("{(1, 2): 3}", "TypeError", "keys"), ("(i for i in [])", "TypeError", "list(value)"), ("len", "TypeError", "")],
)  # fmt: skip
def test_an_argument_that_is_no_json_never_leaves(session: PlanWorker, argument: str, kind: str, hint: str) -> None:
    run = session.run(f"echo(value={argument})", TOOLS)

    assert (run.calls, run.error["type"]) == ([], kind)
    assert "'value'" in run.error["message"]
    assert hint in run.error["message"]


def test_an_argument_larger_than_a_frame_never_leaves(session: PlanWorker) -> None:
    run = session.run("echo('a' * 200_000)", TOOLS, frame_bytes=100_000)

    assert (run.calls, run.error["type"]) == ([], "ValueError")


def test_a_tool_error_can_be_caught_with_what_it_knows(session: PlanWorker) -> None:
    run = session.run(
        "try:\n    fail()\nexcept ToolError as e:\n    r = [e.server, e.tool, e.arguments, e.message, str(e)]\nr", TOOLS
    )

    assert run.result == ["files", "fail", {"p": 1}, "disk full", "disk full"]


def test_an_uncaught_tool_error_names_the_call_and_keeps_the_hosts_hint(session: PlanWorker) -> None:
    run = session.run("add(1)\nx = fail()", TOOLS)

    assert run.error == {
        "type": "ToolError", "message": "disk full", "line": 2, "column": 5, "code_line": "x = fail()", "call": 2,
        "function": "fail", "hint": "Free some space.",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["TypeError", "ValueError", "NameError", "AttributeError", "LookupError"])
def test_the_host_chooses_the_exception_class(session: PlanWorker, kind: str) -> None:
    def wrong(a: Any = 1) -> None:
        raise Fault(type=kind, message="bad a", parameter="a", function="demo.wrong")

    run = session.run("wrong()", {"demo.wrong": wrong})

    assert (run.error["type"], run.error["parameter"], run.error["function"]) == (kind, "a", "demo.wrong")


def test_a_limit_answer_ends_the_plan_whatever_it_catches(session: PlanWorker) -> None:
    def stop() -> None:
        raise Limit("1,000 calls")

    run = session.run("try:\n    stop()\nexcept:\n    pass\nfinally:\n    x = 1\ny = 2", {"demo.stop": stop})

    assert (run.status, run.error["message"], run.variables) == ("limit", "1,000 calls", {"x": 1})


def test_a_misspelt_tool_gets_the_hosts_advice_unless_a_variable_is_meant(session: PlanWorker) -> None:
    hint = {"kind": "missing", "hint": "Did you mean 'add'?"}
    missing = {"nothing.here": lambda: None}

    run = session.run("totals = 1\ntotal + ad(1)", missing, resolve=lambda _name: hint)

    assert [error["hint"] for error in run.done["errors"]] == ["Did you mean 'totals'?", "Did you mean 'add'?"]


def test_tools_and_servers_show_their_names(session: PlanWorker) -> None:
    run = session.run("[repr(add), add.__name__, repr(files.echo), str(files)]", TOOLS)

    assert run.result[:3] == ["<tool math_server.add(a, b)>", "add", "<tool files.echo(value)>"]


def test_a_server_attribute_that_appears_while_running_is_looked_up_then(session: PlanWorker) -> None:
    run = session.run("getattr(files, 'ec' + 'ho')(3)", TOOLS)

    assert (run.result, run.resolved) == (3, ["files", "files.echo"])


def test_no_method_of_a_server_hides_a_tool(session: PlanWorker) -> None:
    run = session.run("[kv.put(1), getattr(kv, 'put')(2)]", {"kv.put": echo})

    assert run.result == [1, 2]


def test_helpers_ask_the_host(session: PlanWorker) -> None:
    run = session.run(
        "search_tools('read file', limit=3)\ndescribe('files.echo')\ndescribe(files.echo)\ndescribe(add)\n"
        "progress('half', 0.5)\nread_resource('file:///x')\nawait search_tools('y')",
        TOOLS,
        ask=lambda helper, arguments: helper,
    )

    assert run.asked == [
        ("search_tools", {"words": "read file", "limit": 3}),
        ("describe", {"name": "files.echo"}),
        ("describe", {"name": "files.echo"}),
        ("describe", {"name": "math_server.add"}),
        ("progress", {"text": "half", "fraction": 0.5}),
        ("read_resource", {"uri": "file:///x", "server": None}),
        ("search_tools", {"words": "y", "limit": 10}),
    ]
    assert run.result == "search_tools"


def test_raw_calls_carry_raw_names(session: PlanWorker) -> None:
    run = session.run("call_tool('add', {'a': 1, 'b': 2}, server='math_server')\ncall_tool('echo')", TOOLS)

    assert [(c["server"], c["tool"], c["raw"], c["keywords"]) for c in run.calls] == [
        ("math_server", "add", True, {"a": 1, "b": 2}),
        (None, "echo", True, {}),
    ]


IMAGE = {"$planact": "image", "id": "i1", "mime": "image/png", "size": 9}


def test_copies_of_values_that_hold_tools_and_handles_work(session: PlanWorker) -> None:
    run = session.run(
        "import copy\nc = copy.deepcopy({'t': echo, 's': files, 'i': picture()})\n"
        "[c['t'](1), c['s'].echo(2), c['i'].size]",
        {**TOOLS, "demo.picture": lambda: IMAGE},
    )

    assert run.result == [1, 2, 9]


def test_a_handle_has_mime_and_size_and_travels_back_unchanged(session: PlanWorker) -> None:
    run = session.run("i = picture()\necho([i])\n[i.mime, i.size, i]", {**TOOLS, "demo.picture": lambda: IMAGE})

    assert run.calls[1]["positional"] == [[IMAGE]]
    assert run.result == ["image/png", 9, IMAGE]


def test_large_text_is_fetched_in_pieces(session: PlanWorker) -> None:
    text = "".join(f"line {n}\n" for n in range(300_000))
    handle = {"$planact": "text", "id": "t1", "size": len(text)}

    def ask(_helper: str, arguments: dict[str, Any]) -> str:
        return text[arguments["start"] : min(arguments["stop"], arguments["start"] + 1_000_000)]

    run = session.run(
        "t = big()\necho(t)\n"
        "[len(t), t.size, t[:6], t[-3:], t[5], sum(1 for _ in t), 'line 299999' in t, len(t.text())]",
        {**TOOLS, "demo.big": lambda: handle},
        ask=ask,
    )

    assert run.calls[1]["positional"] == [handle]
    assert run.result == [len(text), len(text), "line 0", "99\n", "0", 300_000, True, len(text)]


def test_lines_of_large_text_end_at_line_feeds_wherever_it_is_cut(session: PlanWorker) -> None:
    lines = ["x" * ((1 << 20) - 1) + "\r\n", "one\x0bline\u2028still\n", "\n", "y" * (3 << 20)]
    text = "".join(lines)

    run = session.run(
        "lines = list(big())\n[[len(line), line[-8:]] for line in lines]",
        {**TOOLS, "demo.big": lambda: {"$planact": "text", "id": "t", "size": len(text)}},
        ask=lambda _helper, arguments: text[arguments["start"] : arguments["stop"]],
    )

    assert run.result == [[len(line), line[-8:]] for line in lines]


def test_json_loads_takes_large_text_and_parsed_values(session: PlanWorker) -> None:
    run = session.run(
        "import json\n[json.loads(big()), json.loads(echo([1])), json.loads(echo({'a': 1}))]",
        {**TOOLS, "demo.big": lambda: {"$planact": "text", "id": "t", "size": 7}},
        ask=lambda _helper, _arguments: "[1,2,3]",
    )

    assert run.result == [[1, 2, 3], [1], {"a": 1}]


def test_an_argument_that_json_cannot_say_is_named_and_nothing_is_sent(worker: PlanWorker) -> None:
    run = worker.run("files.echo(value=object())", TOOLS)

    assert (run.calls, run.error["function"], run.error["parameter"]) == ([], "echo", "value")


def test_arguments_with_too_many_values_are_refused_and_the_worker_lives(worker: PlanWorker) -> None:
    run = worker.run("files.echo(value=list(range(1_000_000)))", TOOLS, within=30)

    assert (run.error["type"], run.calls) == ("ValueError", [])
    assert worker.run("files.echo(value=','.join(map(str, range(1_000_000)))[:5])", TOOLS).result == "0,1,2"
