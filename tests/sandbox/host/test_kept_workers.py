"""What an honest worker must not lose its session over: whatever a plan does, it keeps to the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anyio import fail_after

from planact_server.sandbox import Limits, Outcome
from planact_server.sandbox.host import open_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from planact_server.sandbox.host import PooledEngine
    from planact_server.sandbox.worker import JailedWorker
    from sandbox.host.conftest import ScriptedHost

LIMITS = Limits(seconds=1.5, cpu_seconds=10, frame_bytes=2**20)
NAME = "n" * 1_500


@pytest.fixture
async def forked() -> AsyncIterator[PooledEngine]:
    """An engine of the language that plans have; the other engine speaks another one."""
    engine = open_engine("fork", limits=LIMITS, warm_workers=0)
    yield engine
    await engine.aclose()


@pytest.fixture
async def worker(forked: PooledEngine) -> JailedWorker:
    return await forked.worker()


async def run(worker: JailedWorker, source: str, host: ScriptedHost) -> Outcome:
    with fail_after(20):
        return await worker.run(source, host=host, limits=LIMITS)


async def test_a_call_after_one_that_was_too_large(worker: JailedWorker, host: ScriptedHost) -> None:
    outcome = await run(worker, f"try:\n    echo('x' * {2**21})\nexcept ValueError: pass\necho(1)", host)
    assert (outcome.status, outcome.result, outcome.worker_lost) == ("ok", [1], None)
    assert [request.call for request in host.requests] == [1]


@pytest.mark.parametrize(
    "source",
    [
        f"{NAME} = 1",
        f"def {NAME}(): pass",
        f"from math import pi as {NAME}",
        f"tools.{NAME}(1)",
        f"getattr(echo, '{NAME}')",
        f"call_tool('{NAME}')",
        f"call_tool('t', server='{NAME}')",
    ],
    ids=["variable", "function", "import", "tool", "attribute", "raw-tool", "raw-server"],
)
async def test_a_name_that_is_longer_than_the_host_takes(worker: JailedWorker, host: ScriptedHost, source: str) -> None:
    await run(worker, "kept = 1", host)
    outcome = await run(worker, source, host)
    assert (outcome.status in ("refused", "error"), outcome.worker_lost) == (True, None)
    assert (await run(worker, "kept", host)).result == 1


@pytest.mark.parametrize(
    "forged",
    [
        {"$planact": "text"},
        {"$planact": ["text"], "id": "a", "size": 1},
        {"$planact": "text", "id": {}, "size": 1},
        {"$planact": "text", "id": "a", "size": -1},
        {"$planact": "image", "id": "a", "size": 1},
    ],
)
async def test_data_that_bear_the_mark_of_a_handle(worker: JailedWorker, host: ScriptedHost, forged: Any) -> None:
    assert await worker.restore({"found": forged}) == ()
    outcome = await run(worker, "found == echo(found)[0]", host)
    assert (outcome.result, outcome.worker_lost) == (True, None)


async def test_a_callback_without_end(worker: JailedWorker, host: ScriptedHost) -> None:
    """It is called when an answer is taken in, where nothing else may be stopped."""
    source = """
import asyncio
def forever(_):
    while True: pass
async def main():
    pending = asyncio.ensure_future(echo(1))
    pending.add_done_callback(forever)
    await pending
kept = 5
asyncio.run(main())
"""
    outcome = await run(worker, source, host)
    assert (outcome.status, outcome.variables.get("kept"), outcome.worker_lost) == ("timeout", 5, None)


async def test_a_repr_that_is_no_method_and_compares_without_end(worker: JailedWorker, host: ScriptedHost) -> None:
    """Whether a number has one is asked when the plan is over."""
    source = """
class Endless:
    def __eq__(self, other):
        while True: pass
    def __call__(self): return "seven"
class Number(int):
    @lambda method: Endless()
    def __repr__(self): pass
kept = Number(7)
"""
    outcome = await run(worker, source, host)
    assert (outcome.status, outcome.worker_lost) == ("ok", None)


async def test_a_class_with_a_name_of_megabytes(worker: JailedWorker, host: ScriptedHost) -> None:
    source = "from enum import Enum\nE = Enum('x' * 5_000_000, 'A')\nkept = [E.A] * 10"
    outcome = await run(worker, source, host)
    assert (outcome.status, len(str(outcome.variables["kept"])) < 10_000) == ("ok", True)


async def test_the_arguments_of_all_calls_of_a_plan_have_a_budget(worker: JailedWorker, host: ScriptedHost) -> None:
    """They are kept for the answer. A plan makes gigabytes of them in a moment."""
    outcome = await run(worker, "page = 'x' * 900_000\nfor _ in range(100): echo(page)[:0]", host)
    message = "The plan has given its calls more than 4,194,304 bytes of arguments."
    assert (outcome.status, [error.message for error in outcome.errors]) == ("limit", [message])
    assert (len(host.requests), outcome.worker_lost) == (4, None)


@pytest.mark.parametrize("megabytes", [7, 12])
async def test_data_that_fill_the_memory_plan_by_plan_end_no_worker_by_surprise(
    host: ScriptedHost, megabytes: int
) -> None:
    """Telling what the plans have left takes memory too, and there is none. A worker may say that it is the last."""
    limits = Limits(seconds=10, memory_bytes=96 * 2**20)
    engine = open_engine("fork", limits=limits, warm_workers=0)
    plan = f"kept.append('x' * {megabytes}_000_000 + str(len(kept)))"
    statuses: set[str] = set()
    try:
        with fail_after(60):
            worker = await engine.worker()
            await worker.run("kept = []", host=host, limits=limits)
            for _ in range(120 // megabytes):
                outcome = await worker.run(plan, host=host, limits=limits)
                statuses.add(outcome.status)
                if outcome.worker_lost is not None:
                    break
    finally:
        await engine.aclose()
    assert outcome.status == "limit" if outcome.worker_lost is not None else statuses > {"ok"}
    assert statuses <= {"ok", "error", "limit"}
