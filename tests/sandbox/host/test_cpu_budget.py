"""A plan may wait for as long as its deadline lets it, and compute for less."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_server.sandbox import Limits

if TYPE_CHECKING:
    from conftest import ScriptedHost
    from planact_server.sandbox import ToolRequest
    from planact_server.sandbox.host import PooledEngine
    from planact_server.sandbox.worker import JailedWorker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what CPU time a process has used")

LIMITS = Limits(seconds=15, cpu_seconds=0.2)

python_engines = pytest.mark.parametrize("engine", ["fork", "spawn"], indirect=True)

SPINNING = {
    "a loop": "while True: pass",
    "a loop that swallows its end": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "a coroutine": "async def f():\n    while True: pass\nawait f()",
}


@python_engines
@pytest.mark.parametrize("source", SPINNING.values(), ids=SPINNING)
async def test_a_plan_that_used_its_cpu_time_up_ends_with_status_limit_and_the_session_goes_on(
    engine: PooledEngine, host: ScriptedHost, source: str
) -> None:
    worker = await engine.worker()
    with fail_after(20):
        outcome = await worker.run(f"x = 1\n{source}", host=host, limits=LIMITS)
        after = await worker.run("x + 1", host=host, limits=LIMITS)

    said = [(error.type, error.message) for error in outcome.errors]
    assert outcome.status == "limit"
    assert said == [("LimitReached", "The plan computed for longer than 0.2 s of CPU time.")]
    assert (outcome.variables, after.result) == ({"x": 1}, 2)


async def test_waiting_costs_no_cpu_time(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    with fail_after(20):
        outcome = await worker.run("import time\ntime.sleep(0.6)\n'slept'", host=host, limits=LIMITS)

    assert (outcome.status, outcome.result) == ("ok", "slept")


@python_engines
@pytest.mark.usefixtures("short_grace")
async def test_a_worker_that_is_deaf_to_the_end_of_its_cpu_time_is_killed(
    engine: PooledEngine, host: ScriptedHost
) -> None:
    worker = await engine.worker()
    with fail_after(20):
        outcome = await worker.run("print('before')\nsum(range(10**13))", host=host, limits=LIMITS)

    lost = "The plan did not stop after 0.2 s of CPU time; its worker was killed."
    assert (outcome.status, outcome.worker_lost, outcome.output) == ("limit", lost, "before\n")
    assert not worker.alive


@pytest.mark.usefixtures("short_grace")
async def test_a_hostile_worker_that_spins_in_many_threads_is_killed(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    source = "import threading\nfor _ in range(3): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()"
    with fail_after(20):
        outcome = await raw_worker.run(source, host=host, limits=LIMITS)

    assert (outcome.status, raw_worker.alive) == ("limit", False)


@pytest.mark.parametrize("engine", ["fork"], indirect=True)
@pytest.mark.parametrize("size", [1, 3_000_000])
async def test_an_answer_that_crosses_the_end_of_a_worker_loses_nothing_that_it_has_said(
    engine: PooledEngine, host: ScriptedHost, size: int
) -> None:
    """The answer is written to a worker that is dead, before anything of what it had sent was read."""
    worker = await engine.worker()

    async def spend(_: ToolRequest) -> str:
        os.kill(worker.pid, signal.SIGXCPU)
        stand_still_until_dead(worker.pid)
        return "x" * size

    host.tool = spend
    with fail_after(20):
        outcome = await worker.run("x = 1\nprint('before')\ntool(value=1)", host=host, limits=Limits(seconds=10))

    assert (outcome.status, outcome.variables, outcome.output) == ("limit", {"x": 1}, "before\n")
    assert [error.message for error in outcome.errors] == ["The worker has used up its CPU time."]
    assert outcome.worker_lost == "The worker ended with its plan: it could have run no other."


def stand_still_until_dead(pid: int) -> None:
    """Keep the event loop from hearing of it."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
