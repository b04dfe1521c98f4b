"""A server of which more is remembered than is still so: it is heard before anything is called or refused."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from planact_bridge import Downstream, StdioSpec
from planact_testing import Home, act
from planact_tools import ToolCall, ToolError
from warm.start import warm_python

CHANGING = Path(__file__).parent / "servers" / "changing.py"


class Releases:
    """One server in a home, trusted, and what it was called with."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._file = home.folder / "release.json"
        self.command = [*warm_python(str(CHANGING)), str(self._file)]
        home.configure(
            '[policy]\ntrust = ["changing"]\n', changing={"command": self.command[0], "args": self.command[1:]}
        )

    def release(self, *, tool: str = "act", parameter: str = "a1", read: bool = True) -> None:
        self._file.write_text(json.dumps({"tool": tool, "parameter": parameter, "read": read}))

    @property
    def called(self) -> list[str]:
        called = self._file.with_suffix(".called")
        return called.read_text().splitlines() if called.exists() else []

    async def run(self, code: str) -> dict[str, Any]:
        """Run a plan in a process of its own."""
        _, answer, errors = await self._home.run("run", "--json", "--code", "-", stdin=code)
        assert answer, errors
        return json.loads(answer)


@pytest.fixture
def releases(home: Home) -> Releases:
    releases = Releases(home)
    releases.release()
    return releases


async def test_what_has_become_a_write_is_not_called_as_a_read(releases: Releases) -> None:
    first = await releases.run("changing.act()")
    releases.release(read=False)
    then = await releases.run("changing.act()")
    raw = await releases.run("call_tool('act', {}, server='changing')")
    assert (first["status"], then["status"], raw["status"]) == ("ok", "denied", "denied")
    assert releases.called == ["act(a1=x)"]


async def test_another_release_is_read_before_a_plan_is_refused(releases: Releases) -> None:
    await releases.run("changing.act()")
    releases.release(parameter="b2")
    changed = await releases.run("act(b2='y')")
    releases.release(tool="other")
    renamed = await releases.run("changing.other(a1='z')")
    gone = await releases.run("changing.act()")
    bare = await releases.run("other()")
    assert (changed["status"], renamed["status"], bare["status"]) == ("ok", "ok", "ok")
    assert (gone["status"], gone["errors"][0]["message"]) == ("refused", "Server 'changing' has no tool 'act'.")
    assert releases.called == ["act(a1=x)", "act(b2=y)", "other(a1=z)", "other(a1=x)"]


async def test_the_first_plan_of_a_new_process_is_read_against_what_is_there(home: Home, releases: Releases) -> None:
    await releases.run("changing.act()")
    releases.release(read=False, parameter="b2")
    async with home.serve() as client:
        listed = (await client.list_tools()).tools[0].description
        answer = await act(client, "changing.act(b2='y')")
    assert "a1" in str(listed)  # at once, from what is remembered
    assert answer["status"] == "denied"
    assert releases.called == ["act(a1=x)"]


async def test_a_tool_that_is_another_after_a_restart_is_not_called(releases: Releases) -> None:
    command, *args = releases.command
    server = Downstream(StdioSpec(name="changing", command=command, args=tuple(args)))
    try:
        [before] = await server.definitions()
        await server.call(ToolCall(name="act", arguments={}), definition=before)
        releases.release(read=False)
        assert server.status.pid is not None
        os.kill(server.status.pid, signal.SIGKILL)
        with anyio.fail_after(10):
            while server.status.state == "ready":
                await anyio.sleep(0.01)
        with pytest.raises(ToolError, match=r"its tool 'act' does something else .* so nothing was called"):
            await server.call(ToolCall(name="act", arguments={}), definition=before)
        [after] = await server.definitions()
        await server.call(ToolCall(name="act", arguments={"a1": "again"}), definition=after)
    finally:
        await server.aclose()
    assert releases.called == ["act(a1=x)", "act(a1=again)"]


async def test_a_tool_whose_text_changes_with_every_call_can_be_called(home: Home) -> None:
    home.configure(
        '[policy]\ntrust = ["counting"]\n',
        counting={"command": sys.executable, "args": [str(CHANGING.with_name("counting.py"))]},
    )
    async with home.serve() as client:
        plans = [await act(client, "[take(item='item 0') for _ in range(3)]") for _ in range(2)]
    assert [plan["status"] for plan in plans] == ["ok", "ok"], plans
    assert [plan["result"] for plan in plans] == [["1", "2", "3"], ["4", "5", "6"]]
