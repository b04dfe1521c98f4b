"""A server asks in the middle of a plan's call: its question reaches the host in the host's own era, and goes back."""

from __future__ import annotations

import json
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import ElicitCompleteNotification, ElicitRequestURLParams, ElicitResult, InputRequiredResult

from planact_server.assembly import configured_servers
from planact_server.config import load_config
from planact_server.store import Store
from planact_testing import Home, act
from server.test_http import listening, serving
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


@pytest.mark.parametrize("over", ["stdio", "http"])
async def test_a_host_hears_when_a_page_was_visited_to_the_end(inquiring: Home, over: str) -> None:
    speak(inquiring, "older")
    person, told, heard = Person(accept()), list[str](), anyio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, ElicitCompleteNotification):
            told.append(message.params.elicitation_id)
            heard.set()

    options: dict[str, Any] = {"mode": "legacy", "elicitation_callback": person, "message_handler": hear}
    async with AsyncExitStack() as stack:
        if over == "http":
            client = await stack.enter_async_context(
                Client(await stack.enter_async_context(serving(inquiring)), **options)
            )
        else:
            client = await stack.enter_async_context(inquiring.serve(**options))
        answers = [await act(client, "[log_in_to_the_end(), log_in_to_the_end()]") for _ in range(2)]
        with anyio.fail_after(10):
            await heard.wait()
            await client.list_tools()
    assert [answer["result"] for answer in answers] == [["accept", "accept"]] * 2
    # Each question has a name of its own, whatever the server calls its pages, and each end is told once.
    asked = [question.elicitation_id for question in person.asked]
    assert (len(set(asked)), told) == (4, asked)


async def test_a_host_hears_of_a_page_after_the_plan_has_ended(inquiring: Home) -> None:
    speak(inquiring, "older")
    person, told, heard = Person(accept()), list[str](), anyio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, ElicitCompleteNotification):
            told.append(message.params.elicitation_id)
            heard.set()

    async with inquiring.serve(mode="legacy", elicitation_callback=person, message_handler=hear) as client:
        answer = await act(client, "log_in_at_leisure()")
        before = list(told)
        with anyio.fail_after(10):
            await heard.wait()
    assert (answer["result"], before) == ("accept", [])
    assert told == [question.elicitation_id for question in person.asked]


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


async def test_calls_side_by_side_ask_in_one_round(inquiring: Home) -> None:
    speak(inquiring, "newer")
    arguments = {"code": "import asyncio\nawait asyncio.gather(interview(), greet())"}
    async with inquiring.serve(elicitation_callback=Person()) as client:
        await act(client, "add(a=1, b=1)")
        first = await client.session.call_tool("run_python_actions", arguments, allow_input_required=True)
        assert isinstance(first, InputRequiredResult)
        requests = first.input_requests or {}
        assert len(requests) == 3
        some = {key: accept(name="Ada") for key in list(requests)[:2]}
        then = await client.session.call_tool(
            "run_python_actions",
            arguments,
            input_responses=some,
            request_state=first.request_state,
            allow_input_required=True,
        )
        assert isinstance(then, InputRequiredResult)  # what has no answer is asked again
        assert list(then.input_requests or {}) == list(requests)[2:]


@both_sides
async def test_a_call_that_the_plan_gives_up_takes_its_question_back(
    inquiring: Home, mode: str, downstream: str
) -> None:
    """The plan's clock runs on: what it does afterwards is its own time."""
    speak(inquiring, downstream)
    shown, withdrawn = anyio.Event(), anyio.Event()

    async def never(_: ClientRequestContext, __: ElicitRequestParams) -> ElicitResult:
        shown.set()
        try:
            await anyio.sleep_forever()
        finally:
            withdrawn.set()
        raise AssertionError

    plan = (
        "import asyncio\ntry:\n    await asyncio.wait_for(greet(), 0.5)\nexcept TimeoutError:\n"
        "    gave_up = True\nwhile True:\n    await asyncio.sleep(0.05)"
    )
    arguments = {"code": plan, "timeout_seconds": 2}
    async with inquiring.serve(mode=mode, elicitation_callback=never) as client:
        await act(client, "add(a=1, b=1)")
        if mode == "auto":  # the form stays with a host that asks in turns, and its answer is for nobody
            first = await client.session.call_tool("run_python_actions", arguments, allow_input_required=True)
            assert isinstance(first, InputRequiredResult)
            [key] = first.input_requests or {}
            late = {key: accept(name="Ada")}
            await anyio.sleep(0.8)
            last = await client.session.call_tool(
                "run_python_actions", arguments, input_responses=late, request_state=first.request_state
            )
            assert not isinstance(last, InputRequiredResult)
            answer = json.loads(last.content[0].text)
        else:
            answer = await act(client, **arguments)
            assert shown.is_set()
            with anyio.fail_after(10):
                await withdrawn.wait()
    assert (answer["status"], answer["variables"]) == ("timeout", {"gave_up": True})
    assert [(call["function"], call.get("error")) for call in answer["calls"]] == [("greet", "The call was cancelled.")]


@pytest.mark.parametrize("downstream", ["newer", "older"])
async def test_from_a_server_over_http(home: Home, downstream: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.configure(TRUSTED, inquirer={"url": f"http://127.0.0.1:{port}/mcp"})
    speak(home, downstream)
    person = Person()
    with anyio.fail_after(60):
        async with await anyio.open_process([*warm_python(str(INQUIRER)), "http", str(port)], stderr=None) as server:
            await listening(port)
            async with home.serve(mode="legacy", elicitation_callback=person) as client:
                answer = await act(client, "greet(), log_in()")
            server.terminate()
    assert answer["result"] == [
        {"who": {"action": "accept", "content": {"name": "Ada"}}},
        {"go": {"action": "accept"}},
    ], answer
    assert len(person.asked) == 2


FIELDS = {
    "that may be left out": ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, {"type": "string"}),
    "of two types, one of them null": ({"type": ["integer", "null"]}, {"type": "integer"}),
    "with a choice": ({"enum": ["a", "b"]}, {"enum": ["a", "b"], "type": "string"}),
    "with titles": (
        {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
        {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
    ),
    "of several": (
        {"type": "array", "items": {"type": "string", "enum": ["a"]}},
        {"type": "array", "items": {"type": "string", "enum": ["a"]}},
    ),
    "of two types": ({"type": ["integer", "string"]}, None),
    "that is an object": ({"type": "object", "properties": {"a": {"type": "string"}}}, None),
    "that is an object in a choice": ({"oneOf": [{"type": "object"}, {"type": "array"}]}, None),
    "of objects in a list": ({"enum": [{"a": 1}]}, None),
    "of any texts": ({"type": "array", "items": {"type": "string"}}, None),
    "that refers to something": ({"type": "string", "$ref": "#/$defs/x"}, None),
    "of no type": ({}, None),
}


async def test_a_field_is_shown_as_forms_know_it_or_not_at_all(inquiring: Home) -> None:
    person = Person(ElicitResult(action="decline"))
    async with inquiring.serve(mode="legacy", elicitation_callback=person) as client:
        for name, (field, expected) in FIELDS.items():
            person.asked.clear()
            answer = await act(client, f"fill({field!r})")
            shown = [question.requested_schema["properties"]["field"] for question in person.asked]
            assert (name, shown) == (name, [] if expected is None else [expected])
            assert ("'field' is none" in str(answer["errors"])) is (expected is None), name


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_host_that_cannot_ask_makes_a_refusal_that_plans_can_catch(inquiring: Home, mode: str) -> None:
    async with inquiring.serve(mode=mode) as client:
        answer = await act(client, "try:\n    greet()\nexcept ToolError as error:\n    said = error.message\nsaid")
    assert answer["status"] == "ok"
    assert "Nobody can be asked: neither a host without elicitation" in answer["result"]


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
    thinking, thought, times = anyio.Event(), anyio.Event(), list[str]()

    async def think(_: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        times.append(params.message.rpartition(": ")[2])
        thinking.set()
        await thought.wait()
        return accept(name="Ada")

    async with inquiring.serve(mode="legacy", elicitation_callback=think) as client:
        await act(client, "add(a=1, b=1)")  # the server has started
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
        for _ in range(2):  # and asking how it goes does not take the form away
            still = await act(client, run=early["run"], wait_seconds=0.1)
            assert still["status"] == "approval_required"
        thought.set()
        late = await act(client, run=early["run"])
    assert (late["status"], late["result"]["content"]) == ("ok", {"name": "Ada"})
    assert times == ["What is your name?"]


async def test_a_form_that_nobody_answers_keeps_no_later_one_of_the_same_person(inquiring: Home) -> None:
    speak(inquiring, "older")
    async with inquiring.serve(elicitation_callback=Person()) as client:
        left = await client.session.call_tool("run_python_actions", {"code": "greet()"}, allow_input_required=True)
        assert isinstance(left, InputRequiredResult)
        answer = await act(client, "greet()['who']['content']")
    assert (answer["status"], answer["result"]) == ("ok", {"name": "Ada"})


async def test_where_clients_cannot_be_told_apart_nobody_is_asked_what_may_be_anothers(inquiring: Home) -> None:
    speak(inquiring, "older")
    async with serving(inquiring) as address, Client(address, elicitation_callback=Person()) as one:
        left = await one.session.call_tool("run_python_actions", {"code": "greet()"}, allow_input_required=True)
        assert isinstance(left, InputRequiredResult)
        other = Person()
        async with Client(address, elicitation_callback=other) as two:
            answer = await act(two, "greet()")
    assert "several clients at once" in answer["errors"][0]["message"]
    assert other.asked == []


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
