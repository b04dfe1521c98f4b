"""Lists of tools that change, break off and cannot be read: what a server offers, and what may be called."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import fail_after

from planact_bridge import Downstream
from planact_bridge.current_tools import CurrentTools
from planact_bridge.listing import ToolList
from planact_tools import ToolCall, ToolDefinition, ToolError

READ = ToolDefinition(name="act", read_only=True)


def tool(name: str = "act", *, read: bool = True) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": read}}


class Lists:
    """What the server says, and what it was asked."""

    def __init__(self, file: Path, connect: Callable[..., Downstream]) -> None:
        self._file = file
        self._connect = connect

    def say(self, *pages: list[dict[str, Any]] | str, notice: bool = False) -> None:
        self._file.write_text(json.dumps({"pages": pages, "notice": notice}))

    def server(self, **options: Any) -> Downstream:
        return self._connect("lists.py", self._file, **options)

    def count(self, what: str) -> int:
        notes = self._file.with_suffix(f".{what}")
        return len(notes.read_text().splitlines()) if notes.exists() else 0


@pytest.fixture
def lists(tmp_path: Path, connect: Callable[..., Downstream]) -> Lists:
    return Lists(tmp_path / "list.json", connect)


async def act(server: Downstream, name: str = "act") -> object:
    definition = ToolDefinition(name=name, read_only=True)
    return (await server.call(ToolCall(name=name, arguments={}), definition=definition)).value


def names(tools: Any) -> list[str]:
    return [tool.name for tool in tools]


async def test_a_list_that_changes_right_behind_each_answer_is_read_for_each_call_and_otherwise_seldom(
    lists: Lists,
) -> None:
    lists.say([tool()], notice=True)
    server = lists.server()
    with fail_after(20):
        assert names(await server.definitions()) == ["act"]
        assert [await act(server) for _ in range(20)] == ["done"] * 20
        assert [names(await server.definitions()) for _ in range(20)] == [["act"]] * 20
    assert lists.count("listed") <= 26


async def test_a_tool_is_never_called_by_marks_that_the_server_has_said_are_old(lists: Lists) -> None:
    lists.say([tool()], notice=True)
    server = lists.server()
    with fail_after(20):
        assert [await act(server) for _ in range(6)] == ["done"] * 6
        lists.say([tool(read=False)], notice=True)
        with pytest.raises(ToolError, match="does something else"):
            await act(server)
    assert lists.count("called") == 6


async def test_however_often_a_server_came_back_its_list_is_read_within_a_second_or_so() -> None:
    offered = [READ]

    async def read() -> ToolList:
        return ToolList(definitions=list(offered))

    tools = CurrentTools("s", read, known=())
    with fail_after(20):
        for _ in range(60):
            tools.note_return()
            await tools.definitions()
        offered.append(ToolDefinition(name="more"))
        tools.note_change()
        while names(await tools.definitions()) != ["act", "more"]:
            await anyio.sleep(0.05)
    await tools.aclose()


async def test_a_list_that_was_not_read_at_once_is_read_later_and_told(lists: Lists, monkeypatch) -> None:
    monkeypatch.setattr("planact_bridge.current_tools.PAUSE_SECONDS", 0.15)
    lists.say([tool()], notice=True)
    server = lists.server()
    told: list[list[str]] = []
    new = anyio.Event()

    async def hear() -> None:
        told.append(names(await server.definitions()))
        if told[-1] == ["act", "new"]:
            new.set()

    with fail_after(20):
        for _ in range(4):
            await act(server)
        server.on_changed(hear)
        lists.say([tool(), tool("new")])
        assert names(await server.definitions()) == ["act"], "the newest that was read"
        await new.wait()


async def test_a_list_that_somebody_else_read_after_a_failure_is_told(lists: Lists) -> None:
    server = lists.server(known=[READ])
    told = anyio.Event()

    async def hear() -> None:
        told.set()

    server.on_changed(hear)
    with fail_after(20):
        with pytest.raises(ToolError, match="there is no list"):
            await server.definitions()
        lists.say([tool(read=False)])
        with pytest.raises(ToolError, match="does something else"):
            await act(server)
        await told.wait()
        assert [definition.read_only for definition in await server.definitions()] == [False]
    assert lists.count("called") == 0


@pytest.mark.parametrize(
    "pages",
    [([tool("other")],), ([{"name": "act", "execution": {"taskSupport": "required"}}],), ([tool("other")], "no power")],
    ids=["gone", "cannot be read", "on a page that failed"],
)
async def test_a_tool_that_a_server_no_longer_speaks_of_is_not_called(lists: Lists, pages: Any) -> None:
    lists.say(*pages)
    server = lists.server(known=[READ])
    with fail_after(20), pytest.raises(ToolError, match=r"does not offer its tool 'act' any more.* Run the plan again"):
        await act(server)
    assert lists.count("called") == 0


async def test_a_list_that_breaks_off_keeps_what_was_known_and_is_read_again_when_that_is_needed(lists: Lists) -> None:
    lists.say([tool("first")], "no power")
    server = lists.server(known=[READ])
    with fail_after(20):
        assert names(await server.definitions()) == ["first", "act"]
        assert server.gap == f"Server '{server.name}' could not list all of its tools: its list ends early: no power."
        lists.say([tool("first")], [tool()])
        assert await act(server, "first") == "done"
        assert server.gap is not None, "what was read is enough"
        assert await act(server) == "done"
    assert server.gap is None
