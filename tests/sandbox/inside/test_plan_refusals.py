"""Every refusal says where, what and what to write instead, in the words of whoever wrote the plan."""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planact_server.sandbox.inside import attributes, policy, refusals
from planact_server.sandbox.inside.source import Problem, Refused, Text, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.inside.plan_worker import PlanWorker

# what → source, line, column, what the message names, what the hint proposes
NAMES = {
    "variable": ("x = 1\n__x__ = 2", 2, 1, "'__x__'", "Choose a name"),
    "variable of a library's shape": ("_x_ = 1", 1, 1, "'_x_'", "Choose a name"),
    "longer than the host takes": (f"x = 1\n{'x' * 401} = 2", 2, 1, "has 401 characters", "shorter"),
    "what classes ask for": ("super = 1", 1, 1, "'super'", "another name"),
    "temporary variable": ("_tmp1 = 1", 1, 1, "'_tmp1'", "another name"),
    "read": ("a = [__builtins__]", 1, 6, "'__builtins__'", "without a prefix"),
    "parameter": ("def f(a, __b__=1): pass", 1, 10, "'__b__'", "Choose a name"),
    "star parameter": ("def f(*__rest__, **kw): pass", 1, 8, "'__rest__'", "Choose a name"),
    "keyword parameter": ("lambda a, *, __k__: a", 1, 14, "'__k__'", "Choose a name"),
    "function": ("def __f__(): pass", 1, 1, "'__f__'", "Choose a name"),
    "method": ("class A:\n    def __getattr__(self, n): pass", 2, 5, "'__getattr__'", "by name"),
    "setting method": ("class A:\n    def __setattr__(self, n, v): pass", 2, 5, "'__setattr__'", "@property"),
    "descriptor": ("class A:\n    def __get__(self, o, t): pass", 2, 5, "'__get__'", "@property"),
    "class": ("class __A__: pass", 1, 1, "'__A__'", "Choose a name"),
    "loop": ("for __i__ in []: pass", 1, 5, "'__i__'", "Choose a name"),
    "comprehension": ("[0 for __i__ in []]", 1, 8, "'__i__'", "Choose a name"),
    "walrus": ("(__x__ := 1)", 1, 2, "'__x__'", "Choose a name"),
    "with": ("with f() as __x__: pass", 1, 13, "'__x__'", "Choose a name"),
    "except": ("try: pass\nexcept ValueError as __e__: pass", 2, 1, "'__e__'", "Choose a name"),
    "global": ("def f():\n    global __x__", 2, 5, "'__x__'", "Choose a name"),
    "import": ("import math, json as __json__", 1, 14, "'__json__'", "Choose a name"),
    "import from": ("from math import pi, e as __e__", 1, 22, "'__e__'", "Choose a name"),
    "capture": ("match 1:\n    case __x__: pass", 2, 10, "'__x__'", "Choose a name"),
    "rest of a mapping": ("match 1:\n    case {**__x__}: pass", 2, 10, "'__x__'", "Choose a name"),
    "rest of a sequence": ("match 1:\n    case [*__x__]: pass", 2, 11, "'__x__'", "Choose a name"),
    "export list": ("__all__ = []", 1, 1, "'__all__'", "leave it out"),
    "annotated": ("__x__: int = 1", 1, 1, "'__x__'", "Choose a name"),
    "deleted": ("del __name__", 1, 5, "'__name__'", "@functools.wraps"),
    "class option": ("class A:\n    __slots__ = ('__dict__',)", 2, 5, "'__slots__'", "written out"),
    "alias of another function": (
        "class A:\n    __init_subclass__ = print",
        2,
        5,
        "'__init_subclass__'",
        "Choose a name",
    ),
}

ATTRIBUTES = {
    "class": ("x = 1\ny = x.__class__", 2, 5, "'__class__'", "type(x)"),
    "dict": ("x = 1\nx.__dict__", 2, 1, "'__dict__'", "vars(x)"),
    "family": ("int.__subclasses__()", 1, 1, "'__subclasses__'", "isinstance"),
    "mro": ("int.mro()", 1, 1, "'mro'", "isinstance"),
    "frame": ("g = 1\ng.gi_frame", 2, 1, "'gi_frame'", "return and yield"),
    "traceback": ("e = 1\ne.__traceback__", 2, 1, "'__traceback__'", "str(error)"),
    "globals": ("print.__globals__", 1, 1, "'__globals__'", "f.__name__"),
    "unknown dunder": ("print.__x__", 1, 1, "'__x__'", "operator or the builtin"),
    "of a library": ("print._x_", 1, 1, "'_x_'", "public"),
    "value of a member": ("m = 1\nm._value_", 2, 1, "'_value_'", "member.value"),
    "in a longer expression": ("a = (1,\n     print.__self__.b)", 2, 6, "'__self__'", "variables"),
    "longer than the host takes": (f"x = 1\nx.{'x' * 401}", 2, 1, "has 401 characters", "shorter"),
    "set": ("x = 1\nx.__class__ = 2", 2, 1, "'__class__' cannot be set", "type(x)"),
    "set, unknown": ("x = 1\nx.__y__ = 2", 2, 1, "'__y__' cannot be set", "Choose a name"),
    "deleted": ("x = 1\ndel x.gi_frame", 2, 5, "'gi_frame' cannot be set", "Choose a name"),
    "augmented": ("x = 1\nx.__y__ += 2", 2, 1, "'__y__' cannot be set", "Choose a name"),
    "augmented, read without a guard": ("e = 1\ne.obj += 2", 2, 1, "`x.obj += ...`", "x.obj = x.obj + ..."),
    "in a pattern": ("match '':\n    case str(format=f): pass", 2, 10, "'format'", "case's body"),
    "in a template": ("x = '{0.__class__}'.format(1)", 1, 5, "'__class__'", "type(x)"),
}

STATEMENTS = {
    "metaclass": ("class A(metaclass=print): pass", 1, 1, "metaclass=", "decorator"),
    "relative import": ("from . import x", 1, 1, "Relative imports", "import module"),
    "star import": ("from math import *", 1, 1, "`import *`", "Write `import math`"),
    "module": ("import os", 1, 1, "'os'", "search_tools"),
    "unknown module": ("import nothing_known", 1, 1, "'nothing_known'", "Tools need no import."),
    "module misspelt": ("import maths", 1, 1, "'maths'", "Did you mean 'math'? Available"),
    "module with another name in it": ("import graphlib", 1, 1, "'graphlib'", "Available"),
    "module of a family": ("import xml.etree.ElementTree as ET", 1, 1, "'xml.etree.ElementTree'", "json or csv"),
    "files": ("x = open('f')", 1, 5, "open()", "search_tools"),
    "evaluation": ("x = [eval('1')]", 1, 6, "eval()", "json.loads"),
    "undefined": ("x = 1\nunheard_of(x)", 2, 1, "'unheard_of'", "search_tools"),
}

SYNTAX = {
    "fence": ("```python\nx = 1\n```", 1, 1, "invalid syntax", "fences"),
    "return": ("x = 1\nreturn x", 2, 1, "outside function", "value as an expression"),
    "await": ("def f():\n    await g()", 2, 5, "async", "async def"),
    "break": ("if True:\n    break", 2, 5, "outside loop", "loop"),
    "bracket": ("x = (1,\ny = 2", 1, 5, "never closed", "Close"),
    "colon": ("for i in [1]\n    print(i)", 1, 13, "expected ':'", "colon"),
    "parentheses": ("x = " + "(" * 300, 1, 205, "too many nested", "variables"),
    "quotes": ("x = 'abc", 1, 5, "unterminated", "triple quotes"),
    "indentation": ("if True:\nx = 1", 2, 1, "indent", "four spaces"),
    "curly quotes": ("x = \u201ca\u201d", 1, 5, "invalid character", "plain quotes"),
    "shell": ("!pip install x", 1, 1, "", "nothing can be installed"),
    "prose": ("Here is the plan:", 1, 13, "", "comments"),
    "nonlocal": ("def f():\n    nonlocal x", 2, 5, "nonlocal", "function around"),
    "assignment": ("f() = 1", 1, 1, "cannot assign", "left of"),
    "null": ("x = 1\ny = '\0'", 2, None, "null character", "Remove"),
    "surrogate": ("x = 1\ny = '\ud800'", 2, None, "surrogate", "whole character"),
    "deep": ("x = " + " + ".join(["1"] * 400), 1, None, "levels deep", "several statements"),
}

JARGON = re.compile(r"Restricted|\b_(getattr|getitem|getiter|write)_\b|invalid \w+ name|statements are not|\w\.'|node")


@pytest.mark.parametrize(
    ("source", "line", "column", "message", "hint"),
    [*NAMES.values(), *ATTRIBUTES.values(), *STATEMENTS.values(), *SYNTAX.values()],
    ids=[*NAMES, *(f"attribute {name}" for name in ATTRIBUTES), *STATEMENTS, *(f"syntax {name}" for name in SYNTAX)],
)
def test_a_refusal_says_where_what_and_what_instead(
    session: PlanWorker, source: str, line: int, column: int | None, message: str, hint: str
) -> None:
    run = session.run(source)

    error = run.error
    assert (run.status, error.get("line"), error.get("column")) == ("refused", line, column)
    assert message in error["message"]
    assert hint in error["hint"]
    assert JARGON.search(error["message"] + error["hint"]) is None


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="syntax of Python 3.12")
@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("type Ids = list[int]", "Name = ..."),
        ("def first[T](items: list[T]) -> T: pass", "TypeVar"),
        ("class Box[T]: pass", "TypeVar"),
        ('d = {}\nf"{d["a"]}"', "other quotes"),
    ],
)
def test_syntax_of_a_newer_python_is_named_as_such(session: PlanWorker, source: str, hint: str) -> None:
    error = session.run(source).error

    assert error["type"] == "SyntaxError"
    assert hint in error["hint"]
    assert "Python 3.11" in error["hint"]


def test_the_table_reaches_every_refusal_of_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[int] = set()
    refuse = policy.Policy.refuse

    def recording(self: policy.Policy, *arguments: Any) -> None:
        reached.add(sys._getframe(1).f_lineno)
        refuse(self, *arguments)

    monkeypatch.setattr(policy.Policy, "refuse", recording)
    for problems in map(_problems, [*NAMES.values(), *ATTRIBUTES.values(), *STATEMENTS.values()]):
        assert all(problem.hint for problem in problems)

    assert reached | _newer_syntax() == _lines_that_refuse()


def _problems(row: tuple[Any, ...]) -> tuple[Problem, ...]:
    text = Text(row[0], "plan")
    try:
        policy.compile_plan(parse(text, max_bytes=1 << 20), text, statements={})
    except Refused as refused:
        return refused.problems
    return ()


def _lines_that_refuse() -> set[int]:
    tree = ast.parse(Path(policy.__file__).read_text(encoding="utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {call.lineno for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "refuse"}


def _newer_syntax() -> set[int]:
    """The refusal of syntax that no Python of today has."""
    checked = policy.Policy(Text("", "plan"), {})
    checked.visit(ast.FunctionType([], ast.Constant(1)))
    checked.error(ast.Pass(lineno=1, col_offset=0), "Pass statements are not allowed.")

    assert [problem.message for problem in checked.problems] == [
        "This syntax (FunctionType) is not available in a plan.",
        "This syntax (Pass) is not available in a plan.",
    ]
    return {policy.Policy.not_allowed.__code__.co_firstlineno + 1}


def test_what_no_attribute_may_be_is_explained_one_by_one() -> None:
    explained: Mapping[str, str] = {name: refusals.instead_of(name) for name in attributes.FORBIDDEN}

    assert all(explained.values())
    assert [hint for hint in explained.values() if JARGON.search(hint)] == []


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("getattr(1, '__class__')", "'__class__'", "type(x)"),
        ("x = print\nx._link", "'_link' of 'method' objects", "own classes"),
        ("getattr(int, 'mro')", "'mro'", "isinstance"),
        ("t = '{0.__globals__}'\nt.format(print)", "'__globals__'", "f.__name__"),
        ("setattr(print, '__x__', 1)", "'__x__' cannot be set", "operator or the builtin"),
        ("import json\njson.x = 1", "cannot be set", None),
    ],
)
def test_what_turns_out_while_running_comes_with_advice_too(
    session: PlanWorker, source: str, message: str, hint: str | None
) -> None:
    run = session.run(source)

    assert (run.status, run.error["line"]) == ("error", len(source.splitlines()))
    assert message in run.error["message"]
    assert hint is None or hint in run.error["hint"]


@pytest.mark.check
def test_whatever_python_contains_is_compiled_or_refused_with_advice() -> None:
    """Every twentieth file of the standard library and of its tests."""
    files = sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py"))[::20]
    texts = [Text(file.read_text(encoding="utf-8", errors="replace"), "plan") for file in files]
    problems = [problem for text in texts for problem in _problems((text.source,))]

    assert len(files) > 50
    assert len(problems) > 100
    assert [problem for problem in problems if not problem.hint or problem.line is None] == []
