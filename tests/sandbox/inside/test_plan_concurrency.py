"""Several calls in flight: await, gather, tasks, parallel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.inside.plan_worker import Fault

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker


def double(n: int) -> int:
    return n * 2


def fail(n: int = 0) -> int:
    raise Fault(type="ToolError", message="no")


TOOLS = {"demo.double": double, "demo.fail": fail}

# The host answers only when three calls are in flight, the last one first.
TOGETHER = {
    "gather": "await asyncio.gather(double(1), double(2), double(3))",
    "gather of a starred list": "await asyncio.gather(*[double(n) for n in [1, 2, 3]])",
    "gather of a generator": "await asyncio.gather(*(demo.double(n) for n in [1, 2, 3]))",
    "imported name": "from asyncio import gather\nawait gather(double(1), double(2), double(3))",
    "coroutines": "async def one(n):\n    return await double(n)\nawait asyncio.gather(*[one(n) for n in [1, 2, 3]])",
    "asyncio.run": "async def main():\n    return await asyncio.gather(*map(one, [1, 2, 3]))\nasync def one(n):\n"
    "    return await double(n)\nasyncio.run(main())",
    "tasks": "ts = [asyncio.create_task(double(n)) for n in [1, 2, 3]]\n[await t for t in ts]",
    "ensure_future": "ts = [asyncio.ensure_future(demo.double(n)) for n in [1, 2, 3]]\n[await t for t in ts]",
    "task group": "async with asyncio.TaskGroup() as tg:\n    ts = [tg.create_task(double(n)) for n in [1, 2, 3]]\n"
    "[t.result() for t in ts]",
    "wait_for": "await asyncio.gather(*[asyncio.wait_for(double(n), 5) for n in [1, 2, 3]])",
    "to_thread": "await asyncio.gather(*[asyncio.to_thread(double, n) for n in [1, 2, 3]])",
    "call_tool": "await asyncio.gather(*[call_tool('double', {'n': n}) for n in [1, 2, 3]])",
    "parallel lambdas": "parallel(lambda: double(1), lambda: double(2), lambda: double(3))",
    "parallel list": "parallel([lambda n=n: double(n) for n in [1, 2, 3]])",
    "parallel calls": "parallel(double(1), double(2), double(3))",
    "parallel coroutines": "async def one(n):\n    return await double(n)\nparallel(*[one(n) for n in [1, 2, 3]])",
    "parallel partials": "import functools\nparallel([functools.partial(double, n) for n in [1, 2, 3]])",
    "nested gather": "async def two():\n    return await asyncio.gather(double(1), double(2))\n"
    "[a, b], c = await asyncio.gather(two(), double(3))\n[a, b, c]",
}  # fmt: skip


@pytest.mark.parametrize("source", TOGETHER.values(), ids=TOGETHER)
def test_calls_are_in_flight_together_and_results_keep_their_order(session: PlanWorker, source: str) -> None:
    run = session.run(f"import asyncio\n{source}", TOOLS, together=3)

    assert (run.status, run.done["errors"]) == ("ok", [])
    assert (run.result, run.most_in_flight) == ([2, 4, 6], 3)


def test_calls_without_await_run_one_after_the_other(session: PlanWorker) -> None:
    run = session.run("[double(n) for n in [1, 2]]", TOOLS)

    assert (run.result, run.most_in_flight) == ([2, 4], 1)


def test_await_works_on_calls_plain_values_and_finished_results(session: PlanWorker) -> None:
    run = session.run(
        "import asyncio\nx = double(1)\n[await x, await double(2), *await asyncio.gather(x, double(4))]", TOOLS
    )

    assert run.result == [2, 4, 2, 8]


def test_a_users_own_gather_gets_values(session: PlanWorker) -> None:
    assert session.run("def gather(*xs):\n    return sum(xs)\ngather(double(1), double(2))", TOOLS).result == 6
    session.run("del gather")


def test_a_failing_call_raises_where_it_is_awaited(session: PlanWorker) -> None:
    run = session.run("import asyncio\nawait asyncio.gather(double(1), fail())", TOOLS, together=2)

    assert (run.error["type"], run.error["call"], run.error["line"]) == ("ToolError", 2, 2)


def test_gather_can_return_exceptions(session: PlanWorker) -> None:
    run = session.run(
        "import asyncio\nr = await asyncio.gather(double(1), fail(), return_exceptions=True)\n[r[0], str(r[1])]", TOOLS
    )

    assert run.result == [2, "no"]


def test_a_deadlock_is_an_error(session: PlanWorker) -> None:
    run = session.run("import asyncio\nawait asyncio.Event().wait()")

    assert (run.status, run.error["type"]) == ("error", "Deadlock")


def test_tasks_that_nobody_awaits_end_with_the_plan(session: PlanWorker) -> None:
    run = session.run(
        "import asyncio\nlog = []\nasync def forever():\n    try:\n        await asyncio.sleep(99)\n    finally:\n"
        "        log.append('closed')\nt = asyncio.create_task(forever())\nawait asyncio.sleep(0)"
    )

    assert (run.status, run.variables["log"]) == ("ok", ["closed"])
    assert session.run("1").result == 1
