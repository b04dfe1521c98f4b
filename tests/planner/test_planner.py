"""A task becomes a plan that has run: written, tried in the real sandbox, repaired, or chosen among several."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from planact_quantized import BackendError, BackendInfo
from planact_quantized.grammar.automaton import Automaton
from planact_quantized.grammar.gbnf import parse
from planact_quantized.openai.backend import OpenAIBackend
from planact_server.planner.options import PlannerOptions
from planact_server.planner.planner import Planner
from planact_server.sandbox import PlanError
from planner.mistakes import MISTAKES
from planner.scripted import RealGround, Said, ScriptedBackend
from quantized.model_server import delta, ending, serving  # noqa: TID251 - a folder of tests

if TYPE_CHECKING:
    from planact_server.planner import Planned, TaskPlanner

DAY = "2026-12-01"
BOOK = f'booked = make_appointment(day="{DAY}", start_time="10:00", end_time="12:00", title="Review")'


def fenced(plan: str) -> str:
    return f"I will do it.\n\n```python\n{plan}\n```\nDone."


async def carry_out(
    ground: RealGround, *script: Said, task: str = "Book the review", **options: Any
) -> tuple[Planned, ScriptedBackend]:
    backend = ScriptedBackend(list(script))
    planner: TaskPlanner = Planner(backend, PlannerOptions(**{"candidates": 0, **options}))
    with anyio.fail_after(20):
        return await planner.carry_out(task, ground), backend


async def test_a_plan_that_works_is_run_once(ground: RealGround) -> None:
    planned, backend = await carry_out(ground, fenced(BOOK))

    assert planned.trial is not None
    assert planned.trial.outcome.status == "ok"
    assert planned.trial.outcome.variables["booked"]["title"] == "Review"
    assert (planned.plan, planned.text, planned.error) == (BOOK, None, None)
    assert [(attempt.plan, attempt.errors) for attempt in planned.attempts] == [(BOOK, ())]
    assert planned.warnings == ()
    assert ground.attempted == [BOOK]
    assert ground.reports == ["reading tools", "writing plan", "running plan"]
    request = backend.requests[0]
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[1].content == "Book the review"
    assert (request.temperature, request.candidates, request.stable_messages) == (0.0, 1, 1)


async def test_the_answer_says_what_writing_took(ground: RealGround) -> None:
    _, backend = await carry_out(ground, fenced("1 / 0"), fenced("1 + 1"))

    taken = sum([await backend.count_tokens(request.messages) for request in backend.requests])
    assert ground.spending.as_json() == {
        "model": "scripted",
        "requests": 2,
        "prompt_tokens": taken,
        "evaluated_tokens": taken,
        "generated_tokens": sum(-(-len(fenced(plan)) // 5) for plan in ("1 / 0", "1 + 1")),
        "forced_tokens": 0,
        "drafted_tokens": 0,
        "seconds": 1.0,
    }


async def test_what_was_not_counted_is_marked(ground: RealGround) -> None:
    async with serving() as server:
        backend = OpenAIBackend(base_url=server.url)
        planner = Planner(backend, PlannerOptions(candidates=0))
        told = ending("stop", prompt_tokens=9, completion_tokens=3)
        server.chat(lambda exchange: exchange.streamed(delta("Five."), told, b"data: [DONE]\n\n"))
        await planner.carry_out("How many?", ground)
        counted = ground.spending.as_json()
        server.chat(lambda exchange: exchange.says("Fi", "ve."))
        await planner.carry_out("How many?", ground)
        guessed = ground.spending.as_json()
        await backend.aclose()
    assert counted is not None
    assert guessed is not None
    assert (counted["prompt_tokens"], counted["generated_tokens"], "estimated" in counted) == (9, 3, False)
    assert (guessed["generated_tokens"], guessed["estimated"]) == (5, True)
    assert guessed["prompt_tokens"] > 200


async def test_a_failed_plan_is_repaired_with_its_error_and_what_it_had_reached(ground: RealGround) -> None:
    broken = f"{BOOK}\nfree = [1, 2]\nfree[5]"
    planned, backend = await carry_out(ground, fenced(broken), fenced("list_appointments()"))

    assert planned.trial is not None
    assert planned.trial.outcome.status == "ok"
    assert planned.plan == "list_appointments()"
    assert [attempt.plan for attempt in planned.attempts] == [broken, "list_appointments()"]
    assert [[error.type for error in attempt.errors] for attempt in planned.attempts] == [["IndexError"], []]
    booked = f'{{"id": 1, "day": "{DAY}", "start_time": "10:00", "end_time": "12:00", "title": "Review"}}'
    system, task, plan, complaint = backend.requests[1].messages
    assert (system, task) == tuple(backend.requests[0].messages)
    assert (plan.role, plan.content, complaint.role) == ("assistant", fenced(broken), "user")
    assert complaint.content.splitlines() == [
        "The plan failed at line 3: IndexError: list index out of range",
        "    free[5]",
        "Hint: free has 2 items: [1, 2]",
        "",
        "Calls that have already changed something. The same call gives the same result and is not made again:",
        f'- make_appointment(day="{DAY}", start_time="10:00", end_time="12:00", title="Review") gave {booked}',
        "",
        "Variables at that point:",
        f"- booked = {booked}",
        "- free = [1, 2]",
        "",
        "Write the whole corrected plan in one ```python block.",
    ]
    assert ground.reports == [
        *("reading tools", "writing plan", "running plan"),
        *("repairing (attempt 2 of 3)", "running plan"),
    ]


async def test_what_would_go_wrong_next_is_told_with_the_error(ground: RealGround) -> None:
    _, backend = await carry_out(ground, fenced(f"{BOOK}\n[][5]\nbooked['titel']"), fenced("list_appointments()"))

    _, _, second, *_ = backend.requests[1].messages[-1].content.splitlines()
    assert second.startswith(
        "Also doubtful, at line 3: booked['titel']: there is no key 'titel' in what make_appointment says"
    )
    assert "Did you mean 'title'?" in second


async def test_a_plan_that_was_refused_is_repaired_too(ground: RealGround) -> None:
    planned, backend = await carry_out(ground, fenced("make_apointment(day=1)"), fenced(BOOK))

    assert planned.trial is not None
    assert planned.trial.outcome.status == "ok"
    assert "Did you mean 'make_appointment'?" in backend.requests[1].messages[-1].content
    assert "Nothing of it was run." in backend.requests[1].messages[-1].content


async def test_prose_is_an_answer_where_no_tool_is_needed(ground: RealGround) -> None:
    planned, _ = await carry_out(ground, "Paris is the capital of France.\n", task="What is the capital of France?")

    assert (planned.text, planned.trial, planned.error) == ("Paris is the capital of France.", None, None)
    assert (planned.plan, planned.attempts) == (None, ())


async def test_prose_after_a_plan_that_failed_is_no_answer(ground: RealGround) -> None:
    planned, _ = await carry_out(ground, fenced("1 / 0"), "I give up.", fenced("1 + 1"))

    assert planned.trial is not None
    assert planned.trial.outcome.result == 2
    assert [[error.type for error in attempt.errors] for attempt in planned.attempts] == [
        ["ZeroDivisionError"],
        ["NoPlanError"],
        [],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\nx = 1", "The code block was not closed."),
        ("```python\n\n```", "The code block is empty."),
        ("```python\n# nothing\n```", "The code block is empty."),
        ("", "The answer is empty."),
        ("Let me think. " + "".join(f"{n} and " for n in range(900)), "The answer was cut off at its greatest length"),
        (
            "```python\n" + "".join(f"x{n * n} = {n}\n{'y' * (n % 9)}=f()\n" for n in range(90)),
            "was not finished when the",
        ),
        ("```python\n" + "x = f()\n" * 50, "The answer went round in circles and was stopped: the same line comes"),
    ],
)
async def test_a_text_that_is_neither_plan_nor_answer_is_repaired(ground: RealGround, text: str, message: str) -> None:
    planned, backend = await carry_out(ground, text, fenced("1 + 1"), max_tokens=200)

    assert planned.trial is not None
    assert planned.trial.outcome.result == 2
    assert message in planned.attempts[0].errors[0].message
    assert message in backend.requests[1].messages[-1].content
    assert ground.attempted == ["1 + 1"]


@pytest.mark.parametrize("grammar", [True, False])
async def test_two_blocks_are_one_plan_wherever_they_come_from(ground: RealGround, grammar: bool) -> None:
    text = "First:\n```python\nx = 1\n```\nThen:\n```python\ny = x + 1\n```"
    planned, _ = await carry_out(ground, text, grammar=grammar)
    assert planned.plan == "x = 1\ny = x + 1"

    async with serving() as server:
        server.chat(lambda exchange: exchange.says(*text.splitlines(keepends=True)))
        backend = OpenAIBackend(base_url=server.url)
        with anyio.fail_after(20):
            planned = await Planner(backend, PlannerOptions(candidates=0, grammar=grammar)).carry_out("Two", ground)
        await backend.aclose()
    assert planned.plan == "x = 1\ny = x + 1"


async def test_a_model_that_always_fails_ends_after_three_attempts_with_all_of_them(ground: RealGround) -> None:
    plans = ["1 / 0", "[][0]", "{}['x']"]
    planned, backend = await carry_out(ground, *map(fenced, plans), fenced("1 + 1"))

    assert planned.trial is not None
    assert planned.trial.outcome.status == "error"
    assert planned.plan == "{}['x']"
    assert [attempt.plan for attempt in planned.attempts] == plans
    assert len(backend.requests) == 3


async def test_a_model_that_never_writes_a_plan_ends_with_an_error(ground: RealGround) -> None:
    planned, _ = await carry_out(ground, *["```python\nx = "] * 3)

    assert (planned.trial, planned.text, planned.plan) == (None, None, None)
    assert planned.error == PlanError(
        type="NoPlanError",
        message="No plan came of 3 tries. The code block was not closed.",
        hint="Write a short plan and close its block. Answer with one ```python block that holds the whole plan.",
    )
    assert len(planned.attempts) == 3
    assert ground.attempted == []


async def test_the_same_plan_is_not_run_twice(ground: RealGround) -> None:
    planned, _ = await carry_out(ground, fenced("1 / 0"), fenced("1 / 0"), fenced("1 + 1"))

    assert ground.attempted == ["1 / 0", "1 + 1"]
    assert [error.type for error in planned.attempts[1].errors] == ["SamePlanError"]


async def test_what_is_final_is_not_repaired(ground: RealGround) -> None:
    ground.final = True
    planned, backend = await carry_out(ground, fenced("1 / 0"), fenced("1 + 1"))

    assert planned.trial is not None
    assert planned.trial.outcome.status == "error"
    assert len(backend.requests) == 1


async def test_when_all_attempts_have_failed_the_plan_that_most_candidates_agree_on_is_run(ground: RealGround) -> None:
    majority = f'free = check_availability(day="{DAY}", start_time="10:00", end_time="11:00")'
    same_calls = f'if check_availability("{DAY}", "10:00", "11:00"):\n    print("free")'
    other = "list_appointments()"
    refused = "no_such_function()"
    planned, backend = await carry_out(
        ground, fenced("1 / 0"), list(map(fenced, (other, refused, majority, same_calls))), attempts=1, candidates=4
    )

    assert planned.plan == majority
    assert planned.trial is not None
    assert planned.trial.outcome.variables == {"free": True}
    assert ground.rehearsed == [other, refused, majority, same_calls]
    assert ground.attempted == ["1 / 0", majority]
    first, second = backend.requests
    assert (second.candidates, second.temperature > 0, second.messages) == (4, True, first.messages)
    assert ground.reports[3:] == ["writing 4 plans", "comparing 4 plans", "running plan"]


async def test_a_candidate_that_has_failed_already_votes_but_is_not_run_again(ground: RealGround) -> None:
    failed = f'x = list_appointments("{DAY}")\nx[0]'
    twin = f'y = list_appointments(day="{DAY}")\nlen(y)'
    planned, _ = await carry_out(
        ground, fenced(failed), [fenced("list_reminders()"), fenced(failed), fenced(twin)], attempts=1, candidates=3
    )
    assert planned.plan == twin
    assert ground.attempted == [failed, twin]


async def test_candidates_are_written_one_after_the_other_where_the_backend_writes_one_at_a_time(
    ground: RealGround,
) -> None:
    backend = ScriptedBackend([fenced("1 / 0"), *[fenced(f"1 + {n}") for n in range(3)]])
    backend.info = replace(backend.info, candidates=1)
    planned = await Planner(backend, PlannerOptions(attempts=1, candidates=3)).carry_out("Add", ground)

    assert planned.trial is not None
    assert planned.trial.outcome.result == 1
    assert [request.seed for request in backend.requests] == [0, 1, 2, 3]
    assert [request.temperature for request in backend.requests] == [0.0, 0.7, 0.7, 0.7]


FAULTS = ["unavailable", "model", "memory", "grammar", "too_long", "timeout", "protocol", "refused"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_of_a_backend_is_an_error_with_its_words(ground: RealGround, fault: Any) -> None:
    planned, _ = await carry_out(ground, BackendError("It did not work. Do this.", fault=fault))

    assert planned.error == PlanError(type="PlanningError", message="It did not work. Do this.")
    assert (planned.trial, planned.text, planned.attempts) == (None, None, ())


async def test_a_fault_while_repairing_leaves_what_the_plan_came_to(ground: RealGround) -> None:
    planned, _ = await carry_out(ground, fenced("x = 1\n1 / 0"), BackendError("Gone.", fault="protocol"))

    assert planned.trial is not None
    assert planned.trial.outcome.variables == {"x": 1}
    assert planned.warnings == ("The plan could not be repaired: Gone.",)


async def test_a_crash_in_the_middle_of_a_text_is_tried_once_more(ground: RealGround) -> None:
    crash = BackendError("The process ended: killed.", fault="crashed")
    planned, backend = await carry_out(ground, crash, fenced("1 + 1"))
    assert planned.trial is not None
    assert len(backend.requests) == 2

    planned, backend = await carry_out(ground, crash, crash, fenced("1 + 1"))
    assert planned.error == PlanError(type="PlanningError", message="The process ended: killed.")


async def test_a_backend_that_hangs_is_given_up_in_time(ground: RealGround) -> None:
    class Hanging(ScriptedBackend):
        async def generate(self, request: Any, *, watch: Any = None) -> Any:
            await asyncio.get_running_loop().create_future()

    with anyio.fail_after(10):
        planned = await Planner(Hanging([]), PlannerOptions(seconds=0.05)).carry_out("Wait", ground)

    assert planned.error is not None
    assert planned.error.message.startswith("The model wrote for 0.05 s without coming to an end.")


async def test_a_model_on_another_host_is_named(ground: RealGround) -> None:
    backend = ScriptedBackend([fenced("1 + 1")])
    backend.info = BackendInfo(kind="openai", model="big", device="models.example.org", local=False)
    planned = await Planner(backend, PlannerOptions()).carry_out("Add", ground)
    assert planned.warnings == ("The planner is on another host: models.example.org.",)


async def test_variables_of_the_session_are_told(ground: RealGround) -> None:
    ground.variables = {"total": 12, "rows": ["x" * 1_000]}
    _, backend = await carry_out(ground, fenced("1 + 1"), task="Double it")
    asked = backend.requests[0].messages[1].content
    assert asked.startswith("Double it\n\nThese variables exist already:\n- total = 12\n- rows = [")
    assert len(asked) < 400


async def test_functions_of_the_session_are_told_and_may_be_called(ground: RealGround) -> None:
    ground.functions = ("double", "Order")
    _, backend = await carry_out(ground, fenced("1 + 1"), task="Double it")

    (request,) = backend.requests
    assert request.messages[1].content == (
        "Double it\n\nThese functions, classes and modules exist already: double, Order"
    )
    assert request.grammar is not None
    start = Automaton(parse(request.grammar.text)).start
    assert [start.walk(f"{name}(2)") is not None for name in ("double", "Order", "triple")] == [True, True, False]


async def test_tools_that_do_not_fit_are_left_out_whole_and_named(ground: RealGround) -> None:
    backend = ScriptedBackend([fenced("1 + 1")])
    await Planner(backend, PlannerOptions()).carry_out("Cancel an appointment", ground)
    whole = await backend.count_tokens(backend.requests[0].messages)

    small = ScriptedBackend([fenced("1 + 1")], info=replace(backend.info, context_tokens=whole))
    planned = await Planner(small, PlannerOptions(max_tokens=50, attempts=1)).carry_out("Cancel an appointment", ground)

    shown = small.requests[0].messages[0].content
    assert await small.count_tokens(small.requests[0].messages) <= whole - 50
    assert "def cancel_appointment(" in shown
    (warning,) = planned.warnings
    assert warning == "The planner was shown 4 of 6 tools, not: add_to_reminders, list_reminders."


async def test_a_task_that_does_not_fit_is_refused(ground: RealGround) -> None:
    planned, backend = await carry_out(ground, fenced("1"), task="word " * 10_000)
    assert planned.error is not None
    assert planned.error.message.startswith("The task takes 12,")
    assert backend.requests == []


async def test_a_complaint_is_shortened_until_it_fits(ground: RealGround) -> None:
    broken = 'rows = ["abcdefghij" * 30] * 40\nx = [r + "!" for r in rows]\n1 / 0'
    backend = ScriptedBackend([fenced(broken), fenced("1 + 1")])
    planner = Planner(backend, PlannerOptions(max_tokens=400))
    long = backend.info.context_tokens
    await planner.carry_out("Add", ground)
    taken = await backend.count_tokens(backend.requests[1].messages)

    backend = ScriptedBackend([fenced(broken), fenced("1 + 1")], info=replace(backend.info, context_tokens=taken + 399))
    planned = await Planner(backend, PlannerOptions(max_tokens=400)).carry_out("Add", ground)

    assert taken + 400 < long
    assert planned.trial is not None
    assert await backend.count_tokens(backend.requests[1].messages) < taken
    assert "ZeroDivisionError" in backend.requests[1].messages[-1].content


async def test_word_of_a_long_text_is_given_while_it_is_written(
    ground: RealGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planact_server.planner.writing.REPORT_SECONDS", 0.001)
    told = asyncio.Event()

    class Slow(ScriptedBackend):
        async def generate(self, request: Any, *, watch: Any = None) -> Any:
            watch(0, "```py")
            await told.wait()
            return await super().generate(request, watch=None)

    async def report(text: str, fraction: float | None = None) -> None:
        if text == "writing plan (1 tokens)":
            told.set()

    ground.report = report
    with anyio.fail_after(10):
        planned = await Planner(Slow([fenced("1 + 1")]), PlannerOptions()).carry_out("Add", ground)
    assert planned.trial is not None


async def test_cancelling_cancels_the_writing(ground: RealGround) -> None:
    writing, stopped = asyncio.Event(), asyncio.Event()

    class Endless(ScriptedBackend):
        async def generate(self, request: Any, *, watch: Any = None) -> Any:
            writing.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                stopped.set()

    task = asyncio.create_task(Planner(Endless([]), PlannerOptions()).carry_out("Wait", ground))
    with anyio.fail_after(10):
        await writing.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert stopped.is_set()


async def test_what_a_model_is_told_names_what_the_repair_needs(ground: RealGround) -> None:
    for mistake in MISTAKES:
        await ground.forget()
        planned, backend = await carry_out(ground, mistake.text, mistake.repaired)

        told = backend.requests[1].messages[-1].content
        assert [need for need in mistake.needs if need not in told] == [], mistake.name
        assert planned.trial is not None
        assert planned.trial.outcome.status == "ok", mistake.name
