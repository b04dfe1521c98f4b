"""`planact ask`, `run --task` and `run --dry-run`: real processes, and a model server of the test."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from planact_testing import Home, appears, planact
from quantized.model_server import Exchange, ModelServer, serving  # noqa: TID251 - a folder of tests

TOML = """
[policy]
trust = ["workshop"]
[planner]
backend = "openai"
base_url = "{url}"
model = "tiny"
candidates = 1
"""


def fenced(plan: str) -> str:
    return f"Here is the plan.\n```python\n{plan}\n```\n"


def writes(model: ModelServer, *plans: str) -> None:
    """Have the model write these texts, one for each request."""
    left = list(plans)

    async def write(exchange: Exchange) -> None:
        await exchange.says(left.pop(0) if left else "nothing more")

    model.chat(write)


@asynccontextmanager
async def assistant(home: Home, *plans: str, tools: bool = True) -> AsyncGenerator[ModelServer]:
    """Configure a model that writes these texts, over the workshop or without tools."""
    async with serving() as model:
        writes(model, *plans)
        configure(home, model.url, tools=tools)
        yield model


def configure(home: Home, url: str, *, tools: bool) -> None:
    home.configure(TOML.format(url=url))
    if not tools:
        (home.folder / "mcp.json").write_text('{"mcpServers": {}}')


async def test_a_task_is_planned_run_and_shown(home: Home) -> None:
    broken, works = "pair_sum(a=[1], b=[2])[5]", "z = pair_sum(a=[1], b=[2])\nz"
    async with assistant(home, fenced(broken), fenced(works)):
        code, out, seen = await home.run("run", "--task", "add one and two")
    assert (code, out) == (0, ""), seen
    assert "attempt 1  ✗ IndexError: list index out of range" in seen
    assert re.search(r"plan +attempt 2\n +1 z = pair_sum\(a=\[1\], b=\[2\]\)\n +2 z\n", seen)
    assert "z = pair_sum(a=[1], b=[2]) → [3]" in seen
    assert "result [3]" in seen


async def test_an_answer_for_programs_is_one_object(home: Home, cold: bool) -> None:
    async with assistant(home, fenced("x = 1 + 2\nx"), tools=False):
        code, out, _ = await home.run("ask", "--json", stdin="add one and two", cold=cold)
    answer = json.loads(out)
    assert (code, answer["status"], answer["result"], answer["plan"]) == (0, "ok", 3, "x = 1 + 2\nx")


async def test_an_answer_in_words_is_shown_as_the_result(home: Home) -> None:
    async with assistant(home, "No tool is needed for that: it is 4.", tools=False):
        code, _, seen = await home.run("ask", "what is two and two?")
    assert code == 0
    assert "No tool is needed for that: it is 4." in seen


async def test_a_model_that_cannot_be_reached_is_exit_code_1_and_says_so(home: Home) -> None:
    configure(home, "http://127.0.0.1:9/v1", tools=False)
    code, _, seen = await home.run("ask", "anything")
    assert code == 1
    assert "127.0.0.1:9" in seen


async def test_a_dry_run_shows_which_calls_it_would_make(home: Home) -> None:
    code, _, seen = await home.run("run", "--code", "-", "--dry-run", stdin="erase(path='x')\npair_sum(a=[1], b=[2])")
    assert code == 0
    assert "≈: not made, the value is made up" in seen
    assert re.search(r"≈ erase\(path=\"x\"\)", seen)
    assert "result [3]" in seen


async def test_json_wants_a_task(home: Home) -> None:
    code, _, complaint = await home.run("ask", "--json", stdin="")
    assert code == 2
    assert complaint == "planact: Nothing to do: say the task as TEXT, or on standard input.\n"


class Terminal:
    """A planact command on a terminal of its own."""

    def __init__(self, home: Home, *arguments: str) -> None:
        self._fd, theirs = pty.openpty()
        self._process = subprocess.Popen(
            planact(*arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=home.environment | {"TERM": "dumb", "COLUMNS": "100"},
            cwd=home.work,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    async def until(self, text: str, *, after: int = 0) -> int:
        """Read until the text has come, and return where it ends."""
        with anyio.fail_after(40):
            while (at := self.seen.find(text, after)) < 0:
                await anyio.wait_readable(self._fd)
                self.seen += os.read(self._fd, 65536).decode(errors="replace").replace("\r\n", "\n")
        return at + len(text)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def ends(self) -> int:
        with anyio.fail_after(20):
            return await anyio.to_thread.run_sync(self._process.wait)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
async def test_a_conversation_keeps_its_session_and_ctrl_c_stops_the_task_alone(home: Home, tmp_path: Path) -> None:
    async with assistant(
        home, fenced("n = 5\nn"), fenced(f"wait_for(path={str(tmp_path / 'never')!r})"), fenced("n + 1")
    ):
        terminal = Terminal(home, "ask")
        try:
            at = await terminal.until("ask> ")
            terminal.type("remember five\n")
            at = await terminal.until("ask> ", after=await terminal.until("result 5", after=at))
            terminal.type("never stop\n")
            await appears(Path(f"{tmp_path / 'never'}.started"))
            terminal.interrupt()
            at = await terminal.until("ask> ", after=await terminal.until("cancelled", after=at))
            terminal.type("one more\n")
            at = await terminal.until("ask> ", after=await terminal.until("result 6", after=at))
            terminal.interrupt()
            at = await terminal.until("Ctrl-D leaves", after=at)
            terminal.type("/nothing\n/help\n/new\n")
            await terminal.until("A new session.", after=await terminal.until("not the program", after=at))
            assert "There is no command '/nothing'" in terminal.seen
            terminal.type("/quit\n")
            assert await terminal.ends() == 0
        finally:
            terminal.close()
