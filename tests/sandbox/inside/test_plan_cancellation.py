"""What is given up ends: tasks, what they wait for, and calls under way. As in CPython's asyncio."""

from __future__ import annotations

import asyncio
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.inside.plan_worker import Limit

if TYPE_CHECKING:
    from sandbox.inside.plan_worker import PlanWorker

# Each defines `main()`, which returns what happened.
PLANS = {
    "a task that sleeps": """
        async def main():
            log = []
            async def work():
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    log.append("told")
                    raise
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            log.append(task.cancel())
            try:
                await task
            except asyncio.CancelledError:
                log.append("raised")
            return log, task.cancelled(), task.cancel()
    """,
    "a task that has not begun": """
        async def main():
            log = []
            async def work():
                log.append("begun")
            task = asyncio.create_task(work())
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                log.append("raised")
            return log
    """,
    "a task that awaits another": """
        async def main():
            async def inner():
                await asyncio.sleep(60)
            async def outer(task):
                await task
            inside = asyncio.create_task(inner())
            outside = asyncio.create_task(outer(inside))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            outside.cancel()
            await asyncio.wait([inside, outside], timeout=5)
            return inside.cancelled(), outside.cancelled()
    """,
    "a task whose work goes on all the same": """
        async def main():
            async def inner():
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    return "went on"
            async def outer():
                return await asyncio.create_task(inner())
            task = asyncio.create_task(outer())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            return await task
    """,
    "a shielded one": """
        async def main():
            async def inner():
                await asyncio.sleep(0.01)
                return "whole"
            inside = asyncio.create_task(inner())
            async def outer():
                await asyncio.shield(inside)
            outside = asyncio.create_task(outer())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            outside.cancel()
            return await inside, outside.cancelled()
    """,
    "whoever awaits a gather": """
        async def main():
            async def part():
                await asyncio.sleep(60)
            parts = [asyncio.create_task(part()) for _ in range(3)]
            async def whole():
                await asyncio.gather(*parts)
            task = asyncio.create_task(whole())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task, *parts], timeout=5)
            return task.cancelled(), [part.cancelled() for part in parts]
    """,
    "a gather": """
        async def main():
            async def part():
                await asyncio.sleep(60)
            done = asyncio.create_task(asyncio.sleep(0, "first"))
            late = asyncio.create_task(part())
            whole = asyncio.gather(done, late, return_exceptions=True)
            await asyncio.sleep(0.01)
            cancelled = whole.cancel()
            try:
                await whole
            except asyncio.CancelledError:
                return "raised", cancelled, done.result(), late.cancelled(), whole.cancel()
    """,
    "a gather whose parts are done": """
        async def main():
            whole = asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))
            await asyncio.sleep(0.01)
            return whole.cancel(), await whole
    """,
    "a gather that keeps errors, of what ends at once": """
        async def main():
            log = []
            async def whole():
                await asyncio.gather(asyncio.Future(), asyncio.Future(), return_exceptions=True)
                log.append("went on")
            try:
                await asyncio.wait_for(whole(), 0.01)
            except asyncio.TimeoutError:
                log.append("too long")
            task = asyncio.create_task(whole())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=5)
            nested = asyncio.gather(asyncio.gather(asyncio.Future(), return_exceptions=True), return_exceptions=True)
            await asyncio.sleep(0)
            nested.cancel()
            try:
                await nested
            except asyncio.CancelledError:
                log.append("nested")
            return log, task.cancelled()
    """,
    "a task that cancels itself": """
        async def main():
            log = []
            async def work():
                asyncio.current_task().cancel()
                log.append("on")
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    log.append("told")
                    raise
            task = asyncio.create_task(work())
            await asyncio.wait([task], timeout=5)
            return log, task.cancelled()
    """,
    "a body that is left before it is told": """
        async def main():
            log = []
            async def fails():
                raise ValueError("no")
            try:
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(fails())
                    await asyncio.wait([task])
            except* ValueError:
                log.append("group")
            await asyncio.sleep(0)
            return log
    """,
    "callbacks that fail, and a chain of them": """
        async def main():
            log = []
            async def work():
                return 1
            task = asyncio.create_task(work())
            task.add_done_callback(lambda _: [].pop())
            task.add_done_callback(lambda done: log.append(done.result()))
            log.append(await task)
            await asyncio.sleep(0)
            futures = [asyncio.Future() for _ in range(2_000)]
            for one, after in zip(futures, futures[1:]):
                one.add_done_callback(lambda _, after=after: after.cancel())
            futures[0].cancel()
            try:
                await futures[-1]
            except asyncio.CancelledError:
                log.append("all")
            return log
    """,
    "what is awaited as it completes, for so long": """
        async def main():
            log = []
            async def work(seconds):
                await asyncio.sleep(seconds)
                return seconds
            try:
                for each in asyncio.as_completed([work(60), work(0)], timeout=0.05):
                    log.append(await each)
            except asyncio.TimeoutError:
                log.append("too long")
            return log
    """,
    "a group whose body fails beside its tasks": """
        async def main():
            async def fails():
                try:
                    await asyncio.sleep(60)
                finally:
                    raise ValueError("task")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fails())
                    await asyncio.sleep(0)
                    raise KeyError("body")
            except ExceptionGroup as errors:
                kinds = sorted(type(each).__name__ for each in errors.exceptions)
            try:
                group.create_task(asyncio.Future())
            except RuntimeError:
                return kinds, "ended"
    """,
    "odds and ends": """
        async def main():
            log = []
            async def work():
                log.append("run")
            try:
                await asyncio.wait_for(work(), 0)
            except asyncio.TimeoutError:
                log.append("no time")
            coroutine = work()
            log.append(await asyncio.gather(coroutine, coroutine))
            cancelled, slow = asyncio.Future(), asyncio.Future()
            cancelled.cancel()
            done, _ = await asyncio.wait([cancelled, slow], timeout=0.02, return_when="FIRST_EXCEPTION")
            log.append(len(done))
            log.append(await asyncio.wait_for(fut=asyncio.sleep(0, 1), timeout=5))
            return log
    """,
    "tasks that wake each other without end": """
        async def main():
            ping, pong, count = asyncio.Event(), asyncio.Event(), [0]
            async def plays(mine, other):
                while True:
                    await mine.wait()
                    mine.clear()
                    count[0] += 1
                    other.set()
            tasks = [asyncio.create_task(plays(ping, pong)), asyncio.create_task(plays(pong, ping))]
            ping.set()
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            return count[0] > 10
    """,
    "what takes too long": """
        async def main():
            log = []
            async def work():
                try:
                    await asyncio.sleep(60)
                finally:
                    log.append("ended")
            task = asyncio.create_task(work())
            try:
                await asyncio.wait_for(task, 0.01)
            except asyncio.TimeoutError:
                log.append("too long")
            await asyncio.wait([task], timeout=5)
            return log, task.cancelled()
    """,
    "whoever waits for what may take long": """
        async def main():
            async def work():
                await asyncio.sleep(60)
            inside = asyncio.create_task(work())
            outside = asyncio.create_task(asyncio.wait_for(inside, 50))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            outside.cancel()
            await asyncio.wait([inside, outside], timeout=5)
            return inside.cancelled(), outside.cancelled()
    """,
    "a block with a time limit": """
        async def main():
            async def work():
                await asyncio.sleep(60)
            task = asyncio.create_task(work())
            try:
                async with asyncio.timeout(0.01):
                    await task
            except TimeoutError:
                return "too long", task.cancelled()
    """,
    "the tasks of a group when one fails": """
        async def main():
            log = []
            async def fails():
                await asyncio.sleep(0.01)
                raise ValueError("no")
            async def sleeps(name):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    log.append(name)
                    raise
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(sleeps("first"))
                    group.create_task(fails())
                    group.create_task(sleeps("last"))
            except* ValueError as errors:
                log.append(str(errors.exceptions))
            return sorted(log)
    """,
    "the body of a group when a task fails": """
        async def main():
            log = []
            async def fails():
                raise ValueError("no")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fails())
                    try:
                        await asyncio.sleep(60)
                    except asyncio.CancelledError:
                        log.append("body")
                        raise
            except* ValueError as errors:
                log.append(len(errors.exceptions))
            return log
    """,
    "the tasks of a group whose body fails": """
        async def main():
            log = []
            async def sleeps():
                try:
                    await asyncio.sleep(60)
                finally:
                    log.append("ended")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(sleeps())
                    await asyncio.sleep(0)
                    raise KeyError("body")
            except* KeyError as errors:
                log.append(len(errors.exceptions))
            return log
    """,
    "a group with its task": """
        async def main():
            log = []
            async def sleeps():
                try:
                    await asyncio.sleep(60)
                finally:
                    log.append("ended")
            async def whole():
                async with asyncio.TaskGroup() as group:
                    group.create_task(sleeps())
                    group.create_task(sleeps())
                log.append("never")
            task = asyncio.create_task(whole())
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task], timeout=5)
            return log, task.cancelled()
    """,
    "one who waits for a lock": """
        async def main():
            lock, log = asyncio.Lock(), []
            async def work(name):
                async with lock:
                    log.append(name)
                    await asyncio.sleep(0.01)
            first, second, third = [asyncio.create_task(work(name)) for name in "abc"]
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.wait([first, second, third], timeout=5)
            return log, second.cancelled(), lock.locked()
    """,
    "one whose turn has just come": """
        async def main():
            lock, log = asyncio.Lock(), []
            async def work(name):
                async with lock:
                    log.append(name)
            await lock.acquire()
            second, third = [asyncio.create_task(work(name)) for name in "bc"]
            await asyncio.sleep(0)
            lock.release()
            second.cancel()
            await asyncio.wait([second, third], timeout=5)
            return log, second.cancelled(), third.done()
    """,
    "one of many who wait for the same": """
        async def main():
            event, queue, log = asyncio.Event(), asyncio.Queue(), []
            async def hears(name):
                await event.wait()
                log.append(name)
            async def gets(name):
                log.append((name, await queue.get()))
            tasks = [asyncio.create_task(hears("a")), asyncio.create_task(hears("b"))]
            tasks += [asyncio.create_task(gets("c")), asyncio.create_task(gets("d"))]
            await asyncio.sleep(0)
            tasks[0].cancel()
            tasks[2].cancel()
            event.set()
            queue.put_nowait(1)
            await asyncio.wait(tasks, timeout=5)
            return sorted(map(str, log)), [task.cancelled() for task in tasks]
    """,
}


@pytest.mark.parametrize("source", PLANS.values(), ids=PLANS)
def test_giving_up_is_as_in_cpython(session: PlanWorker, source: str) -> None:
    source = textwrap.dedent(source)
    names: dict[str, Any] = {"asyncio": asyncio}
    exec(source, names)
    expected = asyncio.run(names["main"]())

    run = session.run(f"import asyncio\n{source}\nawait main()")

    assert (run.status, run.done["errors"]) == ("ok", [])
    assert run.result == _as_json(expected)


def slow() -> None:
    raise AssertionError("nobody waits for this any more")


GIVEN_UP = {
    "wait_for": "try:\n    await asyncio.wait_for(slow(), 0.01)\nexcept TimeoutError:\n    pass",
    "a task of it": "t = asyncio.create_task(slow())\nawait asyncio.sleep(0)\nt.cancel()",
    "a task around it": "async def f():\n    return await slow()\nt = asyncio.create_task(f())\n"
    "await asyncio.sleep(0)\nt.cancel()\nawait asyncio.wait([t])",
    "gather": "g = asyncio.gather(slow(), asyncio.sleep(60))\nawait asyncio.sleep(0)\ng.cancel()",
    "a group": "async def no():\n    raise ValueError\ntry:\n    async with asyncio.TaskGroup() as g:\n"
    "        g.create_task(slow())\n        g.create_task(no())\nexcept* ValueError:\n    pass",
    "timeout": "try:\n    async with asyncio.timeout(0.01):\n        await slow()\nexcept TimeoutError:\n    pass",
}


@pytest.mark.parametrize("source", GIVEN_UP.values(), ids=GIVEN_UP)
def test_a_call_that_is_given_up_is_told_to_the_host(session: PlanWorker, source: str) -> None:
    run = session.run(f"import asyncio\n{source}\nawait asyncio.sleep(0.01)\n1", {"demo.slow": slow}, together=2)

    assert (run.status, run.done["errors"], run.result) == ("ok", [], 1)
    assert (len(run.calls), run.left) == (1, [1])


def test_a_call_that_has_its_answer_is_not_given_up(session: PlanWorker) -> None:
    run = session.run(
        "import asyncio\nt = asyncio.create_task(quick())\nawait t\nt.cancel()", {"demo.quick": lambda: 3}
    )

    assert (run.result, run.left) == (False, [])


def test_nothing_else_waits_once_the_last_call_is_given_up(session: PlanWorker) -> None:
    run = session.run(
        "import asyncio\nt = asyncio.create_task(slow())\nt.cancel()\nawait asyncio.Event().wait()",
        {"demo.slow": slow},
        together=2,
    )

    assert (run.status, run.error["type"]) == ("error", "Deadlock")


def test_an_answer_that_comes_too_late_is_for_nobody(session: PlanWorker) -> None:
    def too_late() -> str:
        raise Limit("an answer that would end the plan")

    run = session.run(
        "import asyncio\nt = asyncio.create_task(too_late())\nt.cancel()\nt.cancelled(), quick()",
        {"demo.too_late": too_late, "demo.quick": lambda: 3},
        together=2,
    )

    assert (run.status, run.result, run.left) == ("ok", [True, 3], [1])


def _as_json(value: Any) -> Any:
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value
