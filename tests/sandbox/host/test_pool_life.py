"""Idle pools, worn and stuck zygotes, and sessions that never meet in one worker."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_server.sandbox import EngineError, Limits
from planact_server.sandbox.host import PooledEngine
from sandbox.host.processes import ended, running

if TYPE_CHECKING:
    from conftest import ScriptedHost
    from planact_server.sandbox.zygote_source import ZygoteSource

if sys.platform == "win32":
    pytest.skip("Windows cannot fork", allow_module_level=True)

LIMITS = Limits(seconds=10)


def until_dead(child: int) -> None:
    with contextlib.suppress(ChildProcessError):  # asyncio's thread has waited for it first
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


def forking_process(source: ZygoteSource) -> int:
    """The process that answers, which may be a child of the one that the host has started."""
    pid = source.zygote_pid
    assert pid is not None
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    name = [child for child in children if Path(f"/proc/{child}/task/{child}/children").read_text().split()]
    return int(name[0]) if name else pid


async def test_after_a_while_without_sessions_the_ready_workers_and_then_the_zygote_go(
    source: ZygoteSource, host: ScriptedHost
) -> None:
    engine = PooledEngine(source, warm=1, idle_seconds=0.5)
    with fail_after(20):
        engine.warm_up()
        assert engine._filling is not None
        await engine._filling
        [warm] = engine._ready
        zygote = source.zygote_pid
        await ended(warm.pid)
        assert running(zygote)
        await ended(zygote)
        worker = await engine.worker()
        outcome = await worker.run("x = 1", host=host, limits=LIMITS)
        assert source.zygote_pid != zygote
        await engine.aclose()
    assert outcome.status == "ok"


async def test_a_zygote_that_may_go_stays_for_its_last_worker(source: ZygoteSource, host: ScriptedHost) -> None:
    with fail_after(20):
        worker = await source.start()
        zygote = source.zygote_pid
        await source.rest()
        outcome = await worker.run("x = 1", host=host, limits=LIMITS)
        assert running(zygote)
        await worker.aclose()
        await ended(zygote)
    assert outcome.status == "ok"


async def test_a_worn_zygote_is_replaced_while_its_workers_go_on(
    source: ZygoteSource, host: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planact_server.sandbox.zygote_source.MOST_FORKS", 2)
    with fail_after(30):
        first, second = await source.start(), await source.start()
        worn = source.zygote_pid
        third = await source.start()  # from the worn one: the new one begins beside it
        assert source._renewal is not None
        await source._renewal
        fourth = await source.start()
        assert (source.zygote_pid != worn, running(worn)) == (True, True)
        outcomes = [
            await worker.run(f"x = {number}", host=host, limits=LIMITS)
            for number, worker in enumerate((first, second, third, fourth))
        ]
        for worker in (first, second, third):
            await worker.aclose()
        await ended(worn)
        again = await fourth.run("x", host=host, limits=LIMITS)
        await fourth.aclose()
    assert [outcome.variables for outcome in outcomes] == [{"x": 0}, {"x": 1}, {"x": 2}, {"x": 3}]
    assert again.result == 3


async def test_a_zygote_killed_between_workers_is_replaced_without_an_error(source: ZygoteSource) -> None:
    with fail_after(20):
        worker = await source.start()
        await worker.aclose()
        assert source.zygote_pid is not None
        os.kill(source.zygote_pid, signal.SIGKILL)
        until_dead(source.zygote_pid)  # the event loop stands still here: the source takes the zygote for a living one
        again = await source.start()
        assert again.alive
        await again.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_zygote_that_was_stopped_is_replaced(source: ZygoteSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.sandbox.zygote_source.FORK_SECONDS", 0.3)
    with fail_after(20):
        worker = await source.start()
        stuck = source.zygote_pid
        os.kill(forking_process(source), signal.SIGSTOP)
        again = await source.start()
        assert (again.alive, source.zygote_pid != stuck) == (True, True)
        await ended(stuck)
        await again.aclose()
        await worker.aclose()


async def test_a_zygote_that_cannot_start_says_why_and_the_next_one_may_start(
    source: ZygoteSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planact_server.sandbox.launching._restricted_python", lambda: "/nowhere")
    with fail_after(20):
        with pytest.raises(EngineError, match=r"forked from ended with code 1: .*nowhere"):
            await source.start()
        monkeypatch.undo()
        worker = await source.start()
        await worker.aclose()


async def test_no_two_sessions_meet_in_one_worker(
    source: ZygoteSource, host: ScriptedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pooled, put back and renewed workers: each serves one session and knows nothing of another."""
    monkeypatch.setattr("planact_server.sandbox.zygote_source.MOST_FORKS", 3)
    engine = PooledEngine(source, warm=2)
    pids: list[int] = []
    with fail_after(60):
        for number in range(8):
            pooled, restored = await engine.worker(), await engine.worker()
            pids += [pooled.pid, restored.pid]
            await restored.restore({"given": number}, {"own": "def own():\n    return given"})
            for worker in (pooled, restored):
                strange = await worker.run("x, y()", host=host, limits=LIMITS)
                assert [error.message for error in strange.errors] == [
                    "name 'x' is not defined",
                    "name 'y' is not defined",
                ]
            await pooled.run(f"x = {number}\ndef y():\n    return [x]", host=host, limits=LIMITS)
            kept = await pooled.run("y()", host=host, limits=LIMITS)
            alone = await restored.run("own()", host=host, limits=LIMITS)
            assert (kept.result, alone.result) == ([number], number)
            if number % 2:
                await pooled.aclose()
        renewed = source.zygote_pid
        await engine.aclose()
    assert len(set(pids)) == 16
    assert renewed is not None
