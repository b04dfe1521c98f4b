"""What Python a plan may use: it means what it means in CPython, or it is refused with advice."""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker


def _programs(*files: str) -> dict[str, str]:
    texts = (Path(__file__).with_name(file).read_text(encoding="utf-8") for file in files)
    sections = [section for text in texts for section in text.split("\n### ")[1:]]
    return {name: source.strip() for name, _, source in (section.partition("\n") for section in sections)}


FILES = ["same_as_python.txt", "same_as_python_in_depth.txt"]
if sys.version_info >= (3, 12):
    FILES.append("same_as_python_312.txt")
SAME_AS_PYTHON = _programs(*FILES)


@pytest.mark.parametrize("source", SAME_AS_PYTHON.values(), ids=SAME_AS_PYTHON)
def test_a_plan_means_what_it_means_in_python(session: PlanWorker, source: str) -> None:
    run = session.run(source)

    assert (run.status, run.done["errors"]) == ("ok", [])
    assert run.result == _jsonable(_python(source))


def _python(source: str) -> Any:
    tree = ast.parse(source)
    last = tree.body[-1]
    assert isinstance(last, ast.Expr)
    tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("_result", ast.Store())], last.value), last)
    names: dict[str, Any] = {"__name__": "__main__"}
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    value = eval(compile(ast.fix_missing_locations(tree), "python", "exec", flags, dont_inherit=True), names)
    if inspect.iscoroutine(value):
        asyncio.run(value)
    return names["_result"]


def _jsonable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    return value


REFUSED = {
    "dunder": ("x = 1\n[].__class__", "PolicyError", 2, "'__class__'", "type(x)"),
    "dict": ("class A: pass\nA().__dict__", "PolicyError", 2, "'__dict__'", "vars(x)"),
    "frame": ("(i for i in []).gi_frame", "PolicyError", 1, "'gi_frame'", None),
    "metaclass": ("class A(metaclass=type): pass", "PolicyError", 1, "metaclass=", "decorator"),
    "relative import": ("from . import x", "PolicyError", 1, "Relative", None),
    "star import": ("from math import *", "PolicyError", 1, "import *", "Write `import math`"),
    "files": ("data = open('x').read()", "PolicyError", 1, "open()", "search_tools"),
    "input": ("input('?')", "PolicyError", 1, "input()", "result"),
    "no module": ("import os", "ModuleNotFoundError", 1, "'os'", "search_tools"),
    "misspelt module": ("import maths", "ModuleNotFoundError", 1, "'maths'", "'math'"),
    "module not imported": ("x = pprint.pformat(4)", "NameError", 1, "'pprint'", "import pprint"),
    "undefined": ("total = 3\nprint(totl)", "NameError", 2, "'totl'", "'total'"),
    "syntax": ("x = (1,\ny = 2", "SyntaxError", 1, "", None),
    "fence": ("```python\nx = 1\n```", "SyntaxError", 1, "", "without ``` fences"),
    "return": ("return 5", "SyntaxError", 1, "outside function", "expression"),
    "guard name": ("_getattr_ = 1", "PolicyError", 1, "'_getattr_'", "Choose a name"),
    "magic argument": ("f = lambda __import__: 1", "PolicyError", 1, "'__import__'", "import statement"),
    "pattern": ("match '':\n    case str(format=f): pass", "PolicyError", 2, "'format'", "body"),
    "del method": ("class A:\n    def __del__(self): pass", "PolicyError", 2, "'__del__'", "context manager"),
    "null byte": ("x = 1\0", "SyntaxError", None, "null", None),
    "surrogate": ("x = '\ud800'", "SyntaxError", 1, "surrogate", None),
    "nested brackets": ("(" * 500 + ")" * 500, "SyntaxError", None, "", None),
    "long sum": ("+".join(["1"] * 5000), "SyntaxError", None, "nested", None),
    "deep not": ("not " * 20000 + "1", "SyntaxError", None, "nested", None),
    "await in a function": ("def f():\n    await g\ng = 1", "SyntaxError", 2, "async", None),
}  # fmt: skip


@pytest.mark.parametrize(("source", "kind", "line", "message", "hint"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_allowed_is_refused_with_its_line_and_advice(
    session: PlanWorker, source: str, kind: str, line: int | None, message: str, hint: str | None
) -> None:
    run = session.run(source)

    error = run.done["errors"][0]
    assert (run.status, error["type"]) == ("refused", kind)
    assert line is None or error["line"] == line
    assert message in error["message"]
    assert hint is None or hint in error["hint"]


def test_every_objection_of_a_plan_is_reported_at_once(session: PlanWorker) -> None:
    run = session.run("import os\nx = [].__class__\ny = ().__bases__")

    assert [(error["line"], error["column"]) for error in run.done["errors"]] == [(1, 1), (2, 5), (3, 5)]


def test_source_past_its_limit_is_a_limit(session: PlanWorker) -> None:
    run = session.run("x = 1\n" * 40_000)

    assert (run.status, run.error["type"]) == ("limit", "LimitReached")


def test_a_last_expression_that_is_none_is_a_result_and_a_statement_is_not(session: PlanWorker) -> None:
    assert session.run("None").done["result"] is None
    assert "result" not in session.run("x = None").done


def test_a_plan_that_ends_with_a_coroutine_gives_its_value(session: PlanWorker) -> None:
    assert session.run("async def main():\n    return 42\nmain()").result == 42


def test_what_type_checkers_alone_import_need_not_be_there(session: PlanWorker) -> None:
    run = session.run(
        "import typing\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import numpy as np\n    from contextlib import suppress\n"
        "if typing.TYPE_CHECKING:\n    from os import PathLike\nelse:\n    PathLike = str\n"
        "def f(path: PathLike) -> 'np.ndarray': return path\n"
        "f('x')"
    )

    assert (run.status, run.result) == ("ok", "x")


def test_an_import_under_a_name_that_says_type_checking_finds_nothing(session: PlanWorker) -> None:
    run = session.run("TYPE_CHECKING = True\nif TYPE_CHECKING:\n    import os")

    assert run.error["type"] == "ModuleNotFoundError"


def test_what_is_imported_beside_a_block_for_type_checkers_has_to_be_there(session: PlanWorker) -> None:
    run = session.run("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import os")

    assert run.status == "refused"
