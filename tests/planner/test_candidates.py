"""The plan to run is chosen by rehearsing all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_server.planner.candidates import best_plan

if TYPE_CHECKING:
    from planner.scripted import RealGround

ASK = 'list_appointments(day="2026-12-01")'
SAME = 'found = list_appointments("2026-12-01")\nlen(found)'
OTHER = "list_reminders()"


async def test_each_plan_is_rehearsed_once_and_nothing_happens(ground: RealGround) -> None:
    book = 'make_appointment(day="2026-12-01", start_time="10:00", end_time="11:00", title="A")'
    assert await best_plan([OTHER, book, book], ground) == book
    assert ground.rehearsed == [OTHER, book]
    assert (ground.attempted, ground.written) == ([], [])


async def test_of_plans_that_agree_one_whose_rehearsal_ends_well_is_chosen(ground: RealGround) -> None:
    failing = f"{ASK}\n1 / 0"
    assert await best_plan([failing, failing, SAME, OTHER], ground) == SAME
    assert await best_plan([failing, failing], ground) == failing


async def test_refused_plans_have_no_vote(ground: RealGround) -> None:
    assert await best_plan(["nothing_like_it()", "nothing_like_it()", OTHER], ground) == OTHER
    assert await best_plan(["nothing_like_it()"], ground) is None
    assert await best_plan([], ground) is None


async def test_what_is_not_to_be_run_votes_all_the_same(ground: RealGround) -> None:
    assert await best_plan([OTHER, ASK, SAME], ground, without={ASK}) == SAME
    assert await best_plan([ASK], ground, without={ASK}) is None
