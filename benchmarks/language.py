"""What the language policy costs: the same loops in plain Python, in a jailed plan, and in plain RestrictedPython.

    python benchmarks/language.py [--json] [--rounds N] [--only WORD]

Every loop measures its own CPU time. The three run in turn, round by round, so that a busy machine slows all of them;
a ratio is the median over the rounds. Plans run in the product's own worker, jail and all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import operator
import os
import statistics
import subprocess
import sys
import warnings
from contextlib import AsyncExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from RestrictedPython import compile_restricted, safe_builtins
from RestrictedPython.Eval import default_guarded_getitem, default_guarded_getiter
from RestrictedPython.Guards import guarded_iter_unpack_sequence, guarded_unpack_sequence, safer_getattr
from RestrictedPython.PrintCollector import PrintCollector
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from planact_server.sandbox import Limits, Unresolved
from planact_server.sandbox.host import open_engine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from planact_server.sandbox import Resolution, ToolRequest, Worker
    from planact_tools import JSONValue

POINT = """
class Point:
    def __init__(self, x):
        self.x = x
        self._y = x
    def shift(self, by):
        self.x += by
    def get(self):
        return self.x
    def _private(self):
        return self._y
    def total(self):
        return self.get() + self._private()
    def reads(self, n):
        for i in range(n):
            self._y; self._y
    def writes(self, n):
        for i in range(n):
            self._y = self.x = i
    def chain(self, n):
        self._next = Point(1)
        for i in range(n):
            self._next._y; self._next.x
p = Point(1)
"""

COUNT = """
def count(n):
    i = total = 0
    while i < n:
        i += 1
        total += i
"""

CONTEXT = """
class Context:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        return None
c = Context()
"""

UNKNOWN = """
def f(x):
    return x
def pairs(g, n):
    for i in range(n):
        a, b = g(i), g(1)
def items(g, d, n):
    for i in range(n):
        d["k"] = g(i)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    body: str
    """Statements that are timed; they read `n`."""

    setup: str = ""
    iterations: int = 200_000
    aim: float | None = None
    """How many times the time of plain Python a plan may take, where an aim is set."""


def loop(*statements: str, setup: str = "", iterations: int = 200_000, aim: float | None = None) -> Case:
    """A loop around statements that may read `i`."""
    body = "".join(f"\n    {statement}" for statement in statements)
    return Case(body=f"for i in range(n):{body}", setup=setup, iterations=iterations, aim=aim)


CASES = {
    "plain loop": loop("t = t * 3 % 1001 + i", setup="t = 0", iterations=1_000_000, aim=2),
    "plain loop, augmented": loop("t += i % 7", "t -= 1", setup="t = 0", iterations=1_000_000, aim=2),
    "while loop in a function": Case(setup=COUNT, body="count(n)", iterations=1_000_000, aim=2),
    "d[k] += 1": loop("d[i & 7] += 1", setup="d = {k: 0 for k in range(8)}", aim=2),
    "subscripts, read": loop("l[1]", "d['k']", setup="l = [1, 2, 3]\nd = {'k': 1}", aim=2),
    "subscripts, write": loop("l[0] = i", "d['k'] = i", setup="l = [1]\nd = {}", aim=2),
    "slices": loop("l[2:5]", "l[::-1]", setup="l = list(range(9))", aim=2),
    "list methods": loop("l.append(i)", "l.pop()", setup="l = []", aim=4),
    "str methods": loop("s.upper()", "s.split(',')", setup="s = 'a,b'", aim=4),
    "dict methods": loop("d.get('k')", "d.keys()", setup="d = {'k': 1}", aim=4),
    "own methods": loop("p.get()", setup=POINT, aim=4),
    "own methods that write": loop("p.shift(1)", setup=POINT, aim=4),
    "own private methods": loop("p.total()", setup=POINT, aim=4),
    "making objects": loop("Point(i)", setup=POINT, aim=4),
    "attributes, read": loop("p.x", "p.x", setup=POINT),
    "attributes, written": loop("p.x = i", setup=POINT),
    "attributes, written in a method": Case(body="p.writes(n)", setup=POINT),
    "private attributes, read": loop("p._y", "p._y", setup=POINT),
    "private attributes, read in a method": Case(body="p.reads(n)", setup=POINT),
    "private attributes of attributes": Case(body="p.chain(n)", setup=POINT),
    "unpacking in for": Case(
        body="for _ in range(n // 1000):\n    for a, (b, c) in pairs: pass",
        setup="pairs = [(1, (2, 3))] * 1000",
        iterations=1_000_000,
        aim=3,
    ),
    "unpacking in for, dict items": Case(
        body="for _ in range(n // 1000):\n    for k, v in d.items(): pass",
        setup="d = {i: i for i in range(1000)}",
        iterations=1_000_000,
        aim=3,
    ),
    "unpacking in assignments": loop("a, b = b, i", "(c, d), *e = (a, b), 3", setup="a, b = 1, 2", aim=3),
    "comprehensions": Case(body="[i * 2 for i in range(n) if i & 1]; {i: i for i in range(n)}", aim=2),
    "generator expressions": Case(body="sum(i for i in range(n))", aim=2),
    "generators": Case(setup="def g(n):\n    for i in range(n): yield i", body="for i in g(n): pass", aim=2),
    "function calls": loop("f(i)", "f(i, b=3)", setup="def f(a, b=2): return a", aim=2),
    "star arguments": loop("f(*a, **k)", setup="def f(*a, **k): return a\na, k = (1, 2), {'x': 1}", aim=2),
    "builtins": loop("len('abc')", "abs(i)", "str(i)", aim=2),
    "results of what may be a tool, unpacked": Case(body="pairs(f, n)", setup=UNKNOWN),
    "results of what may be a tool, as items": Case(body="items(f, {}, n)", setup=UNKNOWN),
    "f-strings": loop("f'{i:>{w}} {w!r}'", setup="w = 7", aim=2),
    "str.format": loop("'{} {:>4}'.format(i, i)", aim=4),
    "str.format, attributes": loop("'{0.x} {1[0]}'.format(p, 'ab')", setup=POINT, aim=4),
    "str.format, template in a variable": loop("t.format(p, i)", setup=POINT + "t = '{0.x} {1:>4}'", aim=4),
    "try": loop("try: i / (i & 1)", "except ZeroDivisionError as e: pass", aim=2),
    "with": loop("with c as d: pass", setup=CONTEXT, aim=2),
    "match": loop("match (i, {'k': i}):", "    case (int(a), {'k': b}): pass", aim=2),
    "print": loop("print(i, end='')", iterations=20_000),
}


def timed(case: Case) -> str:
    """Return a program whose `cpu` is the CPU seconds of the case's body."""
    head = f"import time\nn = {case.iterations}\n{case.setup}\n"
    return f"{head}cpu = time.process_time()\n{case.body}\ncpu = time.process_time() - cpu\n"


# ---- the two that plans are compared with, each in an interpreter of its own -----------------------------------------


def serve_programs(subject: str) -> None:
    """Run programs from standard input, one JSON text a line; answer with what each left in `cpu`."""
    answers = sys.stdout
    run = restricted_python() if subject == "restricted" else plain_python()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RestrictedPython's, about what it does not know
        for line in sys.stdin:
            try:
                cpu = run(json.loads(line))
            except (SyntaxError, NameError, TypeError, AttributeError, NotImplementedError):
                cpu = None  # RestrictedPython does not take it
            print(json.dumps(cpu), file=answers, flush=True)


def plain_python() -> Callable[[str], float]:
    names: dict[str, Any] = {"__name__": "__main__"}

    def run(source: str) -> float:
        exec(compile(source, "program", "exec", dont_inherit=True), names)
        return names["cpu"]

    return run


def restricted_python() -> Callable[[str], float]:
    """RestrictedPython with the guards that its documentation offers."""
    operators = {"+=": operator.iadd, "-=": operator.isub}
    builtins = {**safe_builtins, "list": list, "dict": dict, "sum": sum, "__import__": __import__}
    names: dict[str, Any] = {
        "__builtins__": builtins,
        "__name__": "plan",
        "__metaclass__": type,
        "_getattr_": safer_getattr,
        "_getitem_": default_guarded_getitem,
        "_getiter_": default_guarded_getiter,
        "_iter_unpack_sequence_": guarded_iter_unpack_sequence,
        "_unpack_sequence_": guarded_unpack_sequence,
        "_write_": lambda target: target,
        "_print_": PrintCollector,
        "_inplacevar_": lambda sign, left, right: operators[sign](left, right),
        "_apply_": lambda function, *args, **options: function(*args, **options),
    }

    def run(source: str) -> float:
        exec(compile_restricted(source, "program", "exec"), names)
        return names["cpu"]

    return run


class Child:
    def __init__(self, subject: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--serve", subject],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def run(self, source: str) -> float | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(source), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


# ---- plans -----------------------------------------------------------------------------------------------------------


class NoTools:
    """A host without tools."""

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        return {name: Unresolved() for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        raise AssertionError(request)

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        raise AssertionError(helper, arguments)


def in_plan(worker: Worker) -> Callable[[str], Awaitable[float | None]]:
    async def run(source: str) -> float | None:
        outcome = await worker.run(source + "cpu", host=NoTools(), limits=Limits())
        assert outcome.status == "ok", outcome.errors
        assert isinstance(outcome.result, float)
        return outcome.result

    return run


# ---- the measurement -------------------------------------------------------------------------------------------------


async def measure(cases: Mapping[str, Case], rounds: int) -> dict[str, dict[str, float | None]]:
    async with AsyncExitStack() as stack:
        python, restricted = Child("python"), Child("restricted")
        stack.callback(python.close)
        stack.callback(restricted.close)
        engine = open_engine(limits=Limits(), warm_workers=0)
        stack.push_async_callback(engine.aclose)
        subjects = [python.run, in_plan(await engine.worker()), restricted.run]
        figures: dict[str, dict[str, float | None]] = {}
        for name, case in cases.items():
            times = [[await run(timed(case)) for run in subjects] for _ in range(rounds)]
            figures[name] = {
                "python_ns": round(statistics.median(row[0] or 0.0 for row in times) / case.iterations * 1e9, 1),
                "plan": ratio([row[1] for row in times], [row[0] for row in times]),
                "restricted_python": ratio([row[2] for row in times], [row[0] for row in times]),
                "aim": case.aim,
            }
        return figures


def ratio(times: list[float | None], plain: list[float | None]) -> float | None:
    """Return the median over the rounds; nothing where a program is not taken."""
    ratios = [mine / its for mine, its in zip(times, plain, strict=True) if mine is not None and its]
    return round(statistics.median(ratios), 2) if ratios else None


def show(figures: Mapping[str, Mapping[str, float | None]]) -> None:
    table = Table("loop", "Python, ns", "plan", "aim", "RestrictedPython", box=None)
    for name, row in figures.items():
        plan, aim, restricted = row["plan"], row["aim"], row["restricted_python"]
        missed = " [red]missed[/red]" if plan is not None and aim is not None and plan > aim else ""
        table.add_row(
            escape(name),
            f"{row['python_ns']:.0f}",
            f"{plan:.2f} x",
            "" if aim is None else f"{aim:g} x{missed}",
            "refused" if restricted is None else f"{restricted:.2f} x",
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="only the loops whose name has this in it")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_programs(options.serve)
        return
    chosen = {name: case for name, case in CASES.items() if options.only in name}
    figures = asyncio.run(measure(chosen, options.rounds))
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)


if __name__ == "__main__":
    main()
