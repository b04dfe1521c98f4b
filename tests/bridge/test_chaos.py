"""Two thousand calls to servers that are killed, frozen, slow, print garbage and exit at random."""

import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

from planact_testing import Home, act

CHAOS = Path(__file__).with_name("servers") / "chaos.py"
HABITS = ("killed", "frozen", "slow", "garbage", "exits")
PLANS, AT_ONCE, CALLS = 40, 4, 50
CALL_SECONDS = 2.0

POLICY = """
[policy]
allow = ["*.*"]
"""

PLAN = """
import asyncio

async def one(server, tool, n):
    try:
        return {"server": server, "n": (await call_tool(tool, {"n": n}, server=server))["n"] == n}
    except ToolError as error:
        return {"server": server, "named": error.server, "message": error.message}

await asyncio.gather(*(one(server, tool, n) for server in SERVERS for tool in ("echo", "peek") for n in range(5)))
"""

pytestmark = [pytest.mark.check, pytest.mark.skipif(sys.platform == "win32", reason="signals")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.configure(
        POLICY,
        **{
            habit: {
                "command": sys.executable,
                "args": ["-S", str(CHAOS), habit, str(tmp_path / f"{habit}.pid")],
                "timeout": CALL_SECONDS,
            }
            for habit in HABITS
        },
    )
    return home


async def test_no_run_is_lost_every_failure_names_its_server_and_all_are_there_at_the_end(home: Home) -> None:
    answers: list[dict[str, Any]] = []
    harmed: Counter[str] = Counter()
    code = PLAN.replace("SERVERS", repr(list(HABITS)))
    async with home.serve(within=480) as client:
        await act(client, code)
        async with anyio.create_task_group() as harm, anyio.create_task_group() as tasks:
            harm.start_soon(kill_now_and_then, home, harmed)
            harm.start_soon(freeze_now_and_then, home, harmed)
            room = anyio.Semaphore(AT_ONCE)

            async def run() -> None:
                async with room:
                    answers.append(await act(client, code, wait_seconds=120))

            for _ in range(PLANS):
                tasks.start_soon(run)
            while len(answers) < PLANS:
                await anyio.sleep(0.1)
            harm.cancel_scope.cancel()
        await all_are_there(client)
    await all_are_gone(home)

    assert Counter(answer["status"] for answer in answers) == {"ok": PLANS}
    outcomes = [outcome for answer in answers for outcome in answer["result"]]
    assert len(outcomes) == PLANS * CALLS
    failures = [outcome for outcome in outcomes if "message" in outcome]
    assert all(outcome["n"] for outcome in outcomes if outcome not in failures)
    for failure in failures:
        assert failure["named"] == failure["server"]
        assert repr(failure["server"]) in failure["message"]
    failed = Counter(failure["server"] for failure in failures)
    assert failed["garbage"] == 0, "what is printed beside messages costs no call"
    assert harmed["killed"] >= 5, "too little was tried"
    assert harmed["frozen"] >= 1, "too little was tried"
    assert failed.total() < len(outcomes) / 2, failed


async def all_are_there(client: Any) -> None:
    """Every server answers again, the frozen one after it has been found out; nobody is waited for in vain."""
    for habit in HABITS:
        with anyio.fail_after(60):
            while True:
                answer = await act(client, f"call_tool('peek', {{'n': 1}}, server={habit!r})['n']")
                if answer["status"] == "ok":
                    break
                assert f"'{habit}'" in answer["errors"][0]["message"]
                await anyio.sleep(0.3)


async def all_are_gone(home: Home) -> None:
    """Nothing outlives Planact, the frozen ones included."""
    started = [number for habit in HABITS for number in processes(home, habit)]
    with anyio.fail_after(10):
        while any(alive(number) for number in started):
            await anyio.sleep(0.05)


def alive(number: int) -> bool:
    try:
        return "chaos.py" in Path(f"/proc/{number}/cmdline").read_text()
    except OSError:
        return False


async def kill_now_and_then(home: Home, harmed: Counter[str]) -> None:
    while True:
        await anyio.sleep(random.uniform(0.2, 0.8))
        harmed["killed"] += struck(home, "killed", signal.SIGKILL)


async def freeze_now_and_then(home: Home, harmed: Counter[str]) -> None:
    while True:
        await anyio.sleep(random.uniform(2.0, 4.0))
        harmed["frozen"] += struck(home, "frozen", signal.SIGSTOP)
        await anyio.sleep(20.0)


def processes(home: Home, habit: str) -> list[int]:
    return [int(line) for line in (home.folder / f"{habit}.pid").read_text().split()]


def struck(home: Home, habit: str, how: signal.Signals) -> bool:
    """Send a signal to a server; say whether there was one."""
    try:
        os.kill(processes(home, habit)[-1], how)
    except ProcessLookupError:  # the next one is just starting
        return False
    return True
