"""A task: plans that fail are repaired from where the first one began, and what was done is not done again."""

import asyncio
import gc
import math
import weakref
from typing import Any

import anyio
import pytest

from planact_server.content import LARGE_TEXT_CHARS
from planact_server.database import StoreError
from planact_server.planner import Ground, Planned
from planact_server.sandbox import Limits, PlanError
from planact_server.sandbox.host import PooledEngine
from planact_tools import ToolDefinition, ToolError
from server.task_bench import bench

BROKEN = "rows.append('x')\nseen = order(item='tea')\nmissing_key = {}['a']"
WORKS = "second = [order(item='tea'), price('tea'), len(rows)]\nsecond"


def error(answer: dict[str, Any]) -> dict[str, Any]:
    assert len(answer["errors"]) == 1, answer
    return answer["errors"][0]


async def test_a_plan_that_works_at_once_is_in_the_answer(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.task("n = price(item='tea')\nn + 1")
    assert (answer["status"], answer["result"], answer["variables"]) == ("ok", 8, {"n": 7})
    assert answer["plan"] == "n = price(item='tea')\nn + 1"
    assert answer["function_results"] == {"price": ["n"]}
    assert "attempts" not in answer
    assert "warnings" not in answer
    assert here.planner.asked == [("task", "do it")]


async def test_an_error_is_repaired_from_the_session_as_it_was_and_no_write_is_made_twice(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        session = (await here.ask(code="rows = []\ndef f(): return 'before'"))["session"]
        broken = f"def f(): return 'after'\n{BROKEN}"
        answer = await here.task(broken, f"{WORKS}\nsecond + [f()]", session=session)
        later = await here.ask(code="(rows, f(), second)", session=session)
    assert (answer["status"], answer["result"]) == ("ok", ["ordered tea", 7, 0, "before"])
    assert answer["variables"] == {"second": ["ordered tea", 7, 0]}
    assert [attempt["plan"] for attempt in answer["attempts"]] == [broken, answer["plan"]]
    assert [[each["type"] for each in attempt["errors"]] for attempt in answer["attempts"]] == [["KeyError"], []]
    assert [(call["function"], call.get("reused", False)) for call in answer["calls"]] == [
        ("order", True),
        ("price", False),
    ]
    assert here.called() == [("order", "tea"), ("price", "tea")]
    assert later["result"] == [[], "before", ["ordered tea", 7, 0]]


async def test_each_write_answers_for_one_call_in_every_attempt_that_follows(engine: PooledEngine) -> None:
    twice = "[order('tea'), order('tea')]\n1/0"
    async with bench(engine) as here:
        answer = await here.task("order('tea')\n1/0", twice, twice.replace("1/0", "'done'"))
    assert (answer["status"], answer["result"]) == ("ok", "done")
    assert [call["reused"] for call in answer["calls"]] == [True, True]
    assert here.called() == [("order", "tea"), ("order", "tea")]


async def test_other_arguments_are_another_write(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.task("order('tea')\n1/0", "order('milk')")
    assert here.called() == [("order", "tea"), ("order", "milk")]
    assert "reused" not in answer["calls"][0]
    stays = "An earlier attempt made shop.order(item='tea'), and the plan that ran last did not ask for it again"
    assert answer["warnings"] == [f"{stays}: it stays done."]


@pytest.mark.parametrize(
    ("first", "then", "made"),
    [
        ("pay(5, to='b')", "pay(to='b', amount=5)", 1),
        ("pay(5)", "call_tool('pay', {'amount': 5}, server='shop')", 1),
        ("pay(5)", "pay(5.0, to='a')", 1),
        ("pay(5, tags=[{'n': 1}])", "pay(5, tags=[{'n': 1.0}])", 1),
        ("pay(5, note=True)", "pay(5, note=1)", 2),
        ("pay(5, note=False)", "pay(5)", 2),
        ("pay(5, to='A')", "pay(5)", 2),
    ],
)
async def test_a_write_that_is_spelt_in_another_way_is_the_same_write(
    engine: PooledEngine, first: str, then: str, made: int
) -> None:
    properties = {
        "amount": {"type": "number"},
        "to": {"type": "string", "default": "a"},
        "tags": {"type": "array", "default": []},
        "note": {"default": 0},
    }
    schema = {"type": "object", "properties": properties, "required": ["amount"]}
    async with bench(engine, allow=("shop.pay",)) as here:
        here.shop.add(ToolDefinition(name="pay", input_schema=schema), "paid")
        answer = await here.task(f"{first}\n1/0", then)
    assert (answer["status"], answer["result"], len(here.shop.calls)) == ("ok", "paid", made)
    assert [call.get("reused", False) for call in answer["calls"]] == [made == 1]


async def test_a_write_that_failed_is_made_again(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.shop.add(ToolDefinition(name="order"), ToolError("sold out"))

        async def restock(_: Ground) -> None:
            here.shop.add(ToolDefinition(name="order"), "ordered at last")

        answer = await here.task("order()", restock, "order() ")
    assert (answer["status"], answer["result"]) == ("ok", "ordered at last")
    assert len(here.shop.calls) == 2


async def test_a_write_whose_outcome_is_unknown_is_not_made_again(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        lost = ToolError("connection lost. It is not known whether the call took effect.", outcome_unknown=True)
        here.shop.add(ToolDefinition(name="order"), lost)
        answer = await here.task("order()", "order() ")
    assert answer["status"] == "error"
    assert "it is not known whether the call took effect" in error(answer)["message"]
    assert len(here.shop.calls) == 1


async def test_when_no_attempt_works_the_last_one_is_the_answer_and_its_results_stay(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.task("a = 1\n1/0", "b = price('tea')\nprint(b)\n{}['x']")
        session = await here.ask(code="b", session=answer["session"])
        gone = await here.ask(code="a", session=answer["session"])
    assert (answer["status"], error(answer)["type"], error(answer)["line"]) == ("error", "KeyError", 3)
    assert (answer["variables"], answer["output"], len(answer["attempts"])) == ({"b": 7}, "7\n", 2)
    assert (session["result"], gone["status"]) == (7, "refused")


async def test_a_refused_plan_is_repaired_as_well(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.task("import os\nos.getcwd()", "pricee('tea')", "price('tea')")
    assert [each["errors"][0]["type"] for each in answer["attempts"][:2]] == ["ModuleNotFoundError", "NameError"]
    assert answer["result"] == 7


async def test_a_rehearsal_changes_nothing_and_calls_nothing(engine: PooledEngine) -> None:
    trials = []

    async def rehearse(ground: Ground) -> None:
        trials.append(await ground.rehearse("rows.append(order('tea'))\nburn('all')\nx = price('tea')\nask_model('?')"))

    async with bench(engine) as here:
        session = (await here.ask(code="rows = []"))["session"]
        answer = await here.task(rehearse, "(rows, price('tea'))", session=session)
    (trial,) = trials
    assert (trial.outcome.status, [call.stand_in for call in trial.calls]) == ("ok", [True] * 4)
    assert isinstance(trial.outcome.variables["x"], int)
    assert answer["result"] == [[], 7]
    assert here.called() == [("price", "tea")]
    assert "attempts" not in answer


async def test_the_planner_learns_what_the_session_can_call(engine: PooledEngine) -> None:
    seen = []

    async def look(ground: Ground) -> None:
        seen.append((ground.variables, ground.functions))

    async with bench(engine) as here:
        first = await here.ask(code="import json\ndef double(n):\n    return 2 * n\nx = object\ny = 5")
        await here.task(look, "double(y)", session=first["session"])
        await here.sessions.drop_worker(here.sessions.get(first["session"], "me"))
        await here.task(look, "y", session=first["session"])
    assert seen == [({"y": 5}, ("json", "double", "x")), ({"y": 5}, ("json", "double"))]


async def test_a_denied_call_ends_the_task(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.task("burn('all')", "price('tea')")
    assert (answer["status"], error(answer)["call"]) == ("denied", 1)
    assert here.called() == []


async def test_an_answer_in_words_is_the_result(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.planner.text = "No tool is needed: 4."
        answer = await here.task()
    assert (answer["status"], answer["result"], answer["errors"]) == ("ok", "No tool is needed: 4.", [])
    assert "plan" not in answer


async def test_a_planner_that_breaks_is_an_answer_with_what_had_been_done(
    engine: PooledEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(engine) as here:
        here.planner.broken = RuntimeError("boom")
        answer = await here.task("x = order('tea')\n1/0")
        alive = await here.ask(code="1 + 1")
    assert (answer["status"], error(answer)["type"]) == ("error", "InternalError")
    assert (answer["variables"], [call["function"] for call in answer["calls"]]) == ({"x": "ordered tea"}, ["order"])
    assert alive["result"] == 2
    assert "boom" in caplog.text


async def test_a_planner_that_comes_to_nothing_says_why(engine: PooledEngine) -> None:
    async with bench(engine) as here:

        async def nothing(_task: str, _ground: Ground) -> Any:
            return Planned(error=PlanError(type="PlannerError", message="no model", hint="planact models setup"))

        here.planner.carry_out = nothing  # type: ignore[method-assign]
        answer = await here.task()
    assert answer["errors"] == [{"type": "PlannerError", "message": "no model", "hint": "planact models setup"}]


async def test_warnings_of_the_planner_are_in_the_answer(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.planner.warnings = ("The planner is on another host: example.com.",)
        answer = await here.task("1")
    assert answer["warnings"] == ["The planner is on another host: example.com."]


async def test_a_worker_lost_in_an_attempt_is_replaced_with_the_session_as_it_was() -> None:
    eats = "kept.append(2)\nrows = []\nwhile True: rows.append('x' * 1_000_000)"
    async with bench(limits=Limits(memory_bytes=96 * 1024 * 1024)) as here:
        session = (await here.ask(code="kept = [1]\ndef f(): return 1"))["session"]
        answer = await here.task(eats, eats, "kept", session=session)
        functions = await here.ask(code="f()", session=session)
    assert (answer["status"], answer["result"]) == ("ok", [1])
    assert [each["errors"][0]["type"] for each in answer["attempts"][:2]] in (
        ["MemoryError", "MemoryError"],
        ["WorkerLost", "WorkerLost"],
    )
    assert answer.get("recovered") in (None, {"kept": ["kept", "f"], "lost": []})
    assert functions["result"] == 1


async def test_what_cannot_be_put_back_is_said(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        session = (await here.ask(code="numbers = (n for n in range(5))\nx = 1"))["session"]
        answer = await here.task("next(numbers)\nx = 2\n1/0", "(next(numbers), x)", session=session)
    assert answer["result"] == [1, 1]
    assert answer["warnings"] == ["What earlier attempts took from numbers stays taken: that cannot be put back."]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


async def test_a_write_whose_result_cannot_be_taken_over_is_not_made_again(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        deep = [nested(900), "x" * (LARGE_TEXT_CHARS + 1)]
        here.shop.add(ToolDefinition(name="order", input_schema={"type": "object"}), deep)
        answer = await here.task(
            "order()", "order()", "try:\n    order()\nexcept ToolError as e:\n    said = e.message\nsaid"
        )
    assert len(here.shop.calls) == 1
    assert [call["error"] for call in answer["calls"]] == [answer["result"]]
    assert "It is not made again" in answer["result"]
    assert "nested too deeply" in answer["attempts"][0]["errors"][0]["message"]


async def test_a_run_that_has_ended_holds_nothing_of_its_session(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        answer = await here.ask(code="x = 1")
        session = here.sessions.find(answer["session"])
        contents = weakref.ref(session.contents)
        await here.sessions.drop_worker(session)
        here.sessions._sessions.clear()
        del session
        gc.collect()
        assert here.runs.get(answer["run"], "me").answer is not None
        assert contents() is None


async def test_a_plan_that_is_cancelled_while_its_worker_is_started_is_not_run(
    engine: PooledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(engine) as here:
        asked, start = anyio.Event(), here.sessions.worker

        async def slowly(session: Any) -> Any:
            asked.set()
            await anyio.sleep(0.3)
            return await start(session)

        monkeypatch.setattr(here.sessions, "worker", slowly)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: here.ask(code="order(item='tea')"))
            await asked.wait()
            tasks.cancel_scope.cancel()
        [run] = here.runs.recent("me")
    assert (run.answer["status"], run.answer["calls"], here.called()) == ("cancelled", [], [])


async def test_a_store_that_cannot_be_read_is_an_answer(engine: PooledEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def load_run(self, run: str) -> None:
            raise StoreError("the disk is gone")

        load_session = load_run

    async with bench(engine) as here:
        monkeypatch.setattr(here.sessions, "_store", Broken())
        monkeypatch.setattr(here.runs, "_store", Broken())
        for asked in ({"code": "1", "session": "s_x"}, {"run": "r_x"}):
            assert "cannot be looked up: the disk is gone" in error(await here.ask(**asked))["message"]
        monkeypatch.undo()


async def test_a_planner_that_is_slow_to_stop_touches_nothing_any_more(
    engine: PooledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planact_server.plans.attempts.GIVE_UP_SECONDS", 0.05)
    stopped = anyio.Event()

    async def linger(ground: Ground) -> None:
        await ground.attempt("x = 1")
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            await asyncio.sleep(0.3)
            try:
                await ground.attempt("x = 666")
            finally:
                stopped.set()

    async with bench(engine) as here:
        answer = await here.task(linger, timeout_seconds=1)
        with anyio.fail_after(10):
            await stopped.wait()
        later = await here.ask(code="x", session=answer["session"])
    assert (later["status"], later["result"]) == ("ok", 1)


async def test_a_call_that_was_cut_off_before_it_was_made_says_so(engine: PooledEngine) -> None:
    async def deaf(text: str, _: float | None) -> None:
        if text.startswith("calling"):
            await anyio.sleep_forever()

    async with bench(engine) as here:
        answer = await here.ask(code="order(item='tea')", timeout_seconds=1, listener=deaf)
    assert (answer["status"], here.called()) == ("timeout", [])
    assert [call["error"] for call in answer["calls"]] == ["The call was cancelled."]


async def test_a_write_that_is_given_up_is_said_to_be_unknown(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.shop.hold("order")
        here.shop.hold("price")
        code = (
            "import asyncio\nfor call in (order, price):\n    try:\n"
            "        await asyncio.wait_for(call(item='tea'), 0.05)\n    except TimeoutError:\n        pass"
        )
        answer = await here.ask(code=code)
    assert answer["status"] == "ok"
    assert [(call["function"], call["error"]) for call in answer["calls"]] == [
        ("order", "The call was cancelled. It is not known whether it took effect."),
        ("price", "The call was cancelled."),
    ]


async def test_what_is_no_number_is_one_to_python_and_a_text_in_the_answer(engine: PooledEngine) -> None:
    async with bench(engine) as here:
        here.shop.add(ToolDefinition(name="order", input_schema={"type": "object"}), [math.nan, math.inf])
        answer = await here.ask(code="x = order()\nx[0] != x[0] and x[1] > 1e308")
    assert (answer["status"], answer["result"], answer["variables"]) == ("ok", True, {"x": ["nan", "inf"]})


async def test_calls_that_are_given_up_before_their_turn_are_recorded_and_not_made(engine: PooledEngine) -> None:
    code = (
        "import asyncio\ng = asyncio.gather(*[order(item=str(n)) for n in range(5)])\nawait asyncio.sleep(0.2)\n"
        "g.cancel()\nawait asyncio.sleep(0.1)"
    )
    async with bench(engine, limits=Limits(calls_in_flight=2)) as here:
        here.shop.hold("order")
        answer = await here.ask(code=code)
    assert [call.arguments["item"] for call in here.shop.calls] == ["0", "1"]
    assert [(call["arguments"]["item"], call["error"].startswith("The plan gave")) for call in answer["calls"]] == [
        (str(n), n > 1) for n in range(5)
    ]


@pytest.mark.parametrize("levels", [90, 900])
async def test_a_result_of_many_levels_is_one_to_a_plan(engine: PooledEngine, levels: int) -> None:
    """What a host could not parse is shown shortened; the plan has it whole."""
    code = "x, depth = order(), 0\nwhile isinstance(x, list):\n    x, depth = x[0], depth + 1\ndepth"
    async with bench(engine) as here:
        here.shop.add(ToolDefinition(name="order", input_schema={"type": "object"}), nested(levels))
        answer = await here.ask(code=code)
    assert (answer["status"], answer["result"], answer["errors"]) == ("ok", levels, [])
