"""What is Monty's alone: its driver, what cannot be shown, what is lost and what is not."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_server.sandbox import EngineError, Limits, PlanFault
from planact_server.sandbox.host import open_engine

pytest.importorskip("pydantic_monty", reason="Monty is not installed")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from conftest import ScriptedHost
    from planact_server.sandbox import ToolRequest
    from planact_server.sandbox.worker import JailedWorker
    from planact_tools import JSONValue

LIMITS = Limits(seconds=10)
NOBODY = str(65534 if os.name == "posix" and os.geteuid() == 0 else os.getuid())


@pytest.fixture
async def worker() -> AsyncIterator[JailedWorker]:
    engine = open_engine("monty", limits=Limits(), warm_workers=0)
    with fail_after(20):
        worker = await engine.worker()
    yield worker
    await engine.aclose()


async def test_a_key_that_takes_hours_to_hash_costs_its_own_worker_alone(
    worker: JailedWorker, host: ScriptedHost
) -> None:
    """Monty remembers the hash of a tuple, Python does not: in the server this would have been the end."""
    plan = "t = (1,)\nfor i in range(60): t = (t, t)\n{t: 1}"
    with fail_after(20):
        outcome = await worker.run(plan, host=host, limits=Limits(seconds=0.5))
    assert (outcome.status, worker.alive) == ("timeout", False)


async def test_what_python_cannot_make_is_said_to_be_that(worker: JailedWorker, host: ScriptedHost) -> None:
    with fail_after(20):
        outcome = await worker.run("class A: pass\nx = {A(): 1}\ny = 2", host=host, limits=LIMITS)
        sent = await worker.run("tool(value=x)", host=host, limits=LIMITS)
    shown = outcome.variables["x"]
    assert outcome.status == "ok"
    assert outcome.variables["y"] == 2
    assert isinstance(shown, dict)
    assert "cannot be shown: unhashable type" in str(shown["repr"])
    assert (sent.status, sent.errors[0].type) == ("error", "TypeError")
    assert host.requests == []


async def test_a_class_beside_its_instance_is_two_variables(worker: JailedWorker, host: ScriptedHost) -> None:
    with fail_after(20):
        outcome = await worker.run("class A:\n    x = 1\na = A()\na.x += 1", host=host, limits=LIMITS)
    assert (outcome.status, outcome.functions) == ("ok", ("A",))
    assert outcome.variables == {"a": {"$type": "A", "repr": "<A object>"}}


@pytest.mark.parametrize("plan", ["class A: pass\n[A, A()]", "class A: pass\nx = {'kind': A, 'one': A()}\nx['one']"])
async def test_a_class_in_one_value_with_its_instance_is_named_as_the_cause(
    worker: JailedWorker, host: ScriptedHost, plan: str
) -> None:
    """A mistake in Monty ends the interpreter; whoever wrote the plan learns what to write instead."""
    with fail_after(20):
        outcome = await worker.run(plan, host=host, limits=LIMITS)
    assert outcome.status == "error"
    assert "holds a class beside an instance of it, as in [A, A()]" in str(outcome.worker_lost)
    assert not worker.alive


async def test_what_is_too_large_to_be_sent_stays_in_the_session(worker: JailedWorker, host: ScriptedHost) -> None:
    """To be read, a value is in Monty's memory twice, for which it would be ended."""
    plan = "rows = []\nfor n in range(1_000_000): rows.append([n])\nsmall = 1"
    with fail_after(60):
        outcome = await worker.run(plan, host=host, limits=Limits(seconds=40))
        after = await worker.run("len(rows)", host=host, limits=LIMITS)
    assert (outcome.status, outcome.variables["small"]) == ("ok", 1)
    assert "too large to be sent" in str(outcome.variables["rows"])
    assert after.result == 1_000_000


@pytest.mark.parametrize("value", ["list(range(3_000_000))", "[[1] * 1_000 for _ in range(3_000)]"])
async def test_a_result_that_is_too_large_to_be_sent_costs_nobody_the_session(
    worker: JailedWorker, host: ScriptedHost, value: str
) -> None:
    with fail_after(60):
        outcome = await worker.run(f"kept = 7\n{value}", host=host, limits=LIMITS)
        after = await worker.run("kept", host=host, limits=LIMITS)
    assert (outcome.status, outcome.variables, outcome.worker_lost) == ("ok", {"kept": 7}, None)
    assert "too large to be sent" in str(outcome.result)
    assert after.result == 7


@pytest.mark.parametrize("ending", ["1, x", "(\n  [1,  # and\n   x])", "y = 3; (x)", "*[1], x", '"""x"""'])
async def test_the_last_value_is_the_result_however_it_is_written(
    worker: JailedWorker, host: ScriptedHost, ending: str
) -> None:
    with fail_after(20):
        outcome = await worker.run(f"x = 2\n{ending}", host=host, limits=LIMITS)
    assert (outcome.errors, outcome.result) == ((), {"y = 3; (x)": 2, '"""x"""': "x"}.get(ending, [1, 2]))


async def test_a_caught_tool_error_has_its_facts(worker: JailedWorker, host: ScriptedHost) -> None:
    async def refuse(request: ToolRequest) -> None:
        raise PlanFault("no", type="ToolError", server="s", tool="tool", arguments=dict(request.keywords))

    host.tool = refuse
    plan = "try:\n    tool(value=1)\nexcept ToolError as e:\n    x = [e.message, e.server, e.tool, e.arguments]\nx"
    with fail_after(20):
        outcome = await worker.run(plan, host=host, limits=LIMITS)
    assert outcome.result == ["no", "s", "tool", {"value": 1}]


async def test_a_picture_inside_a_value_is_what_the_host_knows_it_by(
    worker: JailedWorker, scripted_host: type[ScriptedHost]
) -> None:
    picture = {"$planact": "image", "id": "p1", "mime": "image/png", "size": 9}

    async def mixed(_: ToolRequest) -> JSONValue:
        return ["see", picture]

    with fail_after(20):
        outcome = await worker.run("r = tool(value=1)\n[r, r[1].mime]", host=scripted_host(mixed), limits=LIMITS)
    assert (outcome.errors, outcome.result) == ((), [["see", picture], "image/png"])


async def test_a_large_text_inside_a_result_is_fetched_whole(
    worker: JailedWorker, scripted_host: type[ScriptedHost]
) -> None:
    class Library(scripted_host):
        async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
            return "naïve 🙂"[int(str(arguments["start"])) :][:3] if helper == "text" else None

    async def read(_: ToolRequest) -> JSONValue:
        return {"pages": [{"$planact": "text", "id": "t1", "size": 7}]}

    with fail_after(20):
        outcome = await worker.run('tool(value=1)["pages"][0][::-1]', host=Library(read), limits=LIMITS)
    assert (outcome.errors, outcome.result) == ((), "🙂 evïan")


async def test_a_long_text_is_measured_as_it_is_sent(worker: JailedWorker, host: ScriptedHost) -> None:
    with fail_after(20):
        outcome = await worker.run("tool(value='\\n' * 9_000_000)", host=host, limits=LIMITS)
    assert ([error.type for error in outcome.errors], host.requests, worker.alive) == (["ValueError"], [], True)


async def test_the_place_of_an_error_is_the_sources_own(worker: JailedWorker, host: ScriptedHost) -> None:
    """Something was put into this line for Monty; whoever reads the error has never seen that."""
    plan = "try:\n    1 / 0\nexcept Exception as e:\n    [e.message, None[0]]"
    with fail_after(20):
        outcome = await worker.run(plan, host=host, limits=LIMITS)
    (error,) = outcome.errors
    assert (error.type, error.line, error.column) == ("TypeError", 4, 17)
    assert error.code_line == "[e.message, None[0]]"


async def test_functions_come_back_from_their_source(worker: JailedWorker, host: ScriptedHost) -> None:
    definitions = {"json": "import json", "f": "def f(n):\n    return json.dumps([n])", "g": "g = tool(1)"}
    with fail_after(20):
        lost = await worker.restore({"x": 3}, definitions)
        outcome = await worker.run("f(x)", host=host, limits=LIMITS)
    assert lost == ("g",)
    assert (outcome.result, host.requests) == ("[3]", [])


async def test_calls_that_are_bound_are_observed(worker: JailedWorker, host: ScriptedHost) -> None:
    plan = "a = tool(value=1)\nb, c = tool(value=2), 3\nd = {}\nd['k'] = tool(value=4)\ne, f = tool(value=5)"
    with fail_after(20):
        outcome = await worker.run(plan, host=host, limits=LIMITS)
    assert (outcome.status, outcome.errors[0].line) == ("error", 5)
    assert dict(outcome.bindings) == {1: ("a",), 2: ("b",), 3: ("d",)}
    assert [request.line for request in host.requests] == [1, 2, 4, 5]


async def test_a_plan_that_computes_too_long_ends_with_status_limit(worker: JailedWorker, host: ScriptedHost) -> None:
    with fail_after(20):
        outcome = await worker.run("while True: pass", host=host, limits=Limits(seconds=15, cpu_seconds=0.2))
    assert outcome.status == "limit"


async def test_a_plan_that_prints_without_end_ends_with_status_limit(worker: JailedWorker, host: ScriptedHost) -> None:
    limits = Limits(seconds=15, output_bytes=2_000)
    with fail_after(20):
        outcome = await worker.run('while True: print("y" * 100)', host=host, limits=limits)
    assert (outcome.status, outcome.errors[0].message) == ("limit", "The plan printed more than 2,000 bytes.")
    assert len(outcome.output) == 2_000


async def test_a_worker_whose_memory_a_plan_has_filled_is_lost_when_that_is_told(
    worker: JailedWorker, host: ScriptedHost
) -> None:
    plan = 'kept = []\nwhile True:\n  try:\n    kept.append("x" * 100_000)\n  except MemoryError:\n    pass'
    with fail_after(20):
        outcome = await worker.run(plan, host=host, limits=LIMITS)
    assert (outcome.status, outcome.worker_lost is not None, worker.alive) == ("limit", True, False)


async def test_without_the_package_the_engine_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    monkeypatch.setattr("planact_server.sandbox.monty.source.is_installed", lambda: False)
    engine = open_engine("monty", limits=Limits(), warm_workers=0)
    with pytest.raises(EngineError, match=r"pip install 'planact\[monty\]'"):
        await engine.worker()
    await engine.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="this jail is Linux's")
async def test_the_driver_is_jailed_too(worker: JailedWorker) -> None:
    """It reads what a plan makes up; it has started Monty by then and needs nothing but its streams."""
    driver = Path(f"/proc/{worker.pid}")
    threads = [(each / "status").read_text() for each in (driver / "task").iterdir()]
    filtered = [re.findall(r"^(?:NoNewPrivs|Seccomp|Uid):\s+(\d+)", status, re.MULTILINE) for status in threads]
    held = {re.sub(r"\d+", "", str(fd.readlink())) for fd in (driver / "fd").iterdir()}
    limits = (driver / "limits").read_text()

    assert worker.layers["driver"] is True
    assert len(threads) > 1
    assert filtered == [[NOBODY, "1", "2"]] * len(threads)
    assert list((driver / "root").iterdir()) == []
    assert (driver / "environ").read_bytes() == b""
    assert "Max open files            0                    0" in limits
    events = {f"anon_inode:[{kind}]" for kind in ("eventpoll", "eventfd", "pidfd")}
    assert held <= {"socket:[]", "pipe:[]", "/dev/null", "//statm", *events}
