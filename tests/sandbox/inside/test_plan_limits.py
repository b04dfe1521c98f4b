"""Deadlines, cancellation, budgets: the plan ends, what it did stays, the session goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker


ENDLESS = {
    "loop": "while True: pass",
    "sleep": "import time\ntime.sleep(60)",
    "async sleep": "import asyncio\nawait asyncio.sleep(60)",
    "bare except": "while True:\n    try:\n        while True: pass\n    except:\n        pass",
    "base exception": "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass",
    "regular expression": "import re\nre.match(r'(a+)+$', 'a' * 40 + 'b')",
    "comparison": "class K:\n    def __lt__(self, o):\n        while True: pass\nsorted([K(), K()])",
    "coroutine": "async def f():\n    while True: pass\nawait f()",
    "generator": "def g():\n    while True: yield\nfor _ in g(): pass",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_a_plan_ends_at_its_deadline_and_the_session_goes_on(session: PlanWorker, source: str) -> None:
    run = session.run(f"x = 1\n{source}", seconds=0.15, within=3)

    assert (run.status, run.error["type"], run.variables["x"]) == ("timeout", "TimeoutError", 1)
    assert session.run("x + 1").result == 2


# A signal arrives at a jump, and a handler covers none of its own block's: these jump inside a function.
SWALLOWING = {
    "finally": "while True:\n    try:\n        while True: go()\n    finally:\n        continue",
    "exit method": "class C:\n    def __enter__(self): return self\n    def __exit__(self, *a): return True\n"
    "while True:\n    with C():\n        while True: go()",
    "its own class": "caught = []\nclass C:\n    def __enter__(self): return self\n    def __exit__(self, kind, *a):\n"
    "        caught.append(kind)\n        return True\nwith C():\n    while True: go()\n"
    "while True:\n    try:\n        while True: go()\n    except caught[0]:\n        pass",
}


@pytest.mark.parametrize("source", SWALLOWING.values(), ids=SWALLOWING)
def test_a_plan_that_swallows_its_end_is_reported_and_its_worker_ends(worker: PlanWorker, source: str) -> None:
    run = worker.run(f"x = 1\ndef go():\n    for _ in range(200_000): pass\n{source}", seconds=0.5, within=10)

    assert (run.status, run.variables["x"]) == ("timeout", 1)
    with pytest.raises((EOFError, BrokenPipeError)):
        worker.run("1")


def test_an_interrupted_plan_is_cancelled_with_what_it_did(worker: PlanWorker) -> None:
    timer = threading.Timer(0.2, worker.interrupt)
    timer.start()

    run = worker.run("x = [1]\nprint('on it')\nwhile True:\n    x[0] += 1")
    timer.join()

    assert (run.status, run.error["type"], run.output) == ("cancelled", "Cancelled", "on it\n")
    assert run.variables["x"][0] > 1
    assert worker.run("1").result == 1


def test_an_interrupt_between_plans_changes_nothing(worker: PlanWorker) -> None:
    worker.interrupt()

    assert worker.run("1").result == 1


def test_output_past_its_limit_ends_the_plan_and_what_fits_is_kept(worker: PlanWorker) -> None:
    run = worker.run(
        "x = 1\nwhile True:\n    try:\n        print('é' * 10)\n    except Exception:\n        pass", output_bytes=50
    )

    assert (run.status, run.error["type"], run.variables) == ("limit", "LimitReached", {"x": 1})
    assert run.output == "é" * 10 + "\n" + "é" * 10 + "\n" + "é" * 4


def test_output_arrives_before_the_call_that_follows_it(worker: PlanWorker) -> None:
    seen: list[str] = []
    run = worker.run("print('a')\nf()\nprint('b', end='')", {"demo.f": lambda: seen.append("call")})

    assert (run.output, seen) == ("a\nb", ["call"])


def test_library_code_prints_into_the_output(worker: PlanWorker) -> None:
    run = worker.run("import pprint, calendar, io\npprint.pprint({'a': 1})\nbuf = io.StringIO()\nprint('x', file=buf)")

    assert run.output == "{'a': 1}\n"


@pytest.mark.parametrize(
    "source",
    [
        "rows = []\nwhile True:\n    rows.append('a' * 100_000)",
        "rows = []\nwhile True:\n    rows += range(1000)",
        "def fill():\n    rows = {}\n    while True:\n        rows[len(rows)] = [0] * 2_000\nfill()",
    ],
)
def test_filling_the_memory_bit_by_bit_is_a_limit(worker: PlanWorker, source: str) -> None:
    run = worker.run(f"kept = 1\n{source}", within=60, seconds=50)

    assert (run.done["status"], run.variables["kept"]) == ("limit", 1)
    first = run.done["errors"][0]
    assert (first["type"], first["message"]) == ("MemoryError", "The plan ran out of memory.")


@pytest.mark.parametrize(
    "source",
    ["'a' * 10 ** 11", "list(range(10 ** 11))", "x = ('a' * 4000) * 4000 * 4000 * 4000", "f'{1:>100000000000}'"],
)
def test_one_huge_allocation_is_a_memory_error_and_the_worker_lives(session: PlanWorker, source: str) -> None:
    run = session.run(source)

    assert (run.status, run.error["type"]) == ("error", "MemoryError")
    assert session.run("1").result == 1
