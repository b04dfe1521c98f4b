"""Sessions outlive their workers: what comes back, what does not, and that the answer says so."""

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from planact_server.sandbox import Limits, Outcome, Resolution, ToolRequest, Unresolved
from planact_server.sandbox.host import open_engine
from planact_server.sandbox.worker import JailedWorker
from planact_server.sessions import Recovered, SavedSession, Session, SessionError, Sessions
from planact_server.store import Store
from planact_tools import Attachment, JSONValue, ToolResult


class NoTools:
    """A host of plans that only compute."""

    async def resolve(self, names: list[str]) -> dict[str, Resolution]:
        return {name: Unresolved() for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        raise AssertionError(request)

    async def ask(self, helper: str, arguments: dict[str, JSONValue]) -> JSONValue:
        raise AssertionError(helper, arguments)


@asynccontextmanager
async def opened(
    store: Store | None = None, *, idle: float = 900, most: int = 8, memory_bytes: int = Limits().memory_bytes
) -> AsyncIterator[Sessions]:
    engine = open_engine(limits=Limits(memory_bytes=memory_bytes))
    try:
        async with Sessions(engine, store=store, idle_seconds=idle, most_workers=most) as sessions:
            yield sessions
    finally:
        await engine.aclose()


async def run(sessions: Sessions, session: Session, code: str) -> tuple[Outcome, Recovered | None]:
    worker, recovered = await sessions.worker(session)
    with anyio.fail_after(20):
        outcome = await worker.run(code, host=NoTools(), limits=Limits())
    session.absorb(outcome)
    return outcome, recovered


async def test_a_lost_worker_is_replaced_and_the_data_comes_back() -> None:
    async with opened() as sessions:
        session = sessions.create("me")
        await run(sessions, session, "n = 1\nrows = [{'a': 1}]\nraw = b'x'\ndef f(): return 1\nimport math")
        await sessions.drop_worker(session)
        outcome, recovered = await run(sessions, session, "n + rows[0]['a']")
        _, again = await run(sessions, session, "n")
    assert outcome.result == 2
    assert recovered is not None
    assert (recovered.kept, recovered.lost) == (("n", "rows", "f", "math"), ("raw",))
    assert again is None


async def test_a_deleted_variable_does_not_come_back() -> None:
    async with opened() as sessions:
        session = sessions.create("me")
        await run(sessions, session, "a, b = 1, 2")
        await run(sessions, session, "del a")
        await sessions.drop_worker(session)
        outcome, _ = await run(sessions, session, "a")
    assert outcome.status == "refused"
    assert session.variables == {"b": 2}


async def test_a_deleted_function_is_not_missed() -> None:
    async with opened() as sessions:
        session = sessions.create("me")
        await run(sessions, session, "def f(): return 1\ndef g(): return 2\nimport math")
        assert (session.functions, list(session.definitions)) == (("f", "g", "math"), ["f", "g", "math"])
        await run(sessions, session, "del f\ng = 3")
        assert (session.functions, list(session.definitions)) == (("math",), ["math"])
        await run(sessions, session, "1 / 0")
        assert session.functions == ("math",)


async def test_a_name_that_became_a_function_does_not_come_back_as_data() -> None:
    async with opened() as sessions:
        session = sessions.create("me")
        await run(sessions, session, "n = 1")
        await run(sessions, session, "def n(): return 2")
        await sessions.drop_worker(session)
        _, recovered = await run(sessions, session, "1")
    assert recovered == Recovered(kept=("n",), lost=())
    assert (session.variables, session.definitions) == ({}, {"n": "def n(): return 2"})


async def test_a_loss_is_told_even_where_nothing_had_been_kept() -> None:
    async with opened() as sessions:
        session = sessions.create("me")
        _, first = await run(sessions, session, "1")
        await sessions.drop_worker(session)
        _, second = await run(sessions, session, "1")
    assert (first, second) == (None, Recovered(kept=(), lost=()))


async def test_a_session_belongs_to_its_client(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        async with opened(store) as sessions:
            session = sessions.create("me")
            await run(sessions, session, "n = 1")
            await sessions.keep(session)
            with pytest.raises(SessionError, match="Unknown session"):
                sessions.get(session.handle, "you")
        async with opened(store) as sessions:
            with pytest.raises(SessionError, match="Unknown session"):
                sessions.get(session.handle, "you")
            assert sessions.get(session.handle, "me").variables == {"n": 1}


async def test_handles_come_back_only_where_their_contents_are(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        async with opened(store) as sessions:
            session = sessions.create("me")
            await run(sessions, session, "n = 1")
            image = Attachment(kind="image", mime="image/png", data=b"1")
            photo = session.contents.enclose(ToolResult(value={"$attachment": 0}, attachments=(image,)))
            session.absorb(Outcome(status="ok", variables={"photos": [photo]}))
            await sessions.drop_worker(session)
            _, here = await run(sessions, session, "photos[0].size")
            await sessions.keep(session)
        async with opened(store) as sessions:
            _, elsewhere = await run(sessions, sessions.get(session.handle, "me"), "n")
    assert here == Recovered(kept=("n", "photos"), lost=())
    assert elsewhere == Recovered(kept=("n",), lost=("photos",))


async def test_idle_workers_go_and_their_sessions_stay() -> None:
    async with opened(idle=900) as sessions:
        session = sessions.create("me")
        await run(sessions, session, "n = 1")
        await sessions.reap()
        assert session.worker is not None
        session.used -= 901
        await sessions.reap()
        assert session.worker is None
        outcome, _ = await run(sessions, session, "n")
    assert outcome.result == 1


async def test_the_least_used_session_gives_its_worker_up() -> None:
    async with opened(most=2) as sessions:
        first, second, third = (sessions.create("me") for _ in range(3))
        for session in (first, second, third):
            await run(sessions, session, "n = 1")
        workers = [session.worker is not None for session in (first, second, third)]
    assert workers == [False, True, True]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_worker_that_died_between_two_plans_is_closed() -> None:
    async with opened() as sessions:
        session = sessions.create("me")
        await run(sessions, session, "n = 1")
        dead = session.worker
        assert isinstance(dead, JailedWorker)
        os.kill(dead.pid, signal.SIGKILL)
        with anyio.fail_after(20):
            while dead.alive:
                await anyio.sleep(0.01)
        outcome, recovered = await run(sessions, session, "n")
    assert (outcome.result, recovered) == (1, Recovered(kept=("n",), lost=()))
    assert dead.closed


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker's memory has no end of its own")
async def test_data_that_do_not_fit_into_a_new_worker_do_not_cost_the_session() -> None:
    async with opened(memory_bytes=32 * 2**20) as sessions:
        session = sessions.create("me")
        await run(sessions, session, "def f(): return 1")
        session.absorb(Outcome(status="ok", variables={f"v{number}": "ü€" * 2**19 for number in range(10)}))
        await sessions.drop_worker(session)
        outcome, recovered = await run(sessions, session, "f()")
        _, again = await run(sessions, session, "n = 1")
    assert (outcome.result, again) == (1, None)
    assert recovered == Recovered(kept=("f",), lost=tuple(f"v{number}" for number in range(10)))
    assert session.variables == {"n": 1}


class SlowToEnd:
    """A worker that ends when it is told to."""

    alive = True

    def __init__(self) -> None:
        self.ending, self.may_end = anyio.Event(), anyio.Event()

    async def aclose(self) -> None:
        self.ending.set()
        await self.may_end.wait()


async def test_no_session_can_begin_a_plan_in_a_worker_that_is_about_to_go() -> None:
    async with opened(most=1) as sessions:
        idle = [sessions.create("me") for _ in range(2)]
        workers = [SlowToEnd() for _ in idle]
        for session, worker in zip(idle, workers, strict=True):
            session.worker = worker  # type: ignore[assignment] - all that is asked of it
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sessions.worker, sessions.create("me"))
                await workers[0].ending.wait()
                left = [session.worker for session in idle]
                for worker in workers:
                    worker.may_end.set()
    assert left == [None, None]


class SlowStore:
    """Writes when it is told to."""

    def __init__(self) -> None:
        self.saved: list[dict[str, JSONValue]] = []
        self.writing, self.may_write = threading.Event(), threading.Event()

    def save_session(self, saved: SavedSession) -> None:
        self.writing.set()
        self.may_write.wait(20)
        self.saved.append(dict(saved.variables))

    def load_session(self, session: str) -> SavedSession | None:
        raise AssertionError(session)


async def test_a_plan_that_ends_while_the_session_is_written_is_written_afterwards() -> None:
    store = SlowStore()
    engine = open_engine(limits=Limits(), warm_workers=0)
    sessions = Sessions(engine, store=store, idle_seconds=900, most_workers=8)
    session = sessions.create("me")
    with anyio.fail_after(20):
        session.absorb(Outcome(status="ok", variables={"n": 1}))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sessions.keep, session)
            await anyio.to_thread.run_sync(store.writing.wait, 20)
            session.absorb(Outcome(status="ok", variables={"n": 2}))
            tasks.start_soon(sessions.keep, session)
            stored = (session.stored, session.resting)
            store.may_write.set()
    assert stored == (False, False)
    assert store.saved == [{"n": 1}, {"n": 2}]
    assert session.resting


async def test_plans_that_begin_together_leave_no_more_workers_than_there_may_be() -> None:
    async with opened(most=2) as sessions:
        begun = [sessions.create("me") for _ in range(6)]
        async with anyio.create_task_group() as tasks:
            for session in begun:
                tasks.start_soon(run, sessions, session, "n = 1")
        for session in begun:
            await sessions.keep(session)
        assert sum(session.worker is not None for session in begun) == 2


async def test_no_more_plans_run_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.sessions.MOST_BUSY", 1)
    async with opened() as sessions:
        first = sessions.create("me")
        first.busy_with = "r_1"
        with pytest.raises(SessionError, match="1 plans are running, and no more may at once"):
            sessions.create("me")
        first.busy_with = None
        sessions.create("me")


async def test_what_handles_stand_for_counts_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("planact_server.sessions.RESTING_BYTES", 1_000)
    with Store.open(tmp_path) as store:
        async with opened(store) as sessions:
            handles = []
            for _ in range(3):
                session = sessions.create("me")
                session.contents.enclose(
                    ToolResult(
                        value={"$attachment": 0}, attachments=(Attachment(kind="image", mime="i", data=b"x" * 600),)
                    )
                )
                await sessions.keep(session)
                handles.append(session.handle)
            sessions.create("me")
            assert [sessions.find(handle) is not None for handle in handles] == [False, False, True]


async def test_data_with_a_key_of_ours_are_data() -> None:
    async with opened() as sessions:
        session = sessions.create("me")
        await run(sessions, session, "x = {'$type': 'Company.Person', 'name': 'A'}\ny = object()")
        await sessions.drop_worker(session)
        outcome, recovered = await run(sessions, session, "x['name']")
    assert (outcome.result, recovered) == ("A", Recovered(kept=("x",), lost=("y",)))
