"""A dry run: what is read is real, what would be written is only recorded, and nothing is changed."""

from pathlib import Path
from typing import Any

import pytest

from planact_server.plans.work import MADE_UP
from planact_server.sandbox import Limits
from planact_server.sandbox.host import PooledEngine
from planact_testing import Home, act
from server.task_bench import bench

PLAN = "n = price(item='tea')\nplaced = order(item='tea')\nrows.append(placed)\n(n, len(rows))"


def marks(answer: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(call["function"], call.get("stand_in", False)) for call in answer["calls"]]


async def test_reads_are_real_writes_are_stand_ins_and_the_session_stays_as_it_was(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        session = (await here.ask(code="rows = ['first']\nn = 0"))["session"]
        answer = await here.ask(code=PLAN, mode="dry_run", session=session)
        after = await here.ask(code="(rows, n)", session=session)
        placed = await here.ask(code="placed", session=session)
    assert (answer["status"], answer["result"]) == ("ok", [7, 2])
    assert marks(answer) == [("price", False), ("order", True)]
    assert answer["variables"]["n"] == 7
    assert answer["calls"][1]["value"] == answer["variables"]["placed"] == {"ok": True, "item": "tea"}
    assert (after["result"], placed["status"]) == ([["first"], 0], "refused")
    assert here.called() == [("price", "tea")]


async def test_what_would_be_held_back_is_a_stand_in_and_what_is_denied_stays_denied(engine: PooledEngine) -> None:
    async with bench(engine, trust=(), allow=()) as here:
        untrusted = await here.ask(code="(price('tea'), order('tea'))", mode="dry_run")
        denied = await here.ask(code="burn('all')", mode="dry_run")
    assert (untrusted["status"], marks(untrusted)) == ("ok", [("price", True), ("order", True)])
    assert (denied["status"], "stand_in" in denied["calls"][0]) == ("denied", False)
    assert here.called() == []


async def test_a_task_can_be_run_dry(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.task("x = 1\n1/0", "x = order('tea')", mode="dry_run")
        after = await here.ask(code="x", session=answer["session"])
    assert (answer["status"], marks(answer), len(answer["attempts"])) == ("ok", [("order", True)], 2)
    assert answer["variables"] == {"x": {"ok": True, "item": "tea"}}
    assert (after["status"], here.called()) == ("refused", [])


async def test_the_model_is_asked_in_earnest(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.planner.says = "yes"
        answer = await here.ask(code="ask_model('Really?')", mode="dry_run")
    assert (answer["result"], answer["calls"][0]["emulated"]) == ("yes", True)


@pytest.mark.check
async def test_a_session_too_large_to_note_comes_back_in_a_new_worker() -> None:
    async with bench(limits=Limits(memory_bytes=96 * 1024 * 1024)) as here:
        first = await here.ask(code="big = [[] for _ in range(500_000)]\nkept = 2")
        answer = await here.ask(code="kept = 3", mode="dry_run", session=first["session"])
        after = await here.ask(code="kept", session=first["session"])
    assert (first["status"], answer["status"], answer["variables"]) == ("ok", "ok", {"kept": 3})
    assert after["result"] == 2
    assert after["recovered"]["lost"] == ["big"]


async def test_nothing_reaches_the_calendars_database(home: Home) -> None:
    """Through the protocol, with the pack whose data lie in SQLite."""
    home.configure('packs = ["calendar"]\n[policy]\nallow = ["calendar.*"]\n')
    plan = """
slot = {"day": "2031-12-01", "start_time": "10:00", "end_time": "12:00"}
made = make_appointment(**slot, title="Meeting")
check_availability(**slot)
"""
    async with home.serve() as client:
        before = await act(client, plan.replace('made = make_appointment(**slot, title="Meeting")\n', ""))
        files = contents(home.folder / "state")
        dry = await act(client, plan, mode="dry_run")
        unchanged = contents(home.folder / "state")
        earnest = await act(client, plan)
    assert (before["result"], dry["result"], earnest["result"]) == (True, True, False)
    assert [(call["function"], call.get("stand_in")) for call in dry["calls"]] == [
        ("make_appointment", True),
        ("check_availability", None),
    ]
    assert files == unchanged
    assert files


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*calendar*") if path.is_file()}


async def test_a_failure_over_what_was_made_up_says_that_it_was(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.ask(code="order(item='tea')['number']", mode="dry_run")
        real = await here.ask(code="price(item='tea')['number']", mode="dry_run")
    assert (answer["status"], answer["warnings"]) == ("error", [MADE_UP])
    assert (real["status"], real.get("warnings")) == ("error", None)
