"""What a worker may do to its host: nothing. Each test drives a raw process through the real Worker class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import fail_after

from planact_server.sandbox import Limits, Outcome, PlanError
from planact_server.sandbox.plan_run import LOST_HINT

if TYPE_CHECKING:
    from conftest import ScriptedHost
    from planact_server.sandbox.worker import JailedWorker

LIMITS = Limits(seconds=5, output_bytes=1000, calls=3, calls_in_flight=2, frame_bytes=100_000)

BREAKS = {
    "no JSON": ("send_body(b'{')", "no JSON"),
    "no object": ("send_body(b'[]')", "no object"),
    "no UTF-8": ("send_body(b'\"\\xff\"')", "no UTF-8"),
    "half a character": ("""send_body(b'{"type": "output", "text": "\\\\ud800"}')""", "no UTF-8"),
    "NaN": ("done(result=float('nan'))", "NaN is no JSON number"),
    "infinity by overflow": ("""send_body(b'{"type": "output", "text": 1e999}')""", "too large for a number"),
    "deeper nesting": ("send_body(b'[' * 500 + b']' * 500)", "nested deeper"),
    "very deep nesting": ("send_body(b'[' * 40_000 + b']' * 40_000)", "nested deeper"),
    "an unknown type": ("send(type='exec')", "malformed frame"),
    "no type": ("send(text='x')", "malformed frame"),
    "a type that is no string": ("send(type=['call'])", "malformed frame"),
    "a frame out of place": ("send(type='restored')", "while a plan was running"),
    "a second ready": ("send(type='ready', pid=1, layers={})", "while a plan was running"),
    "an unknown key": ("send(type='output', text='x', more=1)", "malformed frame: output.more"),
    "a forged key": ("done(has_result=True)", "unknown key 'has_result'"),
    "a boolean for a number": ("send(type='bound', call=True, names=['x'])", "malformed frame: bound.call"),
    "a string for a number": ("send(type='bound', call='1', names=['x'])", "malformed frame: bound.call"),
    "a name that is none": ("done(variables={'a b': 1})", "not a Python name"),
    "a dunder in disguise": ("done(deleted=['x.y'])", "not a Python name"),
    "an id again": ("ask('progress')\nids = itertools.count(1)\nask('progress')", "used the id 1 again"),
    "a call out of order": ("call(2)", "sent call 2 where 1 was next"),
    "a call again": ("call(1)\ncall(1)", "sent call 1 where 2 was next"),
    "a binding of no call": ("send(type='bound', call=1, names=['x'])", "it has made 0"),
    "a call that binds itself": ("call(1, bound=[[1, ['x']]])", "it has made 0"),
    "a call left that was never made": ("call(1)\nsend(type='leave', calls=[1, 2])", "left call 2; it has made 1"),
    "empty output": ("send(type='output', text='')", "malformed frame: output.text"),
    "doubts without end": (
        "send(type='doubts', doubts=[{'type': 'E', 'message': 'm'}] * 31)",
        "malformed frame: doubts",
    ),
    "a doubt that says nothing": ("send(type='doubts', doubts=[{'type': 'E'}])", "malformed frame: doubts.doubts.0"),
    "a status of its own": ("done(status='running')", "malformed frame: done.status"),
}


async def test_a_worker_that_doubts_again_and_again_is_heard_up_to_a_bound(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    source = "for _ in range(50):\n    send(type='doubts', doubts=[{'type': 'E', 'message': 'm'}] * 7)\ndone()"
    with fail_after(20):
        outcome = await raw_worker.run(source, host=host, limits=LIMITS)
    assert (outcome.status, len(outcome.doubts)) == ("ok", 30)


@pytest.mark.parametrize(("source", "reason"), BREAKS.values(), ids=BREAKS)
async def test_a_worker_that_breaks_the_protocol_is_killed_and_the_plan_says_so(
    raw_worker: JailedWorker, host: ScriptedHost, source: str, reason: str
) -> None:
    source = f"send(type='output', text='before')\n{source}\nreceive()"
    with fail_after(20):
        outcome = await raw_worker.run(source, host=host, limits=LIMITS)

    assert (outcome.status, outcome.output, raw_worker.alive) == ("error", "before", False)
    assert outcome.worker_lost is not None
    assert reason in outcome.worker_lost
    assert [(error.type, error.message) for error in outcome.errors] == [("WorkerLost", outcome.worker_lost)]


FLOODS = {
    "one huge frame": ("write(struct.pack('>I', 1 << 31) + b'x' * 10_000)", "announced a frame of 2,147,483,648 bytes"),
    "output": ("while True: send(type='output', text='x' * 100)", "printed more than 1,000 bytes"),
    "calls": ("for number in range(1, 9): call(number)", "went on after its 3 tool calls"),
    "names": ("for n in range(9): send(type='resolve', id=n + 1, names=['x'] * 9000)", "20,000 names"),
    "bindings": ("call(1)\nwhile True: send(type='bound', call=1, names=['x'] * 90)", "too many names"),
    "carried bindings": (
        "for n in range(1, 9): call(n, bound=[[n - 1, ['x'] * 90]] if n > 1 else [])",
        "too many names",
    ),
    "values": ("send_body(b'[' + b'0,' * 400_001 + b'0]')", "more than 400,000 values"),
    "bytes": ("while True: ask('progress', text='x' * 90_000)", "more than 6,"),
}


@pytest.mark.parametrize(("source", "reason"), FLOODS.values(), ids=FLOODS)
async def test_a_worker_that_floods_its_host_is_killed_with_status_limit(
    raw_worker: JailedWorker, host: ScriptedHost, source: str, reason: str
) -> None:
    limits = LIMITS if "values" not in reason else Limits(seconds=5)
    with fail_after(20):
        outcome = await raw_worker.run(f"{source}\nreceive()", host=host, limits=limits)

    assert (outcome.status, raw_worker.alive) == ("limit", False)
    assert outcome.worker_lost is not None
    assert reason in outcome.worker_lost
    assert len(outcome.output) <= LIMITS.output_bytes


ENDS = {
    "an exit": ("os._exit(3)", Outcome(status="error", worker_lost="The worker ended with code 3.")),
    "a traceback": (
        "1 / 0",
        Outcome(status="error", worker_lost="The worker ended with code 1: ZeroDivisionError: division by zero"),
    ),
    "a crash": ("os.abort()", Outcome(status="error", worker_lost="The worker was ended by SIGABRT.")),
    "CPU time": (
        "os.kill(os.getpid(), 24)",
        Outcome(status="limit", worker_lost="The worker was ended by SIGXCPU: it has used up its CPU time."),
    ),
    "hanging up": ("os.close(1)\nos._exit(0)", Outcome(status="error", worker_lost="The worker ended with code 0.")),
}


@pytest.mark.parametrize(("source", "expected"), ENDS.values(), ids=ENDS)
async def test_a_worker_that_dies_leaves_its_output_and_the_reason(
    raw_worker: JailedWorker, host: ScriptedHost, source: str, expected: Outcome
) -> None:
    with fail_after(20):
        outcome = await raw_worker.run(f"send(type='output', text='before')\n{source}", host=host, limits=LIMITS)

    assert (outcome.status, outcome.output, outcome.worker_lost) == (expected.status, "before", expected.worker_lost)
    assert not raw_worker.alive


async def test_a_call_under_way_is_cancelled_when_the_worker_dies(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    cancelled = anyio.Event()

    async def never(_: object) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    host.tool = never
    with fail_after(20):
        outcome = await raw_worker.run("call(1)\nsend(type='output', text='x')\nos._exit(3)", host=host, limits=LIMITS)

    assert cancelled.is_set()
    assert (outcome.status, outcome.output) == ("error", "x")


async def test_a_worker_that_speaks_while_no_plan_runs_is_killed(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    with fail_after(20):
        await raw_worker.run("done()\nsend(type='output', text='late')", host=host, limits=LIMITS)
        await raw_worker._connection.closed
        outcome = await raw_worker.run("done()", host=host, limits=LIMITS)

    lost = "The worker sent a 'output' frame that nobody asked for."
    assert not raw_worker.alive
    assert outcome.worker_lost == lost
    assert outcome.output == ""


@pytest.mark.usefixtures("short_grace")
async def test_a_worker_that_never_reads_blocks_nobody_and_ends_at_the_deadline(
    raw_worker: JailedWorker, host: ScriptedHost, scripted_host: type[ScriptedHost]
) -> None:
    """Its answers fill the pipe. The loop goes on, no more of its questions are taken, and the clock runs."""

    async def large(_: object) -> str:
        return "x" * 90_000

    host.tool = large
    limits = Limits(seconds=0.3, calls_in_flight=2, frame_bytes=100_000)
    source = "for number in range(1, 900): call(number, 'tool', 'x' * 10_000)\nreceive()"
    with fail_after(20):
        outcome = await raw_worker.run(source, host=host, limits=limits)

    assert outcome.status == "timeout"
    assert outcome.worker_lost == "The plan did not stop at its deadline of 0.3 s; its worker was killed."
    assert len(host.requests) < 20


@pytest.mark.usefixtures("short_grace")
async def test_a_worker_that_ignores_its_deadline_is_killed(raw_worker: JailedWorker, host: ScriptedHost) -> None:
    source = "send(type='output', text='before')\nwhile True: pass"
    with fail_after(20):
        outcome = await raw_worker.run(source, host=host, limits=Limits(seconds=0.1))

    lost = "The plan did not stop at its deadline of 0.1 s; its worker was killed."
    error = PlanError(type="WorkerLost", message=lost, hint=LOST_HINT)
    assert outcome == Outcome(status="timeout", errors=(error,), output="before", worker_lost=lost)


@pytest.mark.usefixtures("short_grace")
async def test_a_worker_that_ignores_being_interrupted_is_killed_after_a_grace(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    source = "import signal\nsignal.signal(signal.SIGUSR1, signal.SIG_IGN)\ncall(1)\nwhile True: pass"

    async def interrupt(_: object) -> None:
        await raw_worker.interrupt()

    host.tool = interrupt
    with fail_after(20):
        outcome = await raw_worker.run(source, host=host, limits=LIMITS)

    assert outcome.status == "cancelled"
    assert outcome.worker_lost == "The plan did not stop within 0.2 s of being cancelled; its worker was killed."


async def test_a_loss_after_the_last_word_keeps_what_the_plan_said(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    with fail_after(20):
        outcome = await raw_worker.run("done(result=None)\nsend(type='done')", host=host, limits=LIMITS)

    assert (outcome.status, outcome.has_result, outcome.result) == ("ok", True, None)
