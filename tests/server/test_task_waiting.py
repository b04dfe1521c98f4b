"""Clocks of a task: waiting, deadlines, cancellation, and what is known meanwhile."""

import asyncio
from typing import Any

import anyio

from planact_server.sandbox.host import PooledEngine
from server.task_bench import Bench, Pause, bench


async def begun(here: Bench, *plans: Any, **request: Any) -> dict[str, Any]:
    """Start a task and come back at once."""
    return await here.task(*plans, wait_seconds=0, **request)


async def test_what_is_being_done_is_in_the_answer_of_a_task_that_goes_on(engine: PooledEngine) -> None:
    pause = Pause()
    async with bench(engine) as here:
        first = await begun(here, pause, "price('tea')")
        with anyio.fail_after(20):
            await pause.reached.wait()
        waiting = await here.ask(run=first["run"], wait_seconds=0)
        pause.go_on.set()
        done = await here.ask(run=first["run"])
    assert (waiting["status"], waiting["progress"], waiting["calls"]) == ("running", "writing plan, 12 tokens", [])
    assert (done["status"], done["result"]) == ("ok", 7)
    assert "progress" not in done


async def test_a_running_plan_of_a_task_is_in_the_answer_with_its_calls(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        gate = here.shop.hold("order")
        first = await begun(here, "print('go')\nprice('a')\n1/0", "x = price('tea')\nprint('so far')\norder('tea')")
        with anyio.fail_after(20):
            await gate.reached.wait()
        waiting = await here.ask(run=first["run"], wait_seconds=0)
        gate.open()
        done = await here.ask(run=first["run"])
    assert (waiting["plan"], waiting["output"]) == ("x = price('tea')\nprint('so far')\norder('tea')", "so far\n")
    assert [call["ok"] for call in waiting["calls"]] == [True, False]
    assert [each["plan"] for each in waiting["attempts"]] == [each["plan"] for each in done["attempts"]]


async def test_progress_of_the_planner_reaches_whoever_waits(engine: PooledEngine) -> None:
    told: list[tuple[str, float | None]] = []

    async def listener(text: str, fraction: float | None) -> None:
        told.append((text, fraction))

    pause = Pause()
    pause.go_on.set()
    async with bench(engine) as here:
        await here.task(pause, "order('tea')", listener=listener)
    assert told == [
        ("reading tools", None),
        ("writing plan", None),
        ("writing plan, 12 tokens", 0.5),
        ("calling shop.order", None),
    ]


async def test_a_session_is_busy_while_its_plan_is_written(engine: PooledEngine) -> None:
    pause = Pause()
    async with bench(engine) as here:
        first = await begun(here, pause, "1")
        second = await here.ask(code="2", session=first["session"])
        pause.go_on.set()
        await here.ask(run=first["run"])
        third = await here.ask(code="3", session=first["session"])
    assert second["errors"][0]["message"].startswith(f"Session '{first['session']}' is busy with run '{first['run']}'")
    assert third["result"] == 3


async def test_a_task_cancelled_while_its_plan_is_written_ends_at_once_and_its_planner_with_it(
    engine: PooledEngine,
) -> None:
    pause = Pause()
    async with bench(engine) as here:
        first = await begun(here, pause)
        with anyio.fail_after(20):
            await pause.reached.wait()
        run = here.runs.get(first["run"], "me")
        with anyio.fail_after(2):
            await here.runs.cancel(run)
        answer = await here.ask(run=first["run"])
    assert (answer["status"], pause.cancelled) == ("cancelled", True)
    message = "The run was cancelled while the planner was busy with: writing plan, 12 tokens."
    assert answer["errors"] == [{"type": "CancelledError", "message": message}]


async def test_cancelled_between_attempts_the_first_ones_results_stay(engine: PooledEngine) -> None:
    pause = Pause()
    async with bench(engine) as here:
        first = await begun(here, "x = order('tea')\n1/0", pause)
        with anyio.fail_after(20):
            await pause.reached.wait()
        await here.runs.cancel(here.runs.get(first["run"], "me"))
        answer = await here.ask(run=first["run"])
        after = await here.ask(code="x", session=first["session"])
    assert (answer["status"], answer["plan"]) == ("cancelled", "x = order('tea')\n1/0")
    assert (answer["variables"], after["result"]) == ({"x": "ordered tea"}, "ordered tea")
    assert [call["function"] for call in answer["calls"]] == ["order"]


async def test_a_task_cancelled_while_its_plan_runs_hands_over_what_the_plan_had(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        gate = here.shop.hold("order")
        first = await begun(here, "x = price('tea')\norder('tea')", "price('never')")
        with anyio.fail_after(20):
            await gate.reached.wait()
        await here.runs.cancel(here.runs.get(first["run"], "me"))
        answer = await here.ask(run=first["run"])
        after = await here.ask(code="x", session=first["session"])
    assert (answer["status"], answer["variables"], after["result"]) == ("cancelled", {"x": 7}, 7)
    assert answer["errors"][0]["type"] == "Cancelled"
    assert here.called() == [("price", "tea"), ("order", "tea")]


async def test_the_deadline_covers_the_writing_of_plans(engine: PooledEngine) -> None:
    pause = Pause()
    async with bench(engine) as here:
        answer = await here.task(pause, timeout_seconds=0.3)
        after = await here.ask(code="1", session=answer["session"])
    assert (answer["status"], pause.cancelled, after["result"]) == ("timeout", True, 1)
    assert answer["errors"][0]["hint"].startswith("Raise `timeout_seconds`, which covers planning and running")


async def test_a_plan_has_what_the_writing_left_of_the_time(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.task("x = 1\nwhile True: pass", "'never'", timeout_seconds=1)
        after = await here.ask(code="x", session=answer["session"])
    assert (answer["status"], answer["variables"], after["result"]) == ("timeout", {"x": 1}, 1)
    assert answer["plan"] == "x = 1\nwhile True: pass"
    assert "attempts" not in answer


async def test_whoever_gives_up_waiting_cancels_the_task_that_they_started(engine: PooledEngine) -> None:
    pause = Pause()
    async with bench(engine) as here, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: here.task(pause))
        with anyio.fail_after(20):
            await pause.reached.wait()
        tasks.cancel_scope.cancel()
    assert pause.cancelled


async def test_a_request_right_after_a_cancelled_one_waits_until_that_has_ended(engine: PooledEngine) -> None:
    """A client that has taken its request back may go on in the session at once: it is not busy for it."""
    pause = Pause()
    async with bench(engine) as here:
        session = (await here.ask(code="n = 1"))["session"]
        first = asyncio.create_task(here.task(pause, session=session))
        with anyio.fail_after(20):
            await pause.reached.wait()
        busy = await here.ask(code="n", session=session)
        first.cancel()
        after = await here.ask(code="n + 1", session=session)
        await asyncio.gather(first, return_exceptions=True)
    assert busy["errors"][0]["type"] == "SessionError"
    assert (after["status"], after["result"]) == ("ok", 2)


async def test_a_planner_that_does_not_stop_does_not_hold_up_the_answer(engine: PooledEngine, monkeypatch: Any) -> None:
    monkeypatch.setattr("planact_server.plans.attempts.GIVE_UP_SECONDS", 0.1)
    reached, release = asyncio.Event(), asyncio.Event()

    async def stubborn(_ground: Any) -> None:
        reached.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with bench(engine) as here:
        first = await begun(here, stubborn)
        with anyio.fail_after(20):
            await reached.wait()
        await here.runs.cancel(here.runs.get(first["run"], "me"))
        answer = await here.ask(run=first["run"])
        release.set()
    assert answer["status"] == "cancelled"


async def test_everything_ends_while_a_plan_is_written(engine: PooledEngine) -> None:
    pause = Pause()
    async with bench(engine) as here:
        await begun(here, pause)
        with anyio.fail_after(20):
            await pause.reached.wait()
    assert pause.cancelled
