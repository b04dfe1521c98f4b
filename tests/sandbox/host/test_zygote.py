"""The process that workers are forked from: its pool, its death, its renewal."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import fail_after

from planact_server.sandbox import EngineError, Limits
from planact_server.sandbox.host import PooledEngine
from sandbox.host.processes import ended

if TYPE_CHECKING:
    from conftest import ScriptedHost
    from planact_server.sandbox import ToolRequest
    from planact_server.sandbox.zygote_source import ZygoteSource

if sys.platform == "win32":
    pytest.skip("Windows cannot fork", allow_module_level=True)

LIMITS = Limits(seconds=10)


def kill_zygote(source: ZygoteSource) -> None:
    assert source.zygote_pid is not None
    os.kill(source.zygote_pid, signal.SIGKILL)


async def test_a_plan_whose_zygote_dies_ends_with_that_reason_and_the_next_worker_has_a_new_one(
    source: ZygoteSource, host: ScriptedHost
) -> None:
    with fail_after(20):
        worker = await source.start()
        first = source.zygote_pid

        async def kill(_: ToolRequest) -> None:
            kill_zygote(source)
            await anyio.sleep_forever()

        host.tool = kill
        outcome = await worker.run("x = 1\ntool(value=1)", host=host, limits=LIMITS)
        await worker.aclose()
        next_worker = await source.start()
        again = await next_worker.run("x = 2", host=host, limits=LIMITS)
        await next_worker.aclose()

    lost = "The process that workers are forked from was ended by SIGKILL."
    assert (outcome.status, outcome.worker_lost) == ("error", lost)
    assert (again.status, again.variables) == ("ok", {"x": 2})
    assert source.zygote_pid != first


async def test_a_fork_that_the_zygote_does_not_survive_is_an_error_that_says_so(source: ZygoteSource) -> None:
    with fail_after(20):
        worker = await source.start()
        await worker.aclose()
        zygote = source._zygote
        assert zygote is not None
        if sys.platform == "linux":  # the process that answers is a child of the one that the host knows
            children = Path(f"/proc/{source.zygote_pid}/task/{source.zygote_pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGSTOP)
        kill_zygote(source)
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(EngineError, match="forked from was ended by SIGKILL"):
            await zygote.fork(theirs)


async def test_a_fork_that_nobody_waits_for_any_more_disturbs_no_other(
    source: ZygoteSource, host: ScriptedHost
) -> None:
    with fail_after(20):
        first = await source.start()
        pid = source.zygote_pid
        with anyio.CancelScope() as scope:
            scope.cancel()
            await source.start()
        second = await source.start()
        outcomes = [await worker.run("x = 1", host=host, limits=LIMITS) for worker in (first, second)]
        await first.aclose()
        await second.aclose()
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"]
    assert source.zygote_pid == pid


async def test_a_warm_worker_goes_to_one_session_and_is_replaced(source: ZygoteSource) -> None:
    engine = PooledEngine(source, warm=2)
    with fail_after(20):
        engine.warm_up()
        assert engine._filling is not None
        await engine._filling
        warm = [worker.pid for worker in engine._ready]
        given = [(await engine.worker()).pid for _ in range(2)]
        await engine._filling
        third = await engine.worker()
        await engine.aclose()
    assert given == warm
    assert third.pid not in warm
    assert not third.alive


async def test_a_warm_worker_that_died_is_not_given_out(source: ZygoteSource, host: ScriptedHost) -> None:
    engine = PooledEngine(source, warm=1)
    with fail_after(20):
        engine.warm_up()
        assert engine._filling is not None
        await engine._filling
        [warm] = engine._ready
        os.kill(warm.pid, signal.SIGKILL)
        await warm._connection.closed
        worker = await engine.worker()
        outcome = await worker.run("x = 1", host=host, limits=LIMITS)
        await engine.aclose()
    assert worker.pid != warm.pid
    assert outcome.status == "ok"


async def test_an_interpreter_that_is_not_there_is_named(source: ZygoteSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with fail_after(20), pytest.raises(EngineError, match="No interpreter could be started from '/nowhere/python'"):
        await source.start()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no pidfd already")
@pytest.mark.usefixtures("short_grace")
async def test_without_pidfds_the_zygote_does_the_signalling(source: ZygoteSource, host: ScriptedHost) -> None:
    with fail_after(20):
        worker = await source.start()
        process = worker._process
        process.close()  # lets the pidfd go

        async def interrupt(_: ToolRequest) -> None:
            await worker.interrupt()

        host.tool = interrupt
        interrupted = await worker.run("tool(value=1)\nwhile True: pass", host=host, limits=LIMITS)
        deaf = await worker.run("sum(range(10**13))", host=host, limits=Limits(seconds=0.1))
        ending = await process.exited
        await worker.aclose()
    assert (interrupted.status, interrupted.worker_lost) == ("cancelled", None)
    assert (deaf.status, ending.signal) == ("timeout", signal.SIGKILL)


SERVER_THAT_IS_KILLED = """
import asyncio, os, signal
from planact_server.sandbox import Limits
from planact_server.sandbox.host import open_engine

async def main():
    engine = open_engine({choice!r}, limits=Limits(), warm_workers=0)
    worker = await engine.worker()
    plan = asyncio.create_task(worker.run("while True: pass", host=None, limits=Limits()))
    await asyncio.sleep(0)
    print(worker.pid, getattr(engine._source, "zygote_pid", worker.pid), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot promise it")
@pytest.mark.parametrize("choice", ["fork", "spawn"])
async def test_nothing_outlives_a_server_that_is_killed(choice: str) -> None:
    with fail_after(20):
        script = SERVER_THAT_IS_KILLED.format(choice=choice)
        server = await anyio.run_process([sys.executable, "-c", script], check=False)
        pids = [int(pid) for pid in server.stdout.split()]
        for pid in pids:
            await ended(pid)
    assert len(pids) == 2
    assert server.returncode == -signal.SIGKILL
