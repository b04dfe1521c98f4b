"""The questions of one run: who asks them, for how long, and what becomes of their answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from planact_bridge import QuestionRefused
from planact_server import questions as module
from planact_server.questions import MOST_QUESTIONS, Questions
from planact_server.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Collection

    from planact_server.questions import Mode, Question

ACCEPTED = {"action": "accept", "content": {}}


class Asking:
    """A host that shows forms and waits for its person."""

    modes: frozenset[Mode] = frozenset({"form"})
    in_turns = False

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.withdrawn: list[str] = []
        self.answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def ask(self, question: Question) -> dict[str, Any]:
        self.shown.append(question.id)
        try:
            return await asyncio.shield(self.answer)
        except asyncio.CancelledError:
            self.withdrawn.append(question.id)
            raise


@pytest.fixture
def clock() -> list[bool]:
    """Whether it stands still, as the plan was told."""
    return []


@pytest.fixture
def open_questions(clock: list[bool]) -> Questions:
    async def hold(calls: Collection[int]) -> None:
        await asyncio.sleep(0)
        if not clock or clock[-1] != bool(calls):
            clock.append(bool(calls))

    questions = Questions(told=lambda: None)
    questions.modes = frozenset({"form"})
    questions.hold = hold
    return questions


async def asked(questions: Questions) -> asyncio.Task[Any]:
    task = asyncio.create_task(questions.ask("s", "s.tool", {"message": "Sure?"}))
    while not questions.open:
        await asyncio.sleep(0)
    return task


async def test_a_form_stays_with_whoever_shows_it(open_questions: Questions) -> None:
    first, second = Asking(), Asking()
    waiting = await asked(open_questions)
    open_questions.bring_to(first)
    open_questions.take_back(older_than=60)
    open_questions.bring_to(second)
    await asyncio.sleep(0)
    first.answer.set_result(ACCEPTED)
    assert await waiting == ACCEPTED
    assert (first.shown, second.shown, first.withdrawn) == (["q_1"], [], [])


async def test_a_form_that_has_been_shown_for_long_is_shown_again(open_questions: Questions) -> None:
    first, second = Asking(), Asking()
    waiting = await asked(open_questions)
    open_questions.bring_to(first)
    await asyncio.sleep(0.02)
    open_questions.take_back(older_than=0.01)
    open_questions.bring_to(second)
    await asyncio.sleep(0)
    second.answer.set_result(ACCEPTED)
    assert await waiting == ACCEPTED
    assert (first.shown, second.shown, first.withdrawn) == (["q_1"], ["q_1"], ["q_1"])


async def test_the_clock_stands_still_while_one_is_open(open_questions: Questions, clock: list[bool]) -> None:
    first = await asked(open_questions)
    second = asyncio.create_task(open_questions.ask("s", "s.tool", {"message": "And that?"}))
    while len(open_questions.open) < 2:
        await asyncio.sleep(0)
    open_questions.answer("q_1", ACCEPTED)
    await first
    assert clock == [True]
    open_questions.answer("q_2", ACCEPTED)
    await second
    assert clock == [True, False]


async def test_the_clock_goes_on_when_the_asking_is_given_up(open_questions: Questions, clock: list[bool]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(open_questions.ask, "s", "s.tool", {"message": "Sure?"})
        while clock != [True]:
            await asyncio.sleep(0)
        tasks.cancel_scope.cancel()
    assert clock == [True, False]
    assert open_questions.open == ()


async def test_a_question_that_nobody_answers_expires(
    open_questions: Questions, clock: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPIRY_SECONDS", 0.01)
    host = Asking()
    waiting = await asked(open_questions)
    open_questions.bring_to(host)
    with pytest.raises(QuestionRefused, match="Nobody has answered for a day"):
        await waiting
    await asyncio.sleep(0)
    assert (clock, host.withdrawn) == ([True, False], ["q_1"])


async def test_a_run_has_so_many_questions_and_no_more(open_questions: Questions) -> None:
    for number in range(1, MOST_QUESTIONS + 1):
        waiting = await asked(open_questions)
        open_questions.answer(f"q_{number}", ACCEPTED)
        await waiting
    with pytest.raises(QuestionRefused, match="that is enough"):
        await open_questions.ask("s", "s.tool", {"message": "Sure?"})


async def test_an_answer_to_what_is_not_asked_is_for_nobody(open_questions: Questions) -> None:
    open_questions.answer("q_1", ACCEPTED)
    waiting = await asked(open_questions)
    open_questions.answer("q_2", ACCEPTED)
    open_questions.answer("q_1", {"action": "decline"})
    open_questions.answer("q_1", ACCEPTED)
    assert await waiting == {"action": "decline"}


async def test_an_answer_that_cannot_be_used_is_a_refusal(open_questions: Questions) -> None:
    class Broken(Asking):
        async def ask(self, question: Question) -> dict[str, Any]:
            raise KeyError(question.id)

    waiting = await asked(open_questions)
    open_questions.bring_to(Broken())
    with pytest.raises(QuestionRefused, match="The host's answer cannot be used: KeyError"):
        await waiting


async def test_those_that_have_waited_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_server.runs.MOST_WAITING", 2)
    async with Runs(store=None) as runs:
        waiting = []
        for _ in range(4):
            run = runs.create(session="s", client="c")
            run.questions.modes = frozenset({"form"})
            waiting.append(await asked(run.questions))
            await asyncio.sleep(0.01)
        runs.create(session="s", client="c")
        for task in waiting[:2]:
            with pytest.raises(QuestionRefused, match="this one has waited longest"):
                await task
        assert not any(task.done() for task in waiting[2:])
        for task in waiting[2:]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


ODD = {
    "a list among the names": ({"requestedSchema": {"required": [["a"], {"x": 2}]}}, None),
    "another mode": ({"mode": "video"}, "its mode is"),
    "a hidden letter in the form": (
        {"requestedSchema": {"properties": {"a\x1b": {"type": "string"}}}},
        "nobody can see",
    ),
    "no host": ({"mode": "url", "url": "https://"}, "and a host"),
    "a space": ({"mode": "url", "url": "https:// x"}, "and a host"),
    "a name before the host": ({"mode": "url", "url": "https://user:pass@example.com"}, "and a host"),
    "a letter that turns others around": ({"mode": "url", "url": "https://example.com/\u202eevil"}, "and a host"),
    "capitals": ({"mode": "url", "url": "HTTPS://example.com"}, None),
}


@pytest.mark.parametrize(("params", "reason"), ODD.values(), ids=ODD)
async def test_an_odd_question_is_refused_or_read(
    open_questions: Questions, params: dict[str, Any], reason: str | None
) -> None:
    open_questions.modes = frozenset({"form", "url"})
    asking = asyncio.create_task(open_questions.ask("s", "s.tool", {"message": "Sure?", **params}))
    await asyncio.sleep(0.01)
    if reason is None:
        open_questions.answer("q_1", ACCEPTED)
        assert (await asking)["action"] == "accept"
    else:
        with pytest.raises(QuestionRefused, match=reason):
            await asking


async def test_what_nobody_sees_in_a_message_is_shown_as_that(open_questions: Questions) -> None:
    asking = asyncio.create_task(open_questions.ask("s", "s.tool", {"message": "a\x1b[2J\u202eb\nc"}))
    await asyncio.sleep(0.01)
    [question] = open_questions.open
    assert question.message == "a\ufffd[2J\ufffdb\nc"
    open_questions.answer("q_1", ACCEPTED)
    await asking
