"""What the engine `monty` does not know of Python, thing by thing: docs/monty.md lists the same."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_server.sandbox import Limits
from planact_server.sandbox.host import open_engine

pydantic_monty = pytest.importorskip("pydantic_monty", reason="Monty is not installed")

from planact_server.sandbox.monty import language  # noqa: E402 - needs the package

if TYPE_CHECKING:
    from conftest import ScriptedHost

UNKNOWN_SYNTAX = {
    "inheritance": "class A(B): pass",
    "an exception class": "class Wrong(Exception): pass",
    "an Enum": "class Colour(object): RED = 1",
    "a method that is a property": "class A:\n    @property\n    def b(self): return 1",
    "a generator": "def f():\n    yield 1",
    "del": "x = 1\ndel x",
    "async with": "async def f():\n    async with tool(1): pass",
    "an async comprehension": "async def f(): return [x async for x in tool(1)]",
    "an exception group": "try:\n    pass\nexcept* ValueError:\n    pass",
    "a class body that computes": "class A:\n    if True:\n        b = 1",
}
"""Refused before anything runs."""

NO_BUILTIN = ("super", "issubclass", "callable", "classmethod", "staticmethod", "vars", "bytearray", "ExceptionGroup")

NO_MODULE = (
    *("cmath", "statistics", "calendar", "zoneinfo", "string", "textwrap", "operator", "heapq", "fractions"),
    *("enum", "uuid", "hmac", "html", "urllib.parse", "io", "difflib", "pprint"),
)

FAILS = {
    "a tool given to map": ("list(map(tool, [1]))", "NotImplementedError"),
    "asyncio.create_task": ("import asyncio\nasyncio.create_task(tool(1))", "AttributeError"),
    "asyncio.wait_for": ("import asyncio\nawait asyncio.wait_for(tool(1), 5)", "AttributeError"),
    "gather(return_exceptions=True)": ("import asyncio\nawait asyncio.gather(tool(1), return_exceptions=True)", None),
    "str.format_map": ("'{a}'.format_map({'a': 1})", "AttributeError"),
    "functools.wraps": ("import functools\nfunctools.wraps", "AttributeError"),
    "dataclasses.asdict": ("from dataclasses import asdict", "ImportError"),
    "attributes of functions": ("def f(): pass\nf.n = 1", "AttributeError"),
    "re.sub with a function": ("import re\nre.sub('a', lambda m: 'b', 'a')", "TypeError"),
}
"""Fails when it is reached."""

DIFFERS = {
    "a generator expression is a list": ("type(n for n in [1]).__name__", "list"),
    "a failed call raises a RuntimeError by another name": ("ToolError is RuntimeError", True),
}

WORKS = {
    "functions, comprehensions, f-strings": ("def f(n): return [f'{x:>3}' for x in range(n)]\nf(2)", ["  0", "  1"]),
    "a class with methods": (
        "class A:\n    def __init__(self, n): self.n = n\n    def twice(self): return 2 * self.n\nA(2).twice()",
        4,
    ),
    "a dataclass": ("from dataclasses import dataclass\n@dataclass\nclass P:\n    a: int = 1\nP(2).a", 2),
    "match": ("match {'a': [1, 2]}:\n    case {'a': [x, *rest]}: y = [x, rest]\ny", [1, [2]]),
    "try and finally": (
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    y = str(e)\nfinally:\n    z = 1\n(y, z)",
        None,
    ),
    "sorting by a key": ("sorted(['bb', 'a'], key=lambda s: len(s))", ["a", "bb"]),
    "augmented assignment": ("d = {'a': 1}\nd['a'] += 1\nd", {"a": 2}),
    "json": ("import json\njson.loads(json.dumps({'a': [1]}))", {"a": [1]}),
    "dates": ("import datetime as dt\ndt.date(2024, 1, 31) + dt.timedelta(days=1)", "2024-02-01"),
    "calls at the same time": ("import asyncio\nawait asyncio.gather(tool(1), tool(2))", [[1], [2]]),
    "calls at the same time, from a list": (
        "import asyncio\ncalls = [tool(n) for n in range(3)]\nawait asyncio.gather(*calls)",
        [[0], [1], [2]],
    ),
    "a plan that ends with main()": ("async def main():\n    return await tool(1)\nmain()", [1]),
    "parallel": ("parallel(lambda: tool(1), lambda: tool(2))", [[1], [2]]),
}


async def test_every_difference_is_as_the_documentation_says(host: ScriptedHost) -> None:
    """In one session: each plan is short, and none depends on another."""
    found: dict[str, object] = {}
    engine = open_engine("monty", limits=Limits(), warm_workers=0)
    try:
        with fail_after(60):
            worker = await engine.worker()
            for name, source in UNKNOWN_SYNTAX.items():
                outcome = await worker.run(source, host=host, limits=Limits(seconds=10))
                found[name] = (outcome.status, outcome.errors[0].type if outcome.errors else None)
            for name in NO_BUILTIN:
                outcome = await worker.run(f"{name}(1)", host=host, limits=Limits(seconds=10))
                found[name] = (outcome.status, (outcome.errors[0].hint or "")[-40:])
            for name in NO_MODULE:
                outcome = await worker.run(f"import {name}", host=host, limits=Limits(seconds=10))
                found[name] = (outcome.status, outcome.errors[0].type)
            for name, (source, _) in {**FAILS, **DIFFERS, **WORKS}.items():
                outcome = await worker.run(source, host=host, limits=Limits(seconds=10))
                found[name] = outcome.result if outcome.status == "ok" else (outcome.status, outcome.errors[0].type)
    finally:
        await engine.aclose()
    expected: dict[str, object] = dict.fromkeys(UNKNOWN_SYNTAX, ("refused", "PolicyError"))
    expected |= dict.fromkeys(NO_BUILTIN, ("refused", "builtins that the engine 'monty' does not have."[-40:]))
    expected |= dict.fromkeys(NO_MODULE, ("error", "ModuleNotFoundError"))
    expected |= {name: ("error", kind or "NotImplementedError") for name, (_, kind) in FAILS.items()}
    expected |= {name: result for name, (_, result) in {**DIFFERS, **WORKS}.items()}
    expected["try and finally"] = ["division by zero", 1]
    assert found == expected


async def test_the_names_that_monty_has_are_known_exactly() -> None:
    names = [name for name in dir(builtins) if not name.startswith("_") and name not in ("True", "False", "None")]
    missing: set[str] = set()
    async with (
        pydantic_monty.AsyncMonty(min_processes=0, max_processes=1) as pool,
        pool.checkout(limits={"max_suspensions": 10_000}) as session,
    ):
        for name in names:
            snapshot = await session.feed_start(f"[{name}]")
            if isinstance(snapshot, pydantic_monty.AsyncNameLookupSnapshot):
                missing.add(name)
                with pytest.raises(pydantic_monty.MontyRuntimeError):
                    await snapshot.resume()
        for module in language.MODULES:
            await session.feed_run(f"import {module}")
    assert set(names) - missing == language.BUILTINS
