"""A server asks in the middle of a plan's call: its question reaches the host in the host's own era, and goes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import ElicitRequestURLParams, ElicitResult, InputRequiredResult

from planact_server.assembly import configured_servers
from planact_server.config import load_config
from planact_server.store import Store
from planact_testing import Home, act
from server.test_http import serving
from warm.start import warm_python

if TYPE_CHECKING:
    from mcp.client.context import ClientRequestContext
    from mcp.types import ElicitRequestParams

INQUIRER = Path(__file__).parent / "servers" / "inquirer.py"
TRUSTED = '[policy]\ntrust = ["*"]\n'
MODES = [("auto", "newer"), ("auto", "older"), ("legacy", "newer"), ("legacy", "older")]
both_sides = pytest.mark.parametrize(
    ("mode", "downstream"),
    [*MODES[:1], *(pytest.param(*each, marks=pytest.mark.check) for each in MODES[1:3]), MODES[3]],
)


class Person:
    """Answers what a host asks, and keeps it."""

    def __init__(self, *answers: ElicitResult) -> None:
        self.asked: list[ElicitRequestParams] = []
        self._answers = list(answers) or [accept(name="Ada")]

    async def __call__(self, _: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def accept(**content: Any) -> ElicitResult:
    return ElicitResult(action="accept", content=content or None)


@pytest.fixture
def inquiring(home: Home) -> Home:
    """A home whose one server asks."""
    command, *rest = warm_python(str(INQUIRER))
    home.configure(TRUSTED, inquirer={"command": command, "args": rest})
    return home


def speak(home: Home, downstream: str) -> None:
    """Have Planact speak to the server in one era."""
    config = load_config(config_file=home.folder / "planact.toml", environ=home.environment, cwd=home.work)
    [spec] = configured_servers(config)
    with Store.open(config.state) as store:
        store.save_era(spec.identity, "stateless" if downstream == "newer" else "handshake")


@both_sides
async def test_a_form_is_filled_in_by_the_hosts_person(inquiring: Home, mode: str, downstream: str) -> None:
    speak(inquiring, downstream)
    person = Person(accept(name="Ada", age=36))
    async with inquiring.serve(mode=mode, elicitation_callback=person) as client:
        answer = await act(client, "x = 1\ngreeted = greet()\nx + 1", timeout_seconds=20)
    assert (answer["status"], answer["result"]) == ("ok", 2), answer
    assert answer["variables"]["greeted"] == {"who": {"action": "accept", "content": {"name": "Ada", "age": 36}}}
    [question] = person.asked
    assert question.message == "The server 'inquirer' asks, called by inquirer.greet: What is your name?"
    assert question.requested_schema["required"] == ["name"]
    assert set(question.requested_schema["properties"]) == {"name", "age"}


@both_sides
async def test_a_page_is_visited_by_the_hosts_person(inquiring: Home, mode: str, downstream: str) -> None:
    speak(inquiring, downstream)
    person = Person(accept())
    async with inquiring.serve(mode=mode, elicitation_callback=person) as client:
        answer = await act(client, "log_in()")
    assert answer["result"] == {"go": {"action": "accept"}}
    [question] = person.asked
    assert isinstance(question, ElicitRequestURLParams)
    assert question.url == "https://example.com/login?who=you"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_http_too(inquiring: Home, mode: str) -> None:
    person = Person()
    async with serving(inquiring) as address, Client(address, mode=mode, elicitation_callback=person) as client:
        answer = await act(client, "greet()")
    assert answer["result"] == {"who": {"action": "accept", "content": {"name": "Ada"}}}


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_person_may_say_no(inquiring: Home, action: Any) -> None:
    async with inquiring.serve(elicitation_callback=Person(ElicitResult(action=action))) as client:
        answer = await act(client, "greet()")
    assert answer["result"] == {"who": {"action": action}}


async def test_several_questions_of_one_call_and_calls_side_by_side(inquiring: Home) -> None:
    person = Person()
    async with inquiring.serve(elicitation_callback=person) as client:
        answer = await act(client, "import asyncio\nawait asyncio.gather(interview(), greet())")
    said = {"action": "accept", "content": {"name": "Ada"}}
    assert answer["result"] == [{"one": said, "two": said}, {"who": said}]
    assert len(person.asked) == 3


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_host_that_cannot_ask_makes_a_refusal_that_plans_can_catch(inquiring: Home, mode: str) -> None:
    async with inquiring.serve(mode=mode) as client:
        answer = await act(client, "try:\n    greet()\nexcept ToolError as error:\n    said = error.message\nsaid")
    assert answer["status"] == "ok"
    assert "The host cannot bring questions to a person (it does not offer elicitation)." in answer["result"]


async def test_what_no_form_can_hold_is_refused(inquiring: Home) -> None:
    person = Person()
    async with inquiring.serve(elicitation_callback=person) as client:
        answer = await act(client, "pry()")
    assert answer["status"] == "error"
    assert "'address' is none" in answer["errors"][0]["message"]
    assert person.asked == []


async def test_an_answer_that_does_not_fit_the_form_does_not_reach_the_server(inquiring: Home) -> None:
    async with inquiring.serve(elicitation_callback=Person(accept(name="Ada", age="old"))) as client:
        answer = await act(client, "greet()")
    assert answer["status"] == "error"
    assert "does not fit the form" in answer["errors"][0]["message"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_persons_time_is_not_the_plans(inquiring: Home, mode: str) -> None:
    async def slowly(_: ClientRequestContext, __: ElicitRequestParams) -> ElicitResult:
        await anyio.sleep(2)
        return accept(name="Ada")

    async with inquiring.serve(mode=mode, elicitation_callback=slowly) as client:
        answer = await act(client, "greet()\n2", timeout_seconds=1.5)
    assert (answer["status"], answer["result"]) == ("ok", 2)


async def test_an_open_question_does_not_extend_the_wait_and_a_late_answer_counts(inquiring: Home) -> None:
    """In the older era the request goes on while the person thinks."""
    thinking, thought = anyio.Event(), anyio.Event()

    async def think(_: ClientRequestContext, __: ElicitRequestParams) -> ElicitResult:
        thinking.set()
        await thought.wait()
        return accept(name="Ada")

    async with inquiring.serve(mode="legacy", elicitation_callback=think) as client:
        early = await act(client, "y = greet()\ny['who']", wait_seconds=1)
        assert thinking.is_set()
        assert early["status"] == "approval_required"
        [pending] = early["pending"]
        assert (pending["server"], pending["function"], pending["message"]) == (
            "inquirer",
            "inquirer.greet",
            "What is your name?",
        )
        assert early["run"] in pending["how"]
        thought.set()
        late = await act(client, run=early["run"])
    assert (late["status"], late["result"]["content"]) == ("ok", {"name": "Ada"})


async def test_a_host_of_the_newer_era_may_leave_and_another_request_asks_again(inquiring: Home) -> None:
    person = Person()
    async with inquiring.serve(elicitation_callback=person) as client:
        code = {"code": "greet()['who']['content']"}
        first = await client.session.call_tool("run_python_actions", code, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        runs = (await client.list_resources()).resources
        later = await act(client, run=runs[0].name)
    assert later["result"] == {"name": "Ada"}


async def test_a_forged_or_foreign_state_is_refused_and_the_run_waits_on(inquiring: Home) -> None:
    async with inquiring.serve(elicitation_callback=Person()) as client:
        call = client.session.call_tool
        arguments = {"code": "greet()['who']['content']"}
        first = await call("run_python_actions", arguments, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        state = first.request_state
        assert state is not None
        given = {key: accept(name="Ada") for key in first.input_requests or {}}
        for forged, asked in ((state[:-4] + "AAAA", arguments), (state, {"code": "1 + 1"}), ("x", arguments)):
            with pytest.raises(MCPError, match="requestState"):
                await call("run_python_actions", asked, input_responses=given, request_state=forged)
        done = await call("run_python_actions", arguments, input_responses=given, request_state=state)
        assert not isinstance(done, InputRequiredResult)
        assert json.loads(done.content[0].text)["result"] == {"name": "Ada"}
        again = await call("run_python_actions", arguments, input_responses=given, request_state=state)
    assert not isinstance(again, InputRequiredResult)
    assert json.loads(again.content[0].text)["result"] == {"name": "Ada"}


async def test_after_eight_rounds_the_rest_is_for_another_request(inquiring: Home) -> None:
    plan = "asked = 0\nfor _ in range(9):\n    greet()\n    asked += 1\nasked"
    person = Person()
    async with inquiring.serve(elicitation_callback=person, input_required_max_rounds=20) as client:
        first = await act(client, plan)
        assert (first["status"], len(person.asked)) == ("approval_required", 8)
        assert [entry["message"] for entry in first["pending"]] == ["What is your name?"]
        second = await act(client, run=first["run"])
    assert (second["status"], second["result"], len(person.asked)) == ("ok", 9, 9)


async def test_a_cancelled_plan_takes_its_question_back(inquiring: Home) -> None:
    asked, cancelled = anyio.Event(), anyio.Event()

    async def never(_: ClientRequestContext, __: ElicitRequestParams) -> ElicitResult:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        raise AssertionError

    async with inquiring.serve(mode="legacy", elicitation_callback=never) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(act, client, "greet()")
            await asked.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(20):
            await cancelled.wait()
        assert (await act(client, "add(a=1, b=2)"))["result"] == 3
