"""A task through the protocol, written by a model server of the test, which may do anything."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client

from planact_testing import Home, act
from quantized.model_server import Exchange, Handler, ModelServer, serving  # noqa: TID251 - a folder of tests

TOML = """
packs = ["calendar"]
[policy]
allow = ["calendar.*"]
[planner]
backend = "openai"
base_url = "{url}"
model = "tiny"
candidates = 0
attempts = 2
seconds = {seconds}
"""

SLOT = '{"day": "2031-12-01", "start_time": "10:00", "end_time": "12:00"}'
BOOK = f"made = make_appointment(**{SLOT}, title='Meeting')"


@asynccontextmanager
async def assistant(home: Home, *, seconds: float = 20.0) -> AsyncIterator[tuple[Client, ModelServer]]:
    async with serving() as model:
        home.configure(TOML.format(url=model.url, seconds=seconds))
        (home.folder / "mcp.json").write_text('{"mcpServers": {}}')
        async with home.serve(within=90) as client:
            yield client, model


def says(*texts: str) -> Handler:
    left = list(texts)

    async def write(exchange: Exchange) -> None:
        await exchange.says(left.pop(0) if left else "nothing more")

    return write


def fenced(plan: str) -> str:
    return f"```python\n{plan}\n```"


async def test_a_write_is_made_once_however_often_its_plan_is_repaired(home: Home) -> None:
    async with assistant(home) as (client, model):
        model.chat(says(fenced(f"{BOOK}\nmade['nothing']"), fenced(f"{BOOK}\nmade['title']")))
        answer = await act(client, task="Book a meeting.")
        listed = await act(client, f"check_availability(**{SLOT})")
        count = await act(client, "len(list_appointments(day='2031-12-01'))")
    assert (answer["status"], answer["result"]) == ("ok", "Meeting")
    assert [each["errors"][0]["type"] if each["errors"] else None for each in answer["attempts"]] == ["KeyError", None]
    assert [call.get("reused") for call in answer["calls"]] == [True]
    assert answer["usage"]["model"] == "tiny"
    assert (listed["result"], count["result"]) == (False, 1)


async def test_progress_reaches_the_host_while_a_plan_is_written(home: Home) -> None:
    told: list[str] = []

    async def heard(_progress: float, _total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with assistant(home) as (client, model):
        model.chat(says(fenced("1 + 1")))
        result = await client.call_tool("run_python_actions", {"task": "Add."}, progress_callback=heard)
    assert result.structured_content["result"] == 2
    assert told[0] == "reading tools"
    assert any(text.startswith("writing plan") for text in told)


async def error_500(exchange: Exchange) -> None:
    await exchange.answer(500, {"error": {"message": "CUDA error"}})


async def garbage(exchange: Exchange) -> None:
    await exchange.streamed(b"\x00\xff{{{ not an event\n\n", b"data: [[[\n\n")


async def hangs_up(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.piece(b'data: {"choices": [{"index": 0, "delta": {"cont')
    raise anyio.EndOfStream  # which ends the connection


async def two_fences(exchange: Exchange) -> None:
    await exchange.says("First\n```python\na = 20\n```\nthen\n```python\na + 1\n```\n")


async def never_closed(exchange: Exchange) -> None:
    await exchange.says("```python\nx = [1, 2")


FAULTS: dict[str, tuple[Handler, str, str]] = {
    "it fails": (error_500, "error", "CUDA error"),
    "it sends garbage": (garbage, "error", "127.0.0.1"),
    "it hangs up": (hangs_up, "error", "127.0.0.1"),
    "it never closes its block": (never_closed, "error", "block"),
}


async def test_whatever_the_model_server_does_the_host_gets_a_clear_answer(home: Home) -> None:
    seen: dict[str, Any] = {}
    async with assistant(home) as (client, model):
        for name, (handler, _, _) in FAULTS.items():
            model.chat(handler)
            seen[name] = await act(client, task="Do it.")
        model.chat(two_fences)
        together = await act(client, task="Do it.")
        model.chat(says("It needs no tool."))
        prose = await act(client, task="Do it.")
        alive = await act(client, "1 + 1")
    for name, (_, status, words) in FAULTS.items():
        assert seen[name]["status"] == status, name
        assert words in json.dumps(seen[name]["errors"]), name
    assert (together["status"], together["variables"]["a"]) == ("ok", 20)
    assert (prose["status"], prose["result"], "plan" in prose) == ("ok", "It needs no tool.", False)
    assert alive["result"] == 2


@pytest.mark.parametrize("way", ["deadline", "cancelled"])
async def test_a_model_server_that_hangs_holds_nobody_up(home: Home, way: str) -> None:
    asked = anyio.Event()

    async def hang(exchange: Exchange) -> None:
        await exchange.begin()
        asked.set()
        await anyio.sleep_forever()

    async with assistant(home, seconds=60) as (client, model):
        model.chat(hang)
        if way == "deadline":
            answer = await act(client, task="Do it.", timeout_seconds=1)
            assert answer["status"] == "timeout"
        else:
            first = await act(client, task="Do it.", wait_seconds=0)
            await asked.wait()
            waiting = await act(client, run=first["run"], wait_seconds=0)
            busy = await act(client, "1", session=first["session"])
            assert (waiting["status"], waiting["progress"].startswith("writing plan")) == ("running", True)
            assert "busy" in busy["errors"][0]["message"]
        alive = await act(client, "1 + 1")
    assert alive["result"] == 2
