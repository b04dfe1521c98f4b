"""A plan that goes too deep is told so, also where the interpreter's own code does the going."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_server.sandbox import Limits
from planact_server.sandbox.host import open_engine

if TYPE_CHECKING:
    from conftest import ScriptedHost

if sys.platform == "win32":
    pytest.skip("Windows fixes the stack's size when a program is built", allow_module_level=True)

import resource

LIMITS = Limits(seconds=15)
SMALL_STACK = 256 * 1024

ENDLESS = {
    "functions": "def f(): return f()\nf()",
    "methods": "class A:\n    def m(self): return self.m()\nA().m()",
    "coroutines": "async def f(): return await f()\nawait f()",
    "generators": "def g():\n    yield from g()\nlist(g())",
    "repr": "class A:\n    def __repr__(self): return repr([self])\nrepr(A())",
    "format": "class A:\n    def __format__(self, s): return '{:{}}'.format(self, s)\n'{}'.format(A())",
    "comparison": "class A:\n    def __eq__(self, o): return [self] == [o]\nA() == A()",
    "sorting": "class A:\n    def __lt__(self, o): return min(self, o)\nA() < A()",
    "sort keys": "def k(x): return sorted([1, 2], key=k)\nk(1)",
    "map": "def k(x): return list(map(k, [x]))\nk(1)",
    "reduce": "import functools\ndef f(a, b): return functools.reduce(f, [1, 2])\nf(1, 2)",
    "heaps": "import heapq\nclass A:\n    def __lt__(self, o): heapq.heapify([A(), A()])\nheapq.heapify([A(), A()])",
    "iteration": "class A:\n    def __iter__(self): return iter(list(self))\nlist(A())",
    "numbers": "class A:\n    def __int__(self): return int(self)\nint(A())",
    "JSON": "import json\nx = []\nfor _ in range(100_000): x = [x]\njson.dumps(x)",
    "JSON text": "import json\njson.loads('[' * 100_000)",
    "copies": "import copy\nx = []\nfor _ in range(100_000): x = [x]\ncopy.deepcopy(x)",
    "printing": "import pprint\nx = []\nfor _ in range(50_000): x = [x]\npprint.pprint(x)",
    "patterns": "import re\nre.compile('(?:' * 5000 + ')' * 5000)",
    "generators of generators": "x = [1]\nfor _ in range(30_000): x = (i for i in x)\nlist(x)",
}


async def test_recursion_without_end_is_an_error_of_the_plan(host: ScriptedHost) -> None:
    """One session bears it all, though the server was started with next to no stack."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    engine = open_engine("fork", limits=LIMITS, warm_workers=0)
    resource.setrlimit(resource.RLIMIT_STACK, (SMALL_STACK, hard))
    try:
        worker = await engine.worker()
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))
    ends: dict[str, tuple[str, list[str]]] = {}
    with fail_after(60):
        for name, source in ENDLESS.items():
            outcome = await worker.run(f"{source}\nx = 0", host=host, limits=LIMITS)
            ends[name] = outcome.status, [error.type for error in outcome.errors]
        await engine.aclose()

    assert ends == dict.fromkeys(ENDLESS, ("error", ["RecursionError"]))


NESTED = {
    "signs": f"x = {'-' * 90_000}1",
    "conditions": f"x = {'1 if 1 else ' * 10_000}1",
    "sums": f"x = {'1 + ' * 20_000}1",
    "attributes": f"x = int{'.real' * 20_000}",
    "calls": f"print{'()' * 50_000}",
    "branches": "if 1: pass\n" + "elif 1: pass\n" * 8_000,
}


async def test_source_that_is_nested_too_deeply_is_refused(host: ScriptedHost) -> None:
    engine = open_engine(limits=LIMITS, warm_workers=0)
    worker = await engine.worker()
    with fail_after(60):
        ends = {name: await worker.run(source, host=host, limits=LIMITS) for name, source in NESTED.items()}
        await engine.aclose()

    said = {name: (end.status, [error.message for error in end.errors]) for name, end in ends.items()}
    assert said == dict.fromkeys(NESTED, ("refused", ["The plan is nested too deeply."]))
