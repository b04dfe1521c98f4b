"""A function that a plan left open is written while the plan runs, with its arguments at hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from planact_quantized import BackendError
from planact_quantized.grammar import plan_words
from planact_quantized.grammar.automaton import Automaton
from planact_quantized.grammar.gbnf import parse
from planact_server.planner import PLACEHOLDER, PlanningError
from planact_server.planner.options import PlannerOptions
from planact_server.planner.planner import Planner
from planact_server.planner.spending import Spending
from planner.scripted import RealGround, Said, ScriptedBackend

if TYPE_CHECKING:
    from planact_server.planner import Trial

PLAN = "rows = [3, 1, 2]\nbest = todo_pick(rows, limit=2)"
GOOD = "def todo_pick(rows, limit=1):\n    return sorted(rows)[:limit]"
ARGUMENTS = {"argument_1": [3, 1, 2], "limit": 2}


def test_placeholders_are_called_the_same_on_both_floors() -> None:
    assert PLACEHOLDER == plan_words.PLACEHOLDER


def fenced(plan: str) -> str:
    return f"```python\n{plan}\n```"


async def expand(*script: Said, name: str = "todo_pick", depth: int = 1, **options: Any) -> tuple[str, list[Any]]:
    backend = ScriptedBackend(list(script))
    planner = Planner(backend, PlannerOptions(**{"expansion": True, **options}))
    return await planner.expand(name, ARGUMENTS, plan=PLAN, depth=depth, spending=Spending()), backend.requests


async def test_the_source_of_the_function_comes_back() -> None:
    source, requests = await expand(fenced(GOOD))

    assert source == GOOD
    asked = requests[0].messages[-1].content
    assert PLAN in asked
    assert "- argument_1 = [3, 1, 2]\n- limit = 2" in asked


async def test_it_is_asked_for_in_the_conversation_that_the_plan_came_from(ground: RealGround) -> None:
    backend = ScriptedBackend([fenced("1 + 1"), fenced(GOOD)])
    planner = Planner(backend, PlannerOptions(expansion=True))
    attempt, sources = ground.attempt, []

    async def attempting(plan: str) -> Any:
        sources.append(await planner.expand("todo_pick", ARGUMENTS, plan=plan, depth=1, spending=ground.spending))
        return await attempt(plan)

    ground.attempt = attempting
    await planner.carry_out("Pick the best", ground)

    assert sources == [GOOD]
    first, second = backend.requests
    assert tuple(second.messages[:2]) == first.messages
    assert second.messages[2].content == fenced("1 + 1")
    assert second.priority > first.priority
    held = Automaton(parse(second.grammar.text)).start
    assert held.walk(f"{GOOD}\n```").may_end
    assert held.walk("def todo_pick(rows):\n    return todo_other(list_appointments(), rows)\n```").may_end
    assert held.walk("def other(") is None


async def test_two_tasks_with_the_same_plan_each_have_their_own_conversation(ground: RealGround) -> None:
    backend = ScriptedBackend([fenced(PLAN)] * 2 + [fenced(GOOD)] * 2)
    planner = Planner(backend, PlannerOptions(expansion=True, attempts=1, candidates=0))
    both, running = asyncio.Event(), 0

    async def carry_out(task: str) -> None:
        own = replace(ground, spending=Spending())

        async def attempting(plan: str) -> Trial:
            nonlocal running
            running += 1
            if running == 2:
                both.set()
            await both.wait()
            await planner.expand("todo_pick", ARGUMENTS, plan=plan, depth=1, spending=own.spending)
            return await RealGround.attempt(own, "1 + 1")

        own.attempt = attempting
        await planner.carry_out(task, own)

    with anyio.fail_after(20):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carry_out("one"))
            tasks.create_task(carry_out("another"))
    assert sorted(request.messages[1].content for request in backend.requests[2:]) == ["another", "one"]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("def todo_pick(rows, limit=1:", "That is not Python"),
        ("def other(rows): pass", "There is no `def todo_pick(…)` in it."),
        (f"{GOOD}\nprint(todo_pick([1]))", "There must be nothing beside the definition of todo_pick."),
        ("def todo_pick(): pass", "todo_pick is called with 1 arguments and takes 0."),
        ("def todo_pick(rows): pass", "todo_pick is called with limit=…, which it does not take."),
        (f"@cache\n{GOOD}", "todo_pick must have no decorators."),
        (f"@cache\ndef other():\n    return 1\n\n{GOOD}", "other must have no decorators."),
        (
            f"def other(a=make_appointment()):\n    return 1\n\n{GOOD}",
            "other must call nothing in its first line: no calls as defaults.",
        ),
        (
            f"def other(a: (b := 1), *, c: f() = 1) -> None:\n    return 1\n\n{GOOD}",
            "other must call nothing in its first line: no calls as defaults.",
        ),
        ("async def todo_pick(rows, limit): pass", "There is no `def todo_pick(…)` in it."),
    ],
)
async def test_a_text_that_is_not_that_function_is_asked_for_once_more(bad: str, problem: str) -> None:
    source, requests = await expand(fenced(bad), fenced(GOOD))
    assert source == GOOD
    assert problem in requests[1].messages[-1].content


async def test_imports_and_helpers_may_stand_beside_it() -> None:
    helped = f"import math\ndef half(x):\n    return math.floor(x / 2)\n{GOOD}"
    assert (await expand(fenced(helped)))[0] == helped


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"expansion": False}, "expansion is off"),
        ({"depth": 3}, "'todo_pick' is 3 levels deep; functions are written 2 levels deep."),
        ({"name": "os_system"}, "only `todo_…` functions are written while a plan runs"),
    ],
)
async def test_what_is_not_written(given: Any, message: str) -> None:
    with pytest.raises(PlanningError, match=message):
        await expand(fenced(GOOD), **given)


async def test_two_unusable_texts_and_faults_are_errors() -> None:
    with pytest.raises(PlanningError, match=r"'todo_pick' could not be written: There is no code in it\."):
        await expand("I cannot.", "I cannot.")
    with pytest.raises(PlanningError, match=r"'todo_pick' could not be written: Gone\."):
        await expand(BackendError("Gone.", fault="unavailable"))
