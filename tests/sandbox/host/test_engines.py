"""Real workers from every engine of this system: the same tests over each."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from anyio import create_task_group, fail_after

from planact_server.sandbox import SILENT_DOUBT, EngineError, KnownResults, Limits, Outcome, PlanError
from planact_server.sandbox.host import PooledEngine, open_engine
from sandbox.host.leftovers import descriptors, held, nothing_more_than

if TYPE_CHECKING:
    from conftest import ScriptedHost
    from planact_server.sandbox import ToolRequest
    from planact_server.sandbox.worker import JailedWorker
    from planact_tools import JSONValue

LIMITS = Limits(seconds=10)
DEAF = "sum(range(10**13))"
"""One step of C code that lasts for hours: no signal is looked at before it ends."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


async def variables(worker: JailedWorker, source: str, host: ScriptedHost) -> dict[str, JSONValue]:
    with fail_after(20):
        outcome = await worker.run(source, host=host, limits=LIMITS)
    assert (outcome.status, outcome.errors, outcome.worker_lost) == ("ok", (), None)
    return dict(outcome.variables)


def own_children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    told = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for children in told for child in children.read_text().split()]


def first_of_its_namespace(pid: int) -> int:
    """Return the process that goes on for one that entered a namespace of process numbers."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


async def never(_: ToolRequest) -> None:
    await anyio.sleep_forever()


async def test_a_session_keeps_its_variables_from_plan_to_plan(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    assert await variables(worker, "x = [1]", host) == {"x": [1]}
    assert await variables(worker, "y = x + [2]", host) == {"y": [1, 2]}


async def test_variables_of_an_earlier_worker_are_put_back(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    with fail_after(20):
        await worker.restore({"x": {"a": [1.5, None, "é"]}})
    assert await variables(worker, "y = x['a'][2]", host) == {"y": "é"}


async def test_a_tool_call_goes_to_the_host_and_back(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    assert await variables(worker, "x = tool(value=1)", host) == {"x": [1]}


async def test_what_looks_wrong_is_known_before_the_plan_calls_anything(
    engine: PooledEngine, host: ScriptedHost
) -> None:
    host.returns = KnownResults(shape=["dict", {"total": "int"}], results=3)
    worker = await engine.worker()
    early: list[tuple[PlanError, ...]] = []

    async def look(_: ToolRequest) -> JSONValue:
        early.append(worker.so_far().doubts)
        return {"total": 1}

    host.tool = look
    with fail_after(20):
        outcome = await worker.run("x = tool(value=1)\nx.get('totl')", host=host, limits=LIMITS)
        again = await worker.run("x = tool(value=1)", host=host, limits=LIMITS)
    (doubt,) = outcome.doubts
    assert (outcome.status, doubt.type, doubt.line) == ("ok", SILENT_DOUBT, 2)
    assert (doubt.message, doubt.hint) == (
        "x.get('totl'): there is no key 'totl' in what tool has returned so far (3 results).",
        "Did you mean 'total'? Its keys: 'total'.",
    )
    assert early == [(doubt,), ()]
    assert again.doubts == ()


async def test_a_plan_that_overflows_whoever_reads_it_is_refused(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    with fail_after(20):
        outcome = await worker.run("s = 'abc'\ns" + ".replace('a', 'b')" * 147, host=host, limits=LIMITS)
    assert (outcome.status, [error.message for error in outcome.errors]) == (
        "refused",
        ["The plan is nested too deeply."],
    )
    assert await variables(worker, "x = 1", host) == {"x": 1}


async def test_two_workers_share_nothing(engine: PooledEngine, host: ScriptedHost) -> None:
    one, other = await engine.worker(), await engine.worker()
    await variables(one, "x = 1", host)
    with fail_after(20):
        outcome = await other.run("x", host=host, limits=LIMITS)
    assert outcome.status == "refused"
    assert one.pid != other.pid


async def test_random_numbers_differ_between_workers(engine: PooledEngine, host: ScriptedHost) -> None:
    source = "import random\nx = random.random()"
    drawn = [await variables(await engine.worker(), source, host) for _ in range(2)]
    assert drawn[0] != drawn[1]


async def test_many_plans_run_at_once(engine: PooledEngine, host: ScriptedHost) -> None:
    results: list[dict[str, JSONValue]] = []
    sessions_at_once = 20 if engine.name == "zygote" else 4  # an interpreter each takes its time

    async def session(number: int) -> None:
        worker = await engine.worker()
        results.append(await variables(worker, f"x = {number}", host))
        await worker.aclose()

    with fail_after(20):
        async with create_task_group() as sessions:
            for number in range(sessions_at_once):
                sessions.start_soon(session, number)
    assert sorted(found["x"] for found in results) == list(range(sessions_at_once))


@posix
async def test_a_worker_that_is_killed_from_outside_ends_its_plan_with_the_reason(
    engine: PooledEngine, host: ScriptedHost
) -> None:
    worker = await engine.worker()

    async def kill(_: ToolRequest) -> None:
        os.kill(worker.pid, signal.SIGKILL)
        await anyio.sleep_forever()

    host.tool = kill
    with fail_after(20):
        outcome = await worker.run("print('before')\ntool(value=1)", host=host, limits=LIMITS)
        again = await worker.run("x = 1", host=host, limits=LIMITS)

    lost = "The worker was ended by SIGKILL, from outside or for want of memory."
    assert (outcome.status, outcome.output, outcome.worker_lost) == ("error", "before\n", lost)
    assert (again.status, again.worker_lost, worker.alive) == ("error", lost, False)


async def test_a_plan_past_its_deadline_ends_and_its_session_lives(engine: PooledEngine, host: ScriptedHost) -> None:
    """Monty has no signal to listen to: only a plan that asks for something is stopped without its process."""
    worker = await engine.worker()
    host.tool = never
    waits = "tool(value=1)" if engine.name == "monty" else "while True: pass"
    with fail_after(20):
        outcome = await worker.run(f"x = 1\n{waits}", host=host, limits=Limits(seconds=0.2))
    assert (outcome.status, outcome.variables, outcome.worker_lost) == ("timeout", {"x": 1}, None)
    assert await variables(worker, "y = x", host) == {"y": 1}


@pytest.mark.usefixtures("short_grace")
async def test_a_plan_that_is_deaf_to_its_deadline_is_killed(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    with fail_after(20):
        outcome = await worker.run(DEAF, host=host, limits=Limits(seconds=0.1))
    lost = "The plan did not stop at its deadline of 0.1 s; its worker was killed."
    assert (outcome.status, outcome.worker_lost, worker.alive) == ("timeout", lost, False)


@posix
async def test_an_interrupted_plan_is_cancelled_and_its_session_lives(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()

    async def interrupt(_: ToolRequest) -> None:
        await worker.interrupt()
        if engine.name == "monty":  # which takes no signals: it can be stopped where it asks for something
            await anyio.sleep_forever()

    host.tool = interrupt
    with fail_after(20):
        await worker.interrupt()  # nothing runs: nothing happens
        outcome = await worker.run("x = 1\ntool(value=1)\nwhile True: pass", host=host, limits=LIMITS)
        await worker.interrupt()
    assert (outcome.status, outcome.variables, outcome.worker_lost) == ("cancelled", {"x": 1}, None)
    assert await variables(worker, "y = x", host) == {"y": 1}


@posix
async def test_a_plan_is_interrupted_even_before_its_worker_has_begun_with_it(
    engine: PooledEngine, host: ScriptedHost
) -> None:
    worker = await engine.worker()
    outcomes: list[Outcome] = []
    host.tool = never
    waits = "tool(value=1)" if engine.name == "monty" else "while True: pass"

    async def run() -> None:
        outcomes.append(await worker.run(waits, host=host, limits=LIMITS))

    with fail_after(20):
        async with create_task_group() as tasks:
            tasks.start_soon(run)
            await anyio.lowlevel.checkpoint()
            await worker.interrupt()
    assert [(outcome.status, outcome.worker_lost) for outcome in outcomes] == [("cancelled", None)]


@posix
@pytest.mark.parametrize("how", ["a scope", "a task"])
async def test_cancelling_the_wait_cancels_the_call_and_stops_the_plan(
    engine: PooledEngine, host: ScriptedHost, how: str
) -> None:
    worker = await engine.worker()
    called, cancelled = anyio.Event(), anyio.Event()

    async def never(_: ToolRequest) -> None:
        called.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    host.tool = never
    with fail_after(20):
        if how == "a scope":
            async with create_task_group() as tasks:
                tasks.start_soon(lambda: worker.run("x = 1\ntool(value=1)", host=host, limits=LIMITS))
                await called.wait()
                tasks.cancel_scope.cancel()
        else:
            task = asyncio.create_task(worker.run("x = 1\ntool(value=1)", host=host, limits=LIMITS))
            await called.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert cancelled.is_set()
    assert worker.alive
    assert await variables(worker, "y = x", host) == {"y": 1}


@pytest.mark.usefixtures("short_grace")
async def test_cancelling_the_wait_kills_a_plan_that_does_not_stop(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    with fail_after(20):
        with anyio.move_on_after(0.2):
            await worker.run(DEAF, host=host, limits=LIMITS)
        assert not worker.alive
        await worker.aclose()


@linux
async def test_a_plan_that_wants_too_much_memory_does_not_get_it(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    with fail_after(20):
        outcome = await worker.run("x = 'x' * (300 * 2**20)", host=host, limits=LIMITS)
    assert outcome.status in ("error", "limit")
    assert await variables(worker, "y = 'x' * 2**20\ny = len(y)", host) == {"y": 2**20}


@posix
async def test_a_worker_that_used_up_its_cpu_time_ends_with_status_limit(host: ScriptedHost) -> None:
    engine = open_engine(limits=LIMITS, warm_workers=0, cpu_seconds=1)
    try:
        with fail_after(20):
            worker = await engine.worker()
            outcome = await worker.run("x = 1\nwhile True: pass", host=host, limits=LIMITS)
            with fail_after(20):
                await worker.aclose()
    finally:
        await engine.aclose()
    assert (outcome.status, outcome.errors[0].message) == ("limit", "The worker has used up its CPU time.")
    assert outcome.variables == {"x": 1}
    assert not worker.alive


@linux
async def test_every_layer_takes_where_nothing_forbids_it(engine: PooledEngine) -> None:
    await engine.worker()
    names = {
        "process", "environment",
        "user_namespace", "mount_namespace", "pid_namespace", "network_namespace", "ipc_namespace", "uts_namespace",
        "empty_root", "hidden", "no_new_privs", "dies_with_parent", "capabilities", "landlock",
        "memory", "cpu", "files", "descriptors", "processes", "seccomp",
    }  # fmt: skip
    if os.geteuid() == 0:
        names.add("unprivileged_user")
    # A program of its own starts after the jail is entered, and by starting becomes visible to its user again.
    program = {
        "language": True,
        "hidden": "not available: a program is visible again once it starts",
        "driver": True,
    }
    assert engine.layers == dict.fromkeys(names, True) | (program if engine.name == "monty" else {})


@linux
async def test_a_worker_has_its_stream_and_nothing_else(engine: PooledEngine) -> None:
    worker = await engine.worker()
    pid = worker.pid
    if engine.name == "monty":
        (pid,) = own_children(pid)  # the host knows the driver
    if engine.name == "spawn":
        pid = first_of_its_namespace(pid)
    process = Path(f"/proc/{pid}")
    assert sorted(descriptors(pid)) == {"zygote": ["0"], "spawn": ["0", "1"], "monty": ["0", "1", "2"]}[engine.name]
    assert (process / "environ").read_bytes() == b""
    assert (process / "cwd").readlink() == Path("/")
    assert os.getsid(pid) == pid
    limits = (process / "limits").read_text()
    assert "Max file size             0                    0" in limits
    most = 4 if engine.name == "monty" else len(descriptors(pid))  # its loader opens one library at a time
    assert f"Max open files            {most} " in limits


@linux
async def test_workers_leave_no_process_and_no_descriptor_behind(engine: PooledEngine, host: ScriptedHost) -> None:
    first = await engine.worker()
    await first.aclose()
    gc.collect()
    before = held()
    batches = 5 if engine.name == "zygote" else 1
    with fail_after(30):
        for _ in range(batches):
            workers = [await engine.worker() for _ in range(10)]
            for worker in workers:
                await variables(worker, "x = tool(value=1)", host)
            for worker in workers:
                await worker.aclose()
    await nothing_more_than(before)


@linux
async def test_closing_the_engine_ends_everything_even_a_running_plan(host: ScriptedHost, engine: PooledEngine) -> None:
    before = held()
    worker = await engine.worker()
    outcomes: list[Outcome] = []

    async def run() -> None:
        outcomes.append(await worker.run("tool(value=1)", host=host, limits=LIMITS))

    called = anyio.Event()

    async def never(_: ToolRequest) -> None:
        called.set()
        await anyio.sleep_forever()

    host.tool = never
    with fail_after(20):
        async with create_task_group() as tasks:
            tasks.start_soon(run)
            await called.wait()
            await engine.aclose()
    assert [(outcome.status, outcome.worker_lost) for outcome in outcomes] == [("cancelled", "The session was closed.")]
    await nothing_more_than(before)
    with pytest.raises(EngineError, match="The engine is closed"):
        await engine.worker()


async def test_the_time_that_a_person_takes_is_not_the_plans(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    limits = Limits(seconds=1)

    async def asked(request: ToolRequest) -> str:
        await worker.hold([request.call])
        await anyio.sleep(1.5)
        await worker.hold([])
        return "yes"

    host.tool = asked
    with fail_after(30):
        outcome = await worker.run("x = tool(value=1)", host=host, limits=limits)
        assert (outcome.status, outcome.variables) == ("ok", {"x": "yes"})
        outcome = await worker.run("x = tool(value=1)\nwhile True:\n    pass", host=host, limits=limits)
        assert outcome.status == "timeout"


FORKED_OR_SPAWNED = [
    *([] if sys.platform == "win32" else ["fork"]),
    pytest.param("spawn", marks=pytest.mark.check),
]


@pytest.mark.parametrize("engine", FORKED_OR_SPAWNED, indirect=True)
async def test_the_clock_of_a_plan_that_does_something_else_meanwhile_runs_on(
    engine: PooledEngine, host: ScriptedHost
) -> None:
    worker = await engine.worker()

    async def asked(request: ToolRequest) -> None:
        await worker.hold([request.call])
        await anyio.sleep_forever()

    host.tool = asked
    busy = "import asyncio\nt = asyncio.create_task(tool(value=1))\nwhile True:\n    await asyncio.sleep(0.01)"
    with fail_after(30):
        outcome = await worker.run(busy, host=host, limits=Limits(seconds=1))
    assert (outcome.status, worker.alive) == ("timeout", True)


@pytest.mark.parametrize("engine", FORKED_OR_SPAWNED, indirect=True)
async def test_a_plan_that_waits_for_others_too_has_its_own_clock(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()

    async def asked(request: ToolRequest) -> None:
        if request.call == 1:
            await worker.hold([1])
            await anyio.sleep_forever()
        await anyio.sleep(0.1)

    host.tool = asked
    busy = "import asyncio\nt = asyncio.create_task(tool(value=1))\nfor n in range(100):\n    tool(value=n)"
    with fail_after(30):
        outcome = await worker.run(busy, host=host, limits=Limits(seconds=1))
    assert (outcome.status, worker.alive) == ("timeout", True)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells the host what a worker has computed")
@pytest.mark.parametrize("engine", FORKED_OR_SPAWNED, indirect=True)
async def test_a_plan_that_computes_deaf_to_its_clock_while_a_person_is_asked_is_killed(
    engine: PooledEngine, host: ScriptedHost, short_grace: None
) -> None:
    worker = await engine.worker()

    async def asked(_: ToolRequest) -> None:
        await worker.hold([1])
        await anyio.sleep_forever()

    host.tool = asked
    deaf = (
        "import asyncio, itertools\nt = asyncio.create_task(tool(value=1))\nawait asyncio.sleep(0.1)\n"
        "-1 in itertools.count()"
    )
    with fail_after(30):
        outcome = await worker.run(deaf, host=host, limits=Limits(seconds=1, cpu_seconds=20))
    assert (outcome.status, worker.alive) == ("timeout", False)


async def test_a_plan_whose_clock_stands_still_can_be_cancelled(engine: PooledEngine, host: ScriptedHost) -> None:
    worker = await engine.worker()
    reached = asyncio.Event()

    async def asked(request: ToolRequest) -> None:
        await worker.hold([request.call])
        reached.set()
        await anyio.sleep_forever()

    host.tool = asked
    with fail_after(30):
        running = asyncio.ensure_future(worker.run("x = 1\ntool(value=1)", host=host, limits=LIMITS))
        await reached.wait()
        await worker.interrupt()
        outcome = await running
        assert (outcome.status, outcome.variables, worker.alive) == ("cancelled", {"x": 1}, True)
        await worker.hold([])
        assert await variables(worker, "y = 2", host) == {"y": 2}
