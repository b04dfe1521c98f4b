"""Starting, sharing, queueing, watching, cancelling, unloading: what an engine does while nothing is broken."""

import asyncio
import math
from pathlib import Path

import anyio
import pytest
from anyio import fail_after

from planact_quantized import BackendError, Candidate, Engine, EngineSettings, Message
from quantized.engine_standin import COMMAND  # noqa: TID251 - a folder of tests
from quantized.engine_testing import (  # noqa: TID251
    Beginning,
    descriptors,
    order,
    texts,
    toy,
    until_gone,
    until_state,
)
from sandbox.host.leftovers import held, nothing_more_than


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file; what stands in for llama.cpp never opens it."""
    path = tmp_path / "toy.gguf"
    path.write_bytes(b"weights")
    return path


async def test_pieces_arrive_in_order_before_the_text_that_they_make_up(model: Path) -> None:
    heard: list[tuple[int, str]] = []
    with fail_after(20):
        async with toy(model) as engine:
            completion = await engine.generate(order("say one two", candidates=2), watch=lambda *it: heard.append(it))
    assert heard == [(0, "one"), (1, "one"), (0, "two"), (1, "two")]
    assert completion.candidates == (
        Candidate(text="onetwo", stop="end", tokens=6),
        Candidate(text="onetwo", stop="end", tokens=6),
    )
    assert completion.usage.seconds_queued > 0


async def test_an_engine_that_nobody_asks_starts_nothing(model: Path) -> None:
    engine = Engine(EngineSettings(model=model), command=("no such program",))
    assert (engine.status.state, engine.status.pid, engine.status.memory_bytes) == ("stopped", None, None)
    await engine.aclose()
    assert engine.status.state == "closed"


async def test_users_who_come_at_the_same_time_share_one_start(model: Path) -> None:
    progress: list[float] = []
    processes: set[str] = set()
    with fail_after(20):
        async with toy(model, on_progress=progress.append) as engine, anyio.create_task_group() as group:

            async def start() -> None:
                processes.add((await engine.start()).extras["pid"])

            async def write() -> None:
                assert texts(await engine.generate(order("say x"))) == ["x"]

            for each in (start, write, start, write):
                group.start_soon(each)
    assert len(processes) == 1
    assert progress == [0.25, 1.0]


async def test_the_status_tells_of_the_child(model: Path) -> None:
    with fail_after(20):
        async with toy(model) as engine:
            info = await engine.start()
            status = engine.status
    assert (status.state, status.info, status.busy, status.waiting) == ("ready", info, False, 0)
    assert status.pid == int(info.extras["pid"])
    if Path("/proc/self/statm").exists():
        assert status.memory_bytes is not None
        assert status.memory_bytes > 1024**2


async def test_a_watcher_that_says_so_ends_a_candidate(model: Path) -> None:
    heard: list[str] = []

    def third(candidate: int, piece: str) -> bool:
        heard.append(piece)
        return len(heard) == 3

    with fail_after(20):
        async with toy(model) as engine:
            completion = await engine.generate(order("count"), watch=third)
    assert heard == ["0 ", "1 ", "2 "]
    assert completion.candidates[0].stop == "watched"
    assert completion.candidates[0].text.startswith("0 1 2 ")


async def test_a_watcher_that_fails_is_the_callers_error_and_the_child_goes_on(model: Path) -> None:
    def broken(candidate: int, piece: str) -> bool:
        raise LookupError(piece)

    with fail_after(20):
        async with toy(model) as engine:
            info = await engine.start()
            with pytest.raises(LookupError, match="hanging"):
                await engine.generate(order("hang"), watch=broken)
            assert texts(await engine.generate(order("say x"))) == ["x"]
            assert await engine.start() == info


async def test_the_queue_goes_by_priority_then_by_arrival(model: Path, tmp_path: Path) -> None:
    served: list[str] = []
    beginning = Beginning()
    with fail_after(20):
        async with toy(model) as engine, anyio.create_task_group() as group:

            async def write(text: str, priority: int) -> None:
                await engine.generate(order(f"say {text}", priority=priority))
                served.append(text)

            async def count() -> None:
                served.append(str(await engine.count_tokens([Message(role="user", content="four")])))

            group.start_soon(lambda: engine.generate(order(f"until {tmp_path / 'go'}"), watch=beginning))
            await beginning.event.wait()
            for number, (text, priority) in enumerate((("low", -1), ("first", 0), ("second", 0), ("high", 5))):
                group.start_soon(write, text, priority)
                while engine.status.waiting <= number:
                    await anyio.lowlevel.checkpoint()
            group.start_soon(count)
            while engine.status.waiting < 5:
                await anyio.lowlevel.checkpoint()
            (tmp_path / "go").touch()
    assert served == ["4", "high", "first", "second", "low"]


async def test_a_request_that_is_cancelled_in_the_queue_leaves_no_trace(model: Path, tmp_path: Path) -> None:
    beginning = Beginning()
    with fail_after(20):
        async with toy(model) as engine, anyio.create_task_group() as group:
            group.start_soon(lambda: engine.generate(order(f"until {tmp_path / 'go'}"), watch=beginning))
            await beginning.event.wait()
            with anyio.move_on_after(0.01):
                await engine.generate(order("exit 1"))
            assert engine.status.waiting == 0
            (tmp_path / "go").touch()
            assert texts(await engine.generate(order("say next"))) == ["next"]


async def test_cancelling_stops_the_writing_and_spares_the_model(model: Path) -> None:
    beginning = Beginning()
    with fail_after(20):
        async with toy(model) as engine:
            info = await engine.start()
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: engine.generate(order("hang"), watch=beginning))
                await beginning.event.wait()
                group.cancel_scope.cancel()
            assert engine.status.busy is False
            assert texts(await engine.generate(order("say x"))) == ["x"]
            assert await engine.start() == info


async def test_a_child_that_does_not_listen_is_ended_when_its_request_is_cancelled(model: Path) -> None:
    beginning = Beginning()
    with fail_after(20):
        async with toy(model) as engine:
            info = await engine.start()
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: engine.generate(order("deaf"), watch=beginning))
                await beginning.event.wait()
                group.cancel_scope.cancel()
                started = anyio.current_time()
            assert anyio.current_time() - started < 5
            assert texts(await engine.generate(order("say x"))) == ["x"]
            assert await engine.start() != info
            assert engine.status.reason == ""


async def test_a_request_has_a_deadline_where_one_is_set(model: Path) -> None:
    with fail_after(20):
        async with toy(model, request_seconds=0.05) as engine:
            info = await engine.start()
            with pytest.raises(BackendError, match=r"still writing after 0\.05 seconds") as caught:
                await engine.generate(order("hang"))
            assert caught.value.fault == "timeout"
            assert await engine.start() == info


@pytest.mark.parametrize("name", ["loads forever", "deaf while loading"])
async def test_loading_ends_when_nobody_waits_for_it_any_more(model: Path, name: str) -> None:
    with fail_after(20):
        async with toy(model, name=name) as engine:
            async with anyio.create_task_group() as group:
                group.start_soon(engine.start)
                group.start_soon(lambda: engine.generate(order("say x")))
                await until_state(engine, "loading")
                pid = engine.status.pid
                group.cancel_scope.cancel()
            assert engine.status.state == "stopped"
            await until_gone(pid)


async def test_loading_goes_on_for_those_who_still_wait(model: Path, tmp_path: Path) -> None:
    """The one who came first, and started it, goes away."""
    answers: list[list[str]] = []
    first = anyio.CancelScope()
    with fail_after(20):
        async with toy(model, on_progress=lambda _: first.cancel()) as engine, anyio.create_task_group() as group:

            async def give_up() -> None:
                with first:
                    await engine.generate(order("exit 1"))

            async def wait() -> None:
                answers.append(texts(await engine.generate(order("say x"))))

            group.start_soon(give_up)
            group.start_soon(wait)
    assert answers == [["x"]]


async def test_an_idle_model_is_unloaded_and_loaded_again_when_it_is_wanted(model: Path) -> None:
    with fail_after(20):
        async with toy(model, idle_seconds=0.01) as engine:
            first = await engine.start()
            pid = engine.status.pid
            await until_state(engine, "stopped")
            await until_gone(pid)
            second = await engine.start()
    assert first != second


async def test_a_model_in_use_is_not_idle(model: Path, tmp_path: Path) -> None:
    beginning = Beginning()
    with fail_after(20):
        async with toy(model, idle_seconds=0) as engine, anyio.create_task_group() as group:
            group.start_soon(lambda: engine.generate(order(f"until {tmp_path / 'go'}"), watch=beginning))
            await beginning.event.wait()
            info = await engine.start()  # its end is no rest either
            assert engine.status.info == info
            (tmp_path / "go").touch()


async def test_a_model_may_stay_for_ever(model: Path) -> None:
    with fail_after(20):
        async with toy(model, idle_seconds=math.inf) as engine:
            info = await engine.start()
            assert await engine.start() == info


@pytest.mark.parametrize("busy", ["hang", "deaf"])
async def test_closing_ends_what_is_going_on(model: Path, busy: str) -> None:
    errors: list[tuple[str, str]] = []
    beginning = Beginning()
    with fail_after(20):
        engine = Engine(EngineSettings(model=model), command=COMMAND)

        async def write(text: str) -> None:
            try:
                await engine.generate(order(text), watch=beginning)
            except BackendError as error:
                errors.append((error.fault, error.message))

        async with anyio.create_task_group() as group:
            group.start_soon(write, busy)
            group.start_soon(write, "say x")
            await beginning.event.wait()
            pid = engine.status.pid
            async with anyio.create_task_group() as closers:
                closers.start_soon(engine.aclose)
                closers.start_soon(engine.aclose)
            await until_gone(pid)
        with pytest.raises(BackendError, match="was closed"):
            await engine.start()
    assert errors == [("unavailable", "The engine of the on-device model was closed.")] * 2


async def test_closing_ends_a_model_that_is_being_loaded(model: Path) -> None:
    errors: list[str] = []
    with fail_after(20):
        engine = Engine(EngineSettings(model=model, name="deaf while loading"), command=COMMAND)

        async def start() -> None:
            try:
                await engine.start()
            except BackendError as error:
                errors.append(error.message)

        async with anyio.create_task_group() as group:
            group.start_soon(start)
            await until_state(engine, "loading")
            pid = engine.status.pid
            await engine.aclose()
            await until_gone(pid)
    assert errors == ["The engine of the on-device model was closed."]


async def test_closing_while_the_process_is_being_started_leaves_none(model: Path) -> None:
    with fail_after(20):
        engine = Engine(EngineSettings(model=model), command=COMMAND)
        async with anyio.create_task_group() as group:

            async def start() -> None:
                with pytest.raises(BackendError, match="was closed"):
                    await engine.start()

            group.start_soon(start)
            await anyio.lowlevel.checkpoint()
            await engine.aclose()
        assert (engine.status.state, engine._children) == ("closed", set())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see descriptors")
async def test_many_starts_leave_no_descriptors_and_no_tasks(model: Path) -> None:
    with fail_after(30):
        async with toy(model) as engine:  # whatever is opened once, is now
            await engine.start()
        before = descriptors(), len(asyncio.all_tasks())
        for text in ("say x", "hang", "exit 1") * 3:
            async with toy(model) as engine:
                with anyio.move_on_after(0.2 if text == "hang" else 10):
                    try:
                        await engine.generate(order(text))
                    except BackendError:
                        assert text == "exit 1"
        assert (descriptors(), len(asyncio.all_tasks())) == before


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see descriptors")
async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing_behind(model: Path) -> None:
    with fail_after(60):
        async with toy(model) as engine:  # whatever is opened once, is now
            await engine.start()
        before = held()
        for turns in range(24):
            async with toy(model) as engine:
                start = asyncio.ensure_future(engine.start())
                for _ in range(turns):
                    await asyncio.sleep(0)
                start.cancel()
                await asyncio.wait([start])
        await nothing_more_than(before)
