"""What a plan asks of its host, and how the budgets of one plan hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import fail_after

from planact_server.sandbox import LimitReached, Limits, Outcome, PlanError, PlanFault, ToolRequest

if TYPE_CHECKING:
    from conftest import ScriptedHost
    from planact_server.sandbox.worker import JailedWorker
    from planact_tools import JSONValue

LIMITS = Limits(seconds=5, output_bytes=1000, calls=3, calls_in_flight=2, frame_bytes=100_000)

ANSWERED = "answer = receive()\nanswer.pop('type')\ndone(result=answer)"


async def result(worker: JailedWorker, source: str, host: ScriptedHost, limits: Limits = LIMITS) -> JSONValue:
    with fail_after(20):
        outcome = await worker.run(source, host=host, limits=limits)
    assert (outcome.status, outcome.errors) == ("ok", ())
    return outcome.result


async def test_a_call_reaches_the_host_as_it_was_made(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    source = (
        "send(type='call', id=7, call=1, server=None, tool='a-b', raw=True, positional=[1],"
        f" keywords={{'k': [None]}}, line=3)\n{ANSWERED}"
    )
    assert await result(raw_worker, source, host) == {"id": 7, "value": [1, [None]]}
    assert host.requests == [
        ToolRequest(call=1, server=None, tool="a-b", raw=True, positional=[1], keywords={"k": [None]}, line=3)
    ]


async def test_names_are_resolved_and_each_gets_an_answer(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    async def only_known(names: object) -> dict[str, object]:
        return {}

    source = f"send(type='resolve', id=1, names=['f', 'g.h'])\n{ANSWERED}"
    found = await result(raw_worker, source, host)
    host.resolve = only_known
    missing = await result(raw_worker, source.replace("id=1", "id=2"), host)

    tool = {"kind": "tool", "server": "s", "parameters": ["value"], "aliases": [], "open_keywords": False}
    assert found == {"id": 1, "value": {"f": {**tool, "tool": "f"}, "g.h": {**tool, "tool": "g.h"}}}
    nothing = {"kind": "missing", "hint": ""}
    assert missing == {"id": 2, "value": {"f": nothing, "g.h": nothing}}


async def test_a_helper_is_asked(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    answer = await result(raw_worker, f"ask('progress', text='half', fraction=0.5)\n{ANSWERED}", host)

    assert answer == {"id": 1, "value": None}
    assert host.asked == [("progress", {"text": "half", "fraction": 0.5})]


async def test_calls_run_at_the_same_time_and_those_above_the_limit_wait(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    running = most = 0
    second = anyio.Event()

    async def meet(request: ToolRequest) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if request.call == 2:
            second.set()
        await second.wait()
        running -= 1
        return request.call

    host.tool = meet
    source = "for n in range(1, 10): call(n)\ndone(result=sorted(receive()['value'] for _ in range(9)))"
    limits = Limits(seconds=5, calls=9, calls_in_flight=2)
    assert await result(raw_worker, source, host, limits) == list(range(1, 10))
    assert most == 2


async def test_a_fault_reaches_the_plan_with_everything_that_is_known(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    async def refuse(_: ToolRequest) -> None:
        raise PlanFault("no", type="TypeError", hint="try", parameter="p", server="s", tool="t", arguments={"p": 1})

    host.tool = refuse
    assert await result(raw_worker, f"call(1)\n{ANSWERED}", host) == {
        "id": 1,
        "error": {
            "type": "TypeError",
            "message": "no",
            "hint": "try",
            "parameter": "p",
            "server": "s",
            "tool": "t",
            "arguments": {"p": 1},
        },
    }


async def test_a_fault_too_large_to_send_goes_without_its_arguments(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    async def refuse(_: ToolRequest) -> None:
        raise PlanFault("no" * 10_000, type="ToolError", tool="t", arguments={"p": "x" * 200_000})

    host.tool = refuse
    answer = await result(raw_worker, f"call(1)\n{ANSWERED}", host)
    assert answer == {"id": 1, "error": {"type": "ToolError", "message": "no" * 5_000, "tool": "t"}}


async def test_an_answer_too_large_is_a_tool_error_that_says_what_to_do(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    async def large(_: ToolRequest) -> str:
        return "x" * 100_000

    host.tool = large
    assert await result(raw_worker, f"call(1)\n{ANSWERED}", host) == {
        "id": 1,
        "error": {
            "type": "ToolError",
            "message": "The answer of 's.tool' is 100,035 bytes large; a plan can take 100,000 at once.",
            "hint": "Ask for less: a filter, a range, a page, fewer fields.",
            "server": "s",
            "tool": "tool",
            "function": "s.tool",
        },
    }


@pytest.mark.parametrize("bad", [b"bytes", object()])
async def test_a_host_that_fails_is_logged_and_the_plan_goes_on(
    raw_worker: JailedWorker, host: ScriptedHost, caplog: pytest.LogCaptureFixture, bad: object
) -> None:
    async def broken(request: ToolRequest) -> JSONValue:
        return {1: bad, 2: 1 / (request.call - 2)}[request.call]  # type: ignore[dict-item]

    host.tool = broken
    answers = await result(raw_worker, "call(1)\nfirst = receive()\ncall(2)\ndone(result=[first, receive()])", host)

    error = {"type": "ToolError", "message": "internal error", "function": "s.tool"}
    assert answers == [{"type": "answer", "id": n, "error": error} for n in (1, 2)]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


async def test_half_a_character_in_an_answer_arrives_as_a_question_mark(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    async def half(_: ToolRequest) -> str:
        return "a\ud800b"

    host.tool = half
    assert await result(raw_worker, f"call(1)\n{ANSWERED}", host) == {"id": 1, "value": "a?b"}


async def test_the_call_above_the_budget_ends_the_plan_and_does_not_reach_the_host(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    source = "for n in range(1, 5): call(n)\ndone(result=[list(receive())[-1] for _ in range(4)][-1:])"
    assert await result(raw_worker, source, host) == ["limit"]
    assert [request.call for request in host.requests] == [1, 2, 3]


async def test_a_limit_of_the_host_ends_the_plan(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    async def enough(_: ToolRequest) -> None:
        raise LimitReached("enough")

    host.tool = enough
    assert await result(raw_worker, f"call(1)\n{ANSWERED}", host) == {"id": 1, "limit": "enough"}


async def test_a_helper_given_too_much_is_refused(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    source = f"ask('search_tools', words='x' * 2_000_000)\n{ANSWERED}"
    answer = await result(raw_worker, source, host, Limits(seconds=5))

    message = "search_tools() was given 2,000,078 bytes; 1,048,576 are allowed."
    error = {"type": "ValueError", "message": message, "function": "search_tools"}
    assert answer == {"id": 1, "error": error}
    assert host.asked == []


async def test_output_and_bindings_are_kept_and_output_ends_at_its_budget(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    source = """
call(1); receive(); call(2, bound=[[1, ['w']]]); receive()
send(type='bound', call=2, names=['z', 'k'])
send(type='output', text='é' * 400)
send(type='bound', call=1, names=['x'])
send(type='bound', call=2, names=['z', 'y'])
send(type='output', text='é' * 400)
done(status='limit', errors=[{'type': 'LimitReached', 'message': 'output', 'line': 3}], variables={'z': [1]},
     deleted=['old'], functions=['f'], truncated={'big': 7})
"""
    with fail_after(20):
        outcome = await raw_worker.run(source, host=host, limits=LIMITS)

    assert outcome == Outcome(
        status="limit",
        errors=(PlanError(type="LimitReached", message="output", line=3),),
        output="é" * 500,
        variables={"z": [1]},
        deleted=("old",),
        functions=("f",),
        bindings={2: ("z", "k", "y"), 1: ("w", "x")},
        truncated={"big": 7},
    )


async def test_a_worker_runs_many_plans_and_its_ids_never_begin_again(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    assert [await result(raw_worker, f"call(1)\n{ANSWERED}", host) for _ in range(3)] == [
        {"id": n, "value": []} for n in (1, 2, 3)
    ]
    with fail_after(20):
        outcome = await raw_worker.run("ids = itertools.count(1)\ncall(1)\nreceive()", host=host, limits=LIMITS)
    assert outcome.worker_lost == "The worker used the id 1 again."


async def test_a_plan_that_ends_first_leaves_no_call_behind(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    cancelled = anyio.Event()

    async def never(_: ToolRequest) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    host.tool = never
    assert (
        await result(raw_worker, "for n in (1, 2, 3): call(n)\nask('progress')\nreceive()\ndone(result=1)", host) == 1
    )
    assert [request.call for request in host.requests] == [1, 2]
    assert cancelled.is_set()
    assert raw_worker.alive


async def test_a_call_that_the_plan_has_left_is_cancelled_and_its_turn_is_free(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    cancelled: list[int] = []

    async def first_ones_hang(request: ToolRequest) -> int:
        try:
            await anyio.sleep(0 if request.call == 4 else 60)
        except anyio.get_cancelled_exc_class():
            cancelled.append(request.call)
            raise
        return request.call

    host.tool = first_ones_hang
    # The third waits for its turn, and never gets it; leaving again, or what has its answer, changes nothing.
    source = (
        "for n in (1, 2, 3): call(n)\nask('progress')\nreceive()\nsend(type='leave', calls=[3, 1, 1, 2])\n"
        "call(4)\nanswer = receive()\nsend(type='leave', calls=[4])\ndone(result=[answer['id'], answer['value']])"
    )
    limits = Limits(seconds=5, calls=9, calls_in_flight=2)
    assert await result(raw_worker, source, host, limits) == [5, 4]
    assert [request.call for request in host.requests] == [1, 2, 4]
    assert sorted(cancelled) == [1, 2]


async def test_a_second_plan_at_the_same_time_is_a_mistake_of_the_caller(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    refusals: list[str] = []

    async def run_again(_: ToolRequest) -> None:
        for attempt in (raw_worker.run("done()", host=host, limits=LIMITS), raw_worker.restore({})):
            with pytest.raises(RuntimeError) as caught:
                await attempt
            refusals.append(str(caught.value))

    host.tool = run_again
    await result(raw_worker, f"call(1)\n{ANSWERED}", host)
    assert refusals == ["This worker is running a plan; a session runs one at a time."] * 2


async def test_a_source_that_cannot_be_run_is_not_sent(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    with fail_after(20):
        half = await raw_worker.run("x = 1\ny = '\ud800'", host=host, limits=LIMITS)
        long = await raw_worker.run("#" * 11, host=host, limits=Limits(source_bytes=10))

    assert half == Outcome(
        status="refused",
        errors=(PlanError(type="SyntaxError", message="The source holds half a character (a surrogate).", line=2),),
    )
    assert long == Outcome(
        status="limit",
        errors=(
            PlanError(
                type="LimitReached",
                message="The plan is 11 bytes long; 10 are allowed.",
                hint="Split it into several plans.",
            ),
        ),
    )
    assert raw_worker.alive


async def test_large_values_travel_both_ways(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    """Many times what a pipe holds, so both sides have to wait for each other."""
    text = json.dumps(list(range(300_000)))
    source = f"call(1, 'tool', '{text}')\ndone(result=receive()['value'] == ['{text}'])"
    assert await result(raw_worker, source, host, Limits(seconds=10, source_bytes=8_000_000)) is True
