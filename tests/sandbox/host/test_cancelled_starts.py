"""Starts that nobody waits for any more: whatever was under way then ends, and nothing of it stays in the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from typing import TYPE_CHECKING, Literal, TypeAlias

import pytest
from anyio import create_task_group, fail_after

from planact_server.sandbox import EngineError, Limits
from planact_server.sandbox.host import open_engine
from sandbox.host.leftovers import held, nothing_more_than

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from planact_server.sandbox.host import EngineChoice, PooledEngine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

How: TypeAlias = Literal["a scope", "a task"]

STEPS = 24
"""Turns of the event loop within which a process is started, and a fork asked for and answered."""

both_ways = pytest.mark.parametrize("how", ["a scope", "a task"])


async def cancelled(
    work: Callable[[], Coroutine[None, None, None]], how: How, *, steps: int = 0, seconds: float = 0.0
) -> None:
    """Begin with the work and cancel it some turns of the event loop later, and some time."""

    async def meanwhile() -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        if seconds:
            await asyncio.sleep(seconds)

    if how == "a scope":
        async with create_task_group() as tasks:
            tasks.start_soon(work)
            await meanwhile()
            tasks.cancel_scope.cancel()
    else:
        task = asyncio.ensure_future(work())
        await meanwhile()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@both_ways
async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing_behind(engine: PooledEngine, how: How) -> None:
    async def start_and_close() -> None:
        await (await engine.worker()).aclose()

    await start_and_close()
    gc.collect()
    before = held()
    full, rounds = (0.02, 4) if engine.name == "zygote" else (0.4, 1)
    with fail_after(60):
        for steps in [*range(STEPS)] * rounds:
            await cancelled(start_and_close, how, steps=steps)
        for part in range(1, 8):
            await cancelled(start_and_close, how, seconds=full * part / 8)
        await start_and_close()  # whatever was under way is through
        await nothing_more_than(before)


@both_ways
async def test_an_engine_whose_first_start_is_cancelled_leaves_nothing_behind(how: How) -> None:
    async def open_start_and_close() -> None:
        engine = open_engine(limits=Limits(), warm_workers=0)
        try:
            await engine.worker()
        finally:
            await engine.aclose()

    gc.collect()
    before = held()
    with fail_after(60):
        for steps in range(0, STEPS, 6):
            await cancelled(open_start_and_close, how, steps=steps)
        await nothing_more_than(before)


@pytest.mark.parametrize("choice", ["fork", "spawn"])
async def test_an_engine_that_is_closed_while_a_worker_starts_leaves_nothing_behind(choice: EngineChoice) -> None:
    gc.collect()
    before = held()
    with fail_after(60):
        for served in (True, False):
            for steps in range(4, STEPS, 8):
                engine = open_engine(choice, limits=Limits(), warm_workers=0)
                if served:
                    await (await engine.worker()).aclose()
                start = asyncio.ensure_future(engine.worker())
                for _ in range(steps):
                    await asyncio.sleep(0)
                await engine.aclose()
                with contextlib.suppress(EngineError):
                    assert not (await start).alive
        await nothing_more_than(before)
