"""A server that runs for weeks: what it keeps in memory has bounds, and the store has the rest."""

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from planact_server.config import PolicySettings
from planact_server.content import ContentError, Contents
from planact_server.plans.calls import PlanCalls, PlanRights
from planact_server.policy import Policy
from planact_server.runs import Run, Runs
from planact_server.sandbox import Limits, Outcome, ToolRequest
from planact_server.sandbox.host import open_engine
from planact_server.sessions import Session, Sessions
from planact_server.store import Retention, Store
from planact_server.toolbox import Toolbox
from planact_tools import Attachment, ToolDefinition, ToolResult
from planact_tools.testing import MemoryToolset
from server.task_bench import bench


async def finished(runs: Runs, text: str) -> Run:
    run = runs.create(session="s", client="me")
    await runs.finish(run, {"status": "ok", "session": "s", "run": run.handle, "output": text})
    return run


async def test_large_answers_are_left_to_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.runs.REMEMBERED_BYTES", 2_500)
    with Store.open(tmp_path) as store:
        async with Runs(store=store) as runs:
            first, second, third = [await finished(runs, letter * 1_000) for letter in "abc"]

            assert runs.recent("me") == [third, second]
            assert runs.get(first.handle, "me").answer == first.answer


async def test_answers_that_the_store_does_not_have_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.runs.REMEMBERED_BYTES", 10)
    async with Runs(store=None) as runs:
        run = await finished(runs, "a" * 1_000)

        assert runs.get(run.handle, "me") is run


async def test_a_run_that_is_forgotten_is_gone_without_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planact_server.runs.REMEMBERED_BYTES", 10)
    gc.disable()
    try:
        with Store.open(tmp_path) as store:
            async with Runs(store=store) as runs:
                old = weakref.ref(await finished(runs, "a" * 1_000))
                await finished(runs, "b")
                await asyncio.sleep(0)
                assert old() is None
    finally:
        gc.enable()


def test_the_store_forgets_old_runs_while_it_is_open(tmp_path: Path) -> None:
    with Store.open(tmp_path, retention=Retention(run_bytes=4_000)) as store:
        for number in range(20):
            store.save_run(f"r_{number}", client="me", session="s", answer={"status": "ok", "output": "x" * 1_000})

        assert len(store.list_runs()) < 5
        assert store.load_run("r_19") is not None


async def test_sessions_without_a_worker_are_left_to_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.sessions.MOST_RESTING", 1)
    engine = open_engine(limits=Limits(), warm_workers=0)
    with Store.open(tmp_path) as store:
        async with Sessions(engine, store=store, idle_seconds=900, most_workers=8) as sessions:
            made = [sessions.create("me") for _ in range(3)]
            for number, session in enumerate(made):
                session.absorb(Outcome(status="ok", variables={"n": number}))
                await sessions.keep(session)
            unsaved = sessions.create("me")
            sessions.create("me")

            assert [sessions.find(session.handle) is session for session in (*made, unsaved)] == [
                False, False, True, True,
            ]  # fmt: skip
            assert sessions.get(made[0].handle, "me").variables == {"n": 0}
    await engine.aclose()


async def test_sessions_with_much_data_are_left_to_the_store_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planact_server.sessions.RESTING_BYTES", 2_500)
    engine = open_engine(limits=Limits(), warm_workers=0)
    with Store.open(tmp_path) as store:
        async with Sessions(engine, store=store, idle_seconds=900, most_workers=8) as sessions:
            made = [sessions.create("me") for _ in range(3)]
            for session in made:
                session.absorb(Outcome(status="ok", variables={"text": "x" * 1_000}))
                await sessions.keep(session)
            sessions.create("me")

            assert [sessions.find(session.handle) is session for session in made] == [False, True, True]
            assert sessions.get(made[0].handle, "me").variables == {"text": "x" * 1_000}
    await engine.aclose()


def test_what_was_set_longest_ago_goes_first_where_a_session_has_more_data_than_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("planact_server.sessions.KEPT_BYTES", 2_500)
    session = Session(handle="s", client="me")
    text = "x" * 1_000

    kept = [session.absorb(Outcome(status="ok", variables={name: text})) for name in ("a", "b", "a", "c")]
    rows = session.absorb(Outcome(status="ok", variables={"rows": [{}] * 10}))

    assert (kept, rows) == ([(), (), (), ("b",)], ("a",))
    assert session.variables == {"c": text, "rows": [{}] * 10}
    assert session.kept_bytes <= 2_500
    assert session.unsaved == ("b", "a")
    session.absorb(Outcome(status="ok", variables={"b": 1}, deleted=("a",)))
    assert session.unsaved == ()


async def test_the_answer_says_what_is_not_kept_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.sessions.KEPT_BYTES", 2_500)
    async with bench() as here:
        first = await here.ask(code="a = 'x' * 2_000\nb = 1")
        answer = await here.ask(session=first["session"], code="c = 'x' * 2_000")
        [session] = here.sessions._sessions.values()
        still_there = await here.ask(session=first["session"], code="len(a) + b + len(c)")
        await here.sessions.drop_worker(session)
        after = await here.ask(session=first["session"], code="b + len(c)")

    assert "warnings" not in first
    [warning] = answer["warnings"]
    assert warning == (
        "The session's data have outgrown the 32 MB that are kept for the case that its worker is lost:"
        " until they are set again, a would be lost with it."
    )
    assert (still_there["result"], "warnings" in still_there) == (4_001, False)
    assert (after["result"], after["recovered"]) == (2_001, {"kept": ["b", "c"], "lost": ["a"]})


def test_the_oldest_contents_of_a_session_go_first() -> None:
    contents = Contents(most_bytes=250)
    handles = [
        contents.enclose(
            ToolResult(
                value={"$attachment": 0}, attachments=(Attachment(kind="image", mime="image/png", data=bytes(size)),)
            )
        )
        for size in (100, 100, 100, 1_000)
    ]

    assert list(map(type, contents.disclose({"x": handles[3]}).values())) == [str]
    with pytest.raises(ContentError, match="newer contents have taken its place"):
        contents.disclose({"x": handles[2]})


def test_a_call_carries_no_more_content_than_a_session_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan can name the same image a hundred thousand times."""
    monkeypatch.setattr("planact_server.content.DISCLOSED_CHARS", 1_000)
    contents = Contents()
    image = Attachment(kind="image", mime="image/png", data=bytes(300))
    handle = contents.enclose(ToolResult(value={"$attachment": 0}, attachments=(image,)))

    assert list(contents.disclose({"x": [handle], "y": {"z": handle}})) == ["x", "y"]
    with pytest.raises(ContentError, match="more than 1,000 characters"):
        contents.disclose({"x": [handle] * 2, "y": handle})


async def test_the_results_of_one_run_are_recorded_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.plans.call_log.RECORDED_CHARS", 30)
    toolset = MemoryToolset("files")
    toolset.add(ToolDefinition(name="read", read_only=True), ["a" * 20])
    async with Toolbox([toolset]) as toolbox:
        await toolbox.settle(seconds=5)
        rights = PlanRights(toolbox=toolbox, policy=Policy(PolicySettings(trust=("*",))))
        calls = PlanCalls(rights, Contents(), _unheard)
        values = [
            await calls.call(
                ToolRequest(call=number, server="files", tool="read", raw=True, positional=[], keywords={}, line=1)
            )
            for number in (1, 2)
        ]

    note = "not kept: the calls of this run returned more than 30 characters"
    assert values == [["a" * 20], ["a" * 20]]
    assert [record.value for record in calls.records({})] == [["a" * 20], {"$type": "list", "repr": note}]


async def _unheard(_: str, __: float | None) -> None:
    """Nobody listens."""
