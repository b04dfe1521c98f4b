"""What a plan may look like under the grammar, and what it cannot."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache

import pytest

from planact_quantized.grammar import plan_words
from planact_quantized.grammar.automaton import Automaton
from planact_quantized.grammar.gbnf import parse
from planact_quantized.grammar.plan_grammar import PlanFunction, PlanParameter, plan_grammar
from planact_server.catalog.naming import HELPERS
from planact_server.sandbox.inside import attributes, facades, language
from quantized.plan_constructs import CONSTRUCTS, FUNCTIONS  # noqa: TID251 - a folder of tests

pytest.importorskip("numpy", reason="the automaton needs it")


@cache
def automaton(*, expansion: bool = False, callables: tuple[str, ...] = ()) -> Automaton:
    return Automaton(parse(plan_grammar(FUNCTIONS, expansion=expansion, callables=callables).text))


def admits(plan: str, **options: object) -> bool:
    state = automaton(**options).start.walk(f"{plan}```")  # type: ignore[arg-type]
    return state is not None and state.may_end


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_what_the_contract_promises_can_be_written(construct: str) -> None:
    plan = CONSTRUCTS[construct].lstrip("\n")

    compile(plan, construct, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert admits(plan)


IMPOSSIBLE = {
    "a function that nobody has": 'get_wether(city="Rome")\n',
    "a function that a model made up": 'x = search_flights("Rome")\n',
    "a tool that its server does not have": 'git.push(repo_path="/r")\n',
    "a tool of a server without the server": 'log(repo_path="/r")\n',
    "a keyword that is none of the tool's": 'get_weather(town="Rome")\n',
    "a keyword twice": 'send_message(to="a", text="b", to="c")\n',
    "a keyword before a positional argument": 'get_weather(city="Rome", "celsius")\n',
    "too many arguments": 'get_weather("Rome", "celsius", 3, 4)\n',
    "a call without what it requires": "get_weather()\n",
    "a call without all that it requires": 'send_message(to="a")\n',
    "a member that the enum does not have": 'get_weather("Rome", unit="kelvin")\n',
    "a text for a number": 'get_weather("Rome", days="3")\n',
    "a tool's name bound to something else": 'get_weather = get_weather("Rome")\n',
    "a server's name bound to something else": "git = 1\n",
    "a module that plans do not have": "import os\n",
    "a name that could be a tool, imported bare": "from re import search\n",
    "code from text": 'eval("1")\n',
    "files": 'open("x")\n',
    "the insides of objects": "x = (1).__class__\n",
    "frames": "x = y.gi_frame\n",
    "return outside of a function": "return 1\n",
    "break outside of a loop": "break\n",
    "yield outside of a function": "yield 1\n",
    "await in an ordinary function": 'def f():\n    await get_weather("Rome")\n',
    "await in a lambda": 'get = lambda: await get_weather("Rome")\n',
    "await within the expressions of an ordinary function": 'def f():\n    print([await get_weather("Rome")])\n',
    "nonlocal outside of a function in a function": "def f():\n    nonlocal x\n    x = 1\n",
    "nonlocal in a method": "class A:\n    def f(self):\n        nonlocal x\n        x = 1\n",
    "two stars in a pattern": "match 1:\n    case [*a, *b]:\n        pass\n",
    "a keyword of Python as a name": "lambda = 1\n",
    "a function called in a plan that defines none": "helper(1)\n",
    "an unclosed bracket": "x = [1, 2\n",
    "a block without a body": "if True:\nx = 1\n",
    "a wrong indentation": "if True:\n    x = 1\n      y = 2\n",
    "a default before what has none": "def f(a=1, b):\n    pass\n",
    "a case that hides the next one": "match 1:\n    case x:\n        pass\n    case 2:\n        pass\n",
    "an empty plan": "",
    "a backslash in the field of an f-string": "x = f\"{'\\n'}\"\n",
    "a lone brace in an f-string": 'x = f"}"\n',
    "the same quotes in the field of an f-string": 'x = f"{a["b"]}"\n',
    "a fence in a text": 'x = "```"\n',
    "a fence in a comment": "x = 1  # ```\n",
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_cannot_be_written(what: str) -> None:
    assert not admits(IMPOSSIBLE[what])


def test_names_are_callable_once_the_plan_defines_functions() -> None:
    assert admits("def double(x):\n    return 2 * x\n\ny = double(3)\n")
    assert admits("class Stop:\n    pass\n\nstop = Stop()\n")
    assert not admits("y = double(3)\n\ndef double(x):\n    return 2 * x\n")
    # Tools stay closed even then.
    assert not admits("def double(x):\n    return 2 * x\n\nget_weather(town=double(3))\n")


def test_functions_of_the_session_are_callable() -> None:
    assert not admits("double(3)\n")
    assert admits("double(3, by=2)\n", callables=("double",))


def test_placeholders_are_admitted_with_expansion_and_only_these() -> None:
    plan = 'rows = todo_load_rows("Rome", limit=3)\nx = todo_rank(rows)[0]\n'

    assert admits(plan, expansion=True)
    assert not admits(plan)
    assert not admits("load_rows(1)\n", expansion=True)
    assert not admits("todo_x = 1\n", expansion=True)
    assert not admits("todo_(1)\n", expansion=True)


def test_tools_may_be_handed_on() -> None:
    assert admits('found = list(map(get_weather, ["Rome"]))\n')
    assert admits("tool = git.log\n")


def test_a_catalogue_without_tools_has_a_grammar() -> None:
    state = Automaton(parse(plan_grammar(()).text)).start.walk("x = sum([1, 2])\nx\n```")

    assert state is not None
    assert state.complete


def test_keywords_of_large_functions_keep_an_order_only_when_there_are_too_many() -> None:
    def grammar(required: int) -> Automaton:
        parameters = [PlanParameter(name=f"r{n}") for n in range(required)]
        parameters += [PlanParameter(name=f"o{n}", required=False) for n in range(6)]
        return Automaton(parse(plan_grammar([PlanFunction(name="act", parameters=tuple(parameters))]).text))

    def admitted(start: Automaton, *names: str) -> bool:
        return start.start.walk(f"act({', '.join(f'{name}=1' for name in names)})\n```") is not None

    few, many = grammar(2), grammar(9)
    assert admitted(few, "o3", "r1", "o0", "r0")
    assert not admitted(few, "r1", "o0")
    assert not admitted(few, "r0", "r1", "r0")
    names = [f"r{n}" for n in range(9)]
    assert admitted(many, *names, "o2", "o4")
    assert not admitted(many, *reversed(names))


def test_a_large_catalogue_stays_small_enough() -> None:
    parameters = tuple(PlanParameter(name=f"parameter_{n}", required=n < 5) for n in range(12))
    functions = [PlanFunction(name=f"function_number_{n}", parameters=parameters) for n in range(40)]

    assert len(plan_grammar(functions).text) < 700_000


def test_the_text_does_not_depend_on_order_or_process() -> None:
    code = (
        "import sys; from planact_quantized.grammar.plan_grammar import *;"
        "f = [PlanFunction(name=n, parameters=(PlanParameter(name='a', choices=('x', 'y')),)) for n in sys.argv[1:]];"
        "sys.stdout.write(plan_grammar(f, callables={'one', 'two', 'three'}).text)"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", code, *names],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, names in (("1", ("b", "a.c", "d")), ("2", ("d", "b", "a.c")))
    }
    assert len(written) == 1


def test_the_words_are_those_of_the_sandbox() -> None:
    builtins = language.plan_builtins()
    assert set(plan_words.MODULES) == (facades.MODULES.keys() - {"urllib"}) | {"asyncio"}
    for module, names in plan_words.IMPORTABLE.items():
        if module != "asyncio":
            assert set(names) <= facades.MODULES[module].__dict__.keys(), module
    assert set(plan_words.FUNCTIONS) - {"print"} <= builtins.keys()
    assert set(plan_words.ERRORS) - {"ToolError"} <= builtins.keys()
    assert {*plan_words.HELPERS, "ToolError"} == HELPERS
    assert set(plan_words.METHODS) <= attributes.MAGIC
    assert all(
        name.startswith(plan_words.HIDDEN_PREFIXES) or name in plan_words.HIDDEN_ATTRIBUTES
        for name in attributes.FORBIDDEN
    )
    assert not any(language.UNAVAILABLE.keys() & set(names) for names in (plan_words.FUNCTIONS, plan_words.HELPERS))


def test_rules_are_all_of_use() -> None:
    text = plan_grammar(FUNCTIONS, expansion=True).text
    rules = parse(text)
    reached, waiting = {rules.root}, [rules.root]
    while waiting:
        for alternative in rules.alternatives[waiting.pop()]:
            new = {each for each in alternative if isinstance(each, int)} - reached
            reached |= new
            waiting += new
    assert sorted(name for number, name in enumerate(rules.names) if number not in reached) == []
