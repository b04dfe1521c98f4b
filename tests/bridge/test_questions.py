"""A server that asks in the middle of a call, in both eras, and whom its question goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from planact_bridge import Downstream, QuestionRefused
from planact_bridge.questions import ELICITATION, OpenCalls
from planact_tools import JSONObject, ToolCall, ToolError

if TYPE_CHECKING:
    from collections.abc import Hashable

CALL = ToolCall(name="ok", arguments={})


class Asked:
    """Somebody who accepts everything, once told to, and keeps what was asked."""

    def __init__(self, key: Hashable = "one") -> None:
        self.key = key
        self.asked: list[tuple[str, JSONObject]] = []
        self.reached = anyio.Event()
        self.answer = anyio.Event()
        self.answer.set()

    @property
    def capabilities(self) -> JSONObject:
        return {"elicitation": {"form": {}}}

    async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:
        self.asked.append((server, params))
        self.reached.set()
        await self.answer.wait()
        return {"action": "accept", "content": {}}


class Absent(Asked):
    async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:
        raise QuestionRefused(f"{server} asks in vain.")


async def test_a_question_that_nobody_answers_fails_the_call_and_says_why(connect) -> None:
    with pytest.raises(ToolError) as caught:
        await connect("raw.py", "asks_stateless").call(CALL)
    assert caught.value.message == (
        "Server 'asks_stateless' asked something in the middle of the call. "
        "Planact does not offer questions to the user."
    )


async def test_an_answer_is_sent_back_with_the_servers_own_state(connect) -> None:
    person = Asked()
    result = await connect("raw.py", "asks_stateless").call(CALL, person=person)
    assert result.value == [{"q": {"action": "accept", "content": {}}}, "sealed"]
    assert person.asked == [("asks_stateless", {"message": "Sure?"})]


async def test_in_the_older_era_the_question_finds_whoever_is_calling(connect) -> None:
    person = Asked()
    result = await connect("raw.py", "asks").call(CALL, person=person)
    assert result.value[0] == {"action": "accept", "content": {}}
    assert result.value[1:3] == ["Planact does not offer sampling.", "Planact does not offer roots."]
    assert [server for server, _ in person.asked] == ["asks"]


async def test_whoever_is_called_for_may_refuse(connect) -> None:
    result = await connect("raw.py", "asks").call(CALL, person=Absent())
    assert result.value[0] == "asks asks in vain."


async def test_a_question_is_refused_where_it_may_be_meant_for_two(connect) -> None:
    server: Downstream = connect("raw.py", "asks_second")
    first, second = Asked("one"), Asked("two")
    results: list[object] = []

    async def call(person: Asked) -> None:
        results.append((await server.call(CALL, person=person)).value)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, first)
            tasks.start_soon(call, second)
    assert first.asked == second.asked == []
    assert [str(result) for result in results if "several clients at once" in str(result)]


async def test_a_question_that_was_left_alone_gives_way_to_one_for_somebody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = OpenCalls(sent=lambda _, __: None)
    refusals: list[str] = []

    gone = Asked("one")
    gone.answer = anyio.Event()

    async def ask_one() -> None:
        with pytest.raises(QuestionRefused) as refused:
            await calls.ask("s", ELICITATION, {"message": "?"})
        refusals.append(refused.value.message)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            with calls.during(gone, anyio.CancelScope()):
                tasks.start_soon(ask_one)
                await anyio.wait_all_tasks_blocked()
                with calls.during(Asked("two"), anyio.CancelScope()):
                    with pytest.raises(QuestionRefused, match="several clients at once"):
                        await calls.ask("s", ELICITATION, {"message": "?"})
                    monkeypatch.setattr("planact_bridge.questions.LEFT_ALONE_SECONDS", 0.0)
                    answered = await calls.ask("s", ELICITATION, {"message": "?"})
    assert answered == {"action": "accept", "content": {}}
    assert refusals == ["The call in which it was asked is over."]


async def test_two_calls_of_one_plan_are_asked_as_one(connect) -> None:
    server: Downstream = connect("raw.py", "asks_second")
    person = Asked()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(lambda: server.call(CALL, person=person))
    assert len(person.asked) == 1


async def test_the_time_that_a_person_takes_is_not_the_calls(connect) -> None:
    """The call may take half a second, the person takes longer."""
    server: Downstream = connect("raw.py", "asks", timeout=0.5)
    person = Asked()
    person.answer = anyio.Event()
    results: list[object] = []

    async def call() -> None:
        results.append((await server.call(CALL, person=person)).value)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await person.reached.wait()
            await anyio.sleep(0.8)
            person.answer.set()
    assert results


async def test_what_is_asked_together_is_asked_at_once(connect) -> None:
    person = Asked()
    person.answer = anyio.Event()
    results: list[object] = []

    async def call() -> None:
        results.append((await connect("raw.py", "asks_two_stateless").call(CALL, person=person)).value)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            while len(person.asked) < 2:
                await anyio.sleep(0.01)
            person.answer.set()
    accepted = {"action": "accept", "content": {}}
    assert results == [[{"q": accepted, "r": accepted}, "sealed"]]


async def test_one_refusal_ends_what_is_asked_with_it(connect) -> None:
    class Half(Asked):
        async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:
            if params["message"] == "Sure?":
                raise QuestionRefused("Not that.")
            return await super().ask(server, params, alone=alone)

    person = Half()
    person.answer = anyio.Event()
    with anyio.fail_after(20), pytest.raises(ToolError, match=r"Not that\."):
        await connect("raw.py", "asks_two_stateless").call(CALL, person=person)


async def test_a_call_that_is_given_up_takes_its_question_with_it(connect) -> None:
    """The server never takes it back itself."""
    withdrawn = anyio.Event()

    class Slow(Asked):
        async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:
            self.reached.set()
            try:
                await anyio.sleep_forever()
            finally:
                withdrawn.set()
            return {}

    person = Slow()
    server: Downstream = connect("raw.py", "asks_and_forgets")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: server.call(CALL, person=person))
            await person.reached.wait()
            tasks.cancel_scope.cancel()
        await withdrawn.wait()


class Visitor(Asked):
    action = "accept"

    @property
    def capabilities(self) -> JSONObject:
        return {"elicitation": {"url": {}}}

    async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:
        await super().ask(server, params, alone=alone)
        return {"action": self.action}


async def test_a_page_that_a_server_wants_visited_is_brought_and_the_call_made_again(connect) -> None:
    person = Visitor()
    with anyio.fail_after(20):  # the server says that it was visited: there is nothing to wait out
        result = await connect("raw.py", "wants_a_visit").call(CALL, person=person)
    assert result.value == "visited, call 2"
    [(server, params)] = person.asked
    assert (server, params["mode"], params["url"]) == ("wants_a_visit", "url", "https://example.com/login")


@pytest.mark.parametrize(("case", "rounds"), [("wants_a_visit_silently", 1), ("is_never_content", 8)])
async def test_a_server_that_never_says_that_its_page_was_visited_is_asked_again(
    connect, monkeypatch: pytest.MonkeyPatch, case: str, rounds: int
) -> None:
    monkeypatch.setattr("planact_bridge.pages.VISIT_SECONDS", 0.05)
    person = Visitor()
    call = connect("raw.py", case).call(CALL, person=person)
    with anyio.fail_after(20):
        if rounds == 1:
            assert (await call).value == "visited, call 2"
        else:
            with pytest.raises(ToolError, match="kept asking: 8 rounds of questions"):
                await call
    assert len(person.asked) == 1  # the page itself is shown once


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_page_that_nobody_wants_to_visit_fails_the_call_in_the_servers_words(connect, action: str) -> None:
    person = Visitor()
    person.action = action
    with anyio.fail_after(20), pytest.raises(ToolError, match=r"Log in first \(code -32042\)"):
        await connect("raw.py", "wants_a_visit_silently").call(CALL, person=person)


async def test_a_page_that_nobody_can_be_shown_fails_the_call(connect) -> None:
    with anyio.fail_after(20), pytest.raises(ToolError, match="does not offer questions to the user"):
        await connect("raw.py", "wants_a_visit_silently").call(CALL)


async def test_a_question_that_may_be_about_two_calls_for_the_same_person_is_theirs(connect) -> None:
    server: Downstream = connect("raw.py", "asks_second")
    told: list[bool] = []

    class Same(Asked):
        async def ask(self, server: str, params: JSONObject, *, alone: bool = True) -> JSONObject:
            told.append(alone)
            return await super().ask(server, params, alone=alone)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(lambda: server.call(CALL, person=Same("me")))
    assert told == [False]


async def test_what_may_be_about_a_call_that_was_given_up_is_brought_to_nobody_else(connect) -> None:
    server: Downstream = connect("raw.py", "asks_second")
    first, second = Asked("one"), Asked("two")
    with anyio.fail_after(20):
        with anyio.move_on_after(0.3):
            await server.call(CALL, person=first)
        result = await server.call(CALL, person=second)
    assert "several clients at once" in str(result.value)
    assert first.asked == second.asked == []


async def test_two_calls_that_want_the_same_page_visited_hear_of_it(connect) -> None:
    """Whoever is asked first is not the one who is done first."""
    server: Downstream = connect("raw.py", "wants_visits")
    first, second = Visitor(), Visitor()
    second.answer = anyio.Event()
    values: list[object] = []

    async def call(person: Visitor) -> None:
        values.append((await server.call(CALL, person=person)).value)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, second)
            await second.reached.wait()
            tasks.start_soon(call, first)
            while not values:
                await anyio.sleep(0.01)
            second.answer.set()
    assert len(values) == 2
