"""A worker that dies in the middle of a plan is a result: what was called and printed, why, and what comes back."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from planact_server.sandbox import Limits
from planact_server.sandbox.plan_run import LOST_HINT
from planact_server.sandbox.worker import JailedWorker
from planact_server.sandbox.zygote_source import ZygoteSource
from planact_tools import JSONObject, ToolDefinition
from server.task_bench import Bench, bench

if sys.platform != "linux":
    pytest.skip("signals, and what the system says of them", allow_module_level=True)

FIRST = "n = 1\ndef f():\n    return n + 1\nclass Box:\n    pass\nbox = Box()"
BEFORE = "n = 99\nprint('before')\nprice('tea')\n"


@dataclass(frozen=True)
class Death:
    """How a worker dies, what the answer says, and whether the plan's own end could still be told."""

    code: str
    status: str
    reason: str
    number: int | None = None
    limits: Limits = field(default_factory=lambda: Limits(seconds=10))
    told: bool = False


DIE = "die('now')\nwhile True:\n    price('tea')"
DEATHS = {
    "killed from outside": Death(DIE, "error", "ended by SIGKILL, from outside", signal.SIGKILL),
    "its zygote": Death(DIE, "error", "forked from was ended by SIGKILL", 0),
    "deaf to its deadline": Death("sum(range(10**13))", "timeout", "deadline of 0.3 s", limits=Limits(seconds=0.3)),
    "deaf to its CPU budget": Death(
        "sum(range(10**13))", "limit", "0.3 s of CPU time", limits=Limits(seconds=20, cpu_seconds=0.3)
    ),
    "swallows its stop": Death(
        "while True:\n    try:\n        while True:\n            pass\n    finally:\n        continue",
        "timeout",
        "ran longer than 0.3 s",
        limits=Limits(seconds=0.3),
        told=True,
    ),
    "fills its memory": Death(
        "hoard = []\nwhile True:\n    hoard.append('x' * 1_000_000 + str(len(hoard)))",
        "limit",
        "",
        limits=Limits(seconds=20, memory_bytes=64 * 2**20),
        told=True,
    ),
}


async def killing(here: Bench, death: Death) -> None:
    """Give the shop a tool that the worker does not survive."""

    def die(_: JSONObject) -> str:
        [worker] = [each.worker for each in here.sessions._sessions.values()]
        assert isinstance(worker, JailedWorker)
        source = here.sessions._engine._source  # type: ignore[attr-defined]
        assert isinstance(source, ZygoteSource)
        pid = source.zygote_pid if death.number == 0 else worker.pid
        os.kill(cast("int", pid), signal.SIGKILL if death.number == 0 else cast("int", death.number))
        return "too late"

    text = {"type": "object", "properties": {"how": {"type": "string"}}, "required": ["how"]}
    here.shop.add(ToolDefinition(name="die", input_schema=text, read_only=True), die)


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
async def test_its_plan_has_an_answer_and_the_session_goes_on(death: Death, monkeypatch: pytest.MonkeyPatch) -> None:
    if not death.told:
        monkeypatch.setattr("planact_server.sandbox.worker.GRACE_SECONDS", 0.2)
    async with bench(limits=death.limits) as here:
        await killing(here, death)
        first = await here.ask(code=FIRST)
        session = first["session"]
        answer = await here.ask(session=session, code=BEFORE + death.code)
        after = await here.ask(session=session, code="[n, f()]")
        later = await here.ask(session=session, code="n")

    assert first["status"] == "ok"
    assert answer["status"] == death.status, answer["errors"]
    assert answer["output"] == "before\n"
    made = [(call["function"], call.get("value")) for call in answer["calls"]]
    assert made[0] == ("price", 7)
    error = answer["errors"][0]
    assert death.reason in error["message"]
    n = check_what_came_back(death, error, after)
    assert (after["status"], after["result"]) == ("ok", [n, n + 1])
    assert "recovered" not in later


def check_what_came_back(death: Death, error: dict[str, Any], after: dict[str, Any]) -> int:
    """Return the value of `n` that the session goes on with."""
    if error["type"] == "WorkerLost":
        assert error["hint"] == LOST_HINT
        assert after["recovered"] == {"kept": ["n", "f", "Box"], "lost": ["box"]}
        return 1
    assert death.told
    if "recovered" in after:
        assert {"n", "f", "Box"} <= set(after["recovered"]["kept"])
        assert "box" in after["recovered"]["lost"]
    return 99


FLOODS = {
    "output": ("while True:\n    print('x' * 1000)", Limits(output_bytes=50_000)),
    "calls": ("while True:\n    price('tea')", Limits(calls=5)),
}


@pytest.mark.parametrize(("code", "limits"), FLOODS.values(), ids=FLOODS)
async def test_a_flood_ends_the_plan_and_spares_the_worker(code: str, limits: Limits) -> None:
    async with bench(limits=limits) as here:
        first = await here.ask(code=FIRST)
        answer = await here.ask(session=first["session"], code=BEFORE + code)
        after = await here.ask(session=first["session"], code="[n, f(), type(box) is Box]")
    assert (answer["status"], answer["calls"][0]["value"]) == ("limit", 7)
    assert answer["output"].startswith("before\n")
    assert (after["result"], "recovered" in after) == ([99, 100, True], False)
