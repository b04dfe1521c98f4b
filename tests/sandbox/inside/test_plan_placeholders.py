"""Functions that are written when a plan calls them, and the model as a function."""

from typing import Any

from sandbox.inside.plan_worker import Fault, PlanWorker, Run


def run(worker: PlanWorker, plan: str, *sources: str, tools: dict[str, Any] | None = None) -> Run:
    """Run a plan in which every `todo_` name is open; the sources are what is written, in order."""
    written = iter(sources)
    line = plan.count("\n") + 4

    def ask(helper: str, _arguments: dict[str, Any]) -> Any:
        assert helper == "expand"
        source = next(written, None)
        if source is None:
            raise Fault(type="NameError", message="nothing was written", hint="Define it.")
        return {"source": source, "line": line}

    def resolve(name: str) -> dict[str, Any]:
        if name.startswith("todo_"):
            return {"kind": "placeholder"}
        if tools and name in tools:
            return {"kind": "tool", "server": "s", "tool": name, "parameters": ["a"], "aliases": [], "open_keywords": 0}
        return {"kind": "missing", "hint": ""}

    return worker.run(plan, {f"s.{name}": tool for name, tool in (tools or {}).items()}, ask=ask, resolve=resolve)


CLEAN = "def todo_clean(text):\n    import re\n    return re.sub(' +', ' ', text).strip()\n"


def test_a_placeholder_is_written_with_the_values_at_hand_and_only_once(worker: PlanWorker) -> None:
    done = run(worker, "words = [todo_clean('  a  b '), todo_clean(text=' c ')]", CLEAN)
    assert (done.status, done.variables) == ("ok", {"words": ["a b", "c"]})
    asked = {"name": "todo_clean", "arguments": {"argument_1": "  a  b "}, "depth": 1}
    assert done.asked == [("expand", asked)]


def test_what_was_written_may_leave_a_part_open_as_well(worker: PlanWorker) -> None:
    outer = "def todo_a(n):\n    return todo_b(n=n) + 1"
    inner = "def todo_b(n):\n    return n * 10"
    done = run(worker, "todo_a(2)", outer, inner)
    assert done.result == 21
    assert [(arguments["name"], arguments["depth"]) for _, arguments in done.asked] == [("todo_a", 1), ("todo_b", 2)]


def test_a_function_written_for_one_plan_is_written_anew_for_the_next(worker: PlanWorker) -> None:
    first = run(worker, "todo_n()", "def todo_n():\n    return 1")
    second = run(worker, "todo_n()", "def todo_n():\n    return 2")
    third = worker.run("todo_n()", resolve=lambda _: {"kind": "missing", "hint": ""})
    assert (first.result, second.result) == (1, 2)
    assert third.result == 2, "a plan that may leave nothing open sees the function that the session has"


def test_tool_calls_of_written_code_are_calls_of_the_plan(worker: PlanWorker) -> None:
    source = "def todo_twice(n):\n    first = double(a=n)\n    return double(first)"
    done = run(worker, "x = todo_twice(3)", source, tools={"double": lambda a: a * 2})
    assert done.variables == {"x": 12}
    assert [(call["tool"], call["line"]) for call in done.calls] == [("double", 5), ("double", 6)]
    assert done.function_results == {"double": ["first"]}


def test_an_error_in_written_code_points_into_it(worker: PlanWorker) -> None:
    done = run(worker, "x = 1\ntodo_fail([])", "def todo_fail(rows):\n    return rows[0]")
    facts = {key: done.error.get(key) for key in ("type", "line", "column", "code_line")}
    assert facts == {"type": "IndexError", "line": 6, "column": 12, "code_line": "return rows[0]"}
    assert done.variables == {"x": 1}


def test_written_code_is_held_to_the_policy_and_must_only_define(worker: PlanWorker) -> None:
    sources = {
        "def todo_x():\n    return ().__class__": "Attribute '__class__' is not available",
        "def todo_x():\n    return unknown_thing": "name 'unknown_thing' is not defined",
        "print('at once')\ndef todo_x(): pass": "it should only define the function todo_x()",
        "def other(): pass": "it should only define the function todo_x()",
        "def todo_x(:": "invalid syntax",
    }
    for source, reason in sources.items():
        done = run(worker, "todo_x()", source)
        assert (done.status, done.error["type"], done.error["line"]) == ("error", "NameError", 1), source
        assert reason in done.error["message"]


def test_an_author_who_has_nothing_is_an_error_that_a_plan_may_catch(worker: PlanWorker) -> None:
    done = run(worker, "try:\n    todo_x()\nexcept NameError as error:\n    why = str(error)")
    assert done.variables == {"why": "nothing was written"}


def test_values_that_json_lacks_are_shown_as_what_they_are(worker: PlanWorker) -> None:
    done = run(worker, "class P: pass\ntodo_x(P(), print, 'y' * 50_000)", "def todo_x(*all):\n    return len(all)")
    assert done.result == 3
    shown = done.asked[0][1]["arguments"]
    assert shown["argument_1"]["$type"] == "P"
    assert len(shown["argument_3"]) < 20_000


def test_ask_model_is_a_call_with_a_line_and_names(worker: PlanWorker) -> None:
    tools = {"ask_model": lambda instruction, data=None, schema=None: {"said": instruction, "of": data, "as": schema}}
    done = worker.run("a = ask_model('Sum it up', ['x', 'y'], {'type': 'object'})\nb = ask_model('Hi')", tools)
    assert done.variables == {
        "a": {"said": "Sum it up", "of": ["x", "y"], "as": {"type": "object"}},
        "b": {"said": "Hi", "of": None, "as": None},
    }
    assert [(call["server"], call["tool"], call["raw"], call["line"]) for call in done.calls] == [
        (None, "ask_model", False, 1),
        (None, "ask_model", False, 2),
    ]
    assert done.function_results == {"ask_model": ["a", "b"]}


def test_ask_model_runs_at_the_same_time_as_other_calls(worker: PlanWorker) -> None:
    tools = {"ask_model": lambda instruction: instruction.upper()}
    plan = "import asyncio\nx = await asyncio.gather(*[ask_model(word) for word in ['a', 'b']])"
    done = worker.run(plan, tools, together=2)
    assert (done.variables, done.most_in_flight) == ({"x": ["A", "B"]}, 2)
