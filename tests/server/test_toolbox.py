"""The catalog of all toolsets: at once from the cache, then settled; one broken server costs only itself."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from planact_bridge import Downstream, StdioSpec
from planact_server.config import PolicySettings
from planact_server.content import Contents
from planact_server.plans.calls import PlanCalls, PlanRights
from planact_server.policy import Policy
from planact_server.sandbox import PlanFault, ResolvedServer, ResolvedTool, ToolRequest, Unresolved
from planact_server.store import Store
from planact_server.toolbox import Toolbox
from planact_tools import ToolDefinition, ToolError
from planact_tools.testing import MemoryToolset

LISTS = Path(__file__).parents[1] / "bridge" / "servers" / "lists.py"


class Starting(MemoryToolset):
    """A server that never gets there."""

    async def definitions(self) -> Sequence[ToolDefinition]:
        await anyio.sleep_forever()
        return ()


def toolset(name: str, *tools: str) -> MemoryToolset:
    made = MemoryToolset(name)
    for tool in tools:
        made.add(ToolDefinition(name=tool, read_only=True), tool.upper())
    return made


async def report(_: str, __: float | None) -> None:
    """Nobody listens."""


def calls(toolbox: Toolbox, *, start_seconds: float = 5) -> PlanCalls:
    rights = PlanRights(toolbox=toolbox, policy=Policy(PolicySettings(trust=("*",))), start_seconds=start_seconds)
    return PlanCalls(rights, Contents(), report)


def raw_call(tool: str, server: str | None) -> ToolRequest:
    """What `call_tool(tool, server=server)` sends."""
    return ToolRequest(call=1, server=server, tool=tool, raw=True, positional=[], keywords={}, line=1)


async def test_nothing_is_asked_before_connect() -> None:
    one = toolset("one", "go")
    async with Toolbox([one]) as toolbox:
        assert (len(toolbox.catalog), list(toolbox.catalog.servers)) == (0, ["one"])
        assert [state.state for state in toolbox.states()] == ["pending"]
        await toolbox.settle(seconds=5)
        assert len(toolbox.catalog) == 1
        assert [state.state for state in toolbox.states()] == ["ready"]


async def test_a_broken_server_costs_only_itself() -> None:
    broken = toolset("broken", "go")
    broken.fail("no power")
    async with Toolbox([broken, toolset("one", "run")]) as toolbox:
        await toolbox.settle(seconds=5)
        assert {state.name: state.state for state in toolbox.states()} == {"broken": "failed", "one": "ready"}
        assert toolbox.error("broken") == "Server 'broken' failed: no power"
        assert list(toolbox.catalog.plain) == ["run"]


async def test_a_failed_server_is_asked_again_when_a_plan_wants_it() -> None:
    shaky = toolset("shaky", "go")
    shaky.fail("no power")
    async with Toolbox([shaky]) as toolbox:
        await toolbox.settle(seconds=5)
        failed = await calls(toolbox).resolve(["shaky.go"])
        shaky.fail(None)
        found = await calls(toolbox).resolve(["shaky.go"])
    assert failed == {"shaky.go": Unresolved(hint="Server 'shaky' failed: no power")}
    assert found == {"shaky.go": ResolvedTool(server="shaky", tool="go", parameters=())}


async def test_the_cache_answers_before_the_server_does(tmp_path) -> None:
    with Store.open(tmp_path) as store:
        async with Toolbox([toolset("one", "go")], cache=store) as toolbox:
            await toolbox.settle(seconds=5)
        again = toolset("one", "go", "stop")
        async with Toolbox([again], cache=store) as toolbox:
            assert list(toolbox.catalog.plain) == ["go"]
            assert [state.state for state in toolbox.states()] == ["cached"]
            changed = anyio.Event()

            async def listener() -> None:
                changed.set()

            toolbox.on_changed(listener)
            toolbox.connect()
            with anyio.fail_after(5):
                await changed.wait()
            assert list(toolbox.catalog.plain) == ["go", "stop"]
            assert toolbox.catalog.generation == 2


async def test_a_server_name_waits_for_its_server_and_a_bare_name_for_all() -> None:
    async with Toolbox([toolset("one", "go"), toolset("two", "run")]) as toolbox:
        resolved = await calls(toolbox).resolve(["one", "one.go", "run", "nothing"])
    assert resolved == {
        "one": ResolvedServer(server="one"),
        "one.go": ResolvedTool(server="one", tool="go", parameters=()),
        "run": ResolvedTool(server="two", tool="run", parameters=()),
        "nothing": Unresolved(),
    }


@pytest.mark.parametrize("server", [None, "two-fold", "two_fold"])
async def test_call_tool_waits_for_a_server_that_is_still_starting(server: str | None) -> None:
    async with Toolbox([toolset("one", "go"), toolset("two-fold", "run-it")]) as toolbox:
        assert await calls(toolbox).call(raw_call("run-it", server)) == "RUN-IT"


async def test_call_tool_says_why_its_server_has_no_tools() -> None:
    broken = toolset("broken", "go")
    broken.fail("no power")
    async with Toolbox([broken]) as toolbox:
        with pytest.raises(PlanFault, match="Server 'broken' has no tool 'go'") as caught:
            await calls(toolbox).call(raw_call("go", "broken"))
    assert caught.value.hint == "Server 'broken' failed: no power"


async def test_a_resource_that_no_server_has_names_those_that_were_asked() -> None:
    async with Toolbox([toolset("one", "go")]) as toolbox:
        with pytest.raises(ToolError, match="memo://1"):
            await toolbox.read_resource("memo://1", servers=["one"])


async def test_a_server_that_is_still_starting_is_named_where_a_tool_is_missing() -> None:
    async with Toolbox([Starting("slow"), toolset("one", "go")]) as toolbox:
        resolved = await calls(toolbox, start_seconds=0.05).resolve(["slow.act", "act", "one.gone", "goo"])
    hint = (
        "Server 'slow' has not answered yet: run the plan again in a moment, or raise [servers] start_timeout_seconds."
    )
    assert resolved == {
        "slow.act": Unresolved(hint=hint),
        "act": Unresolved(hint=hint),
        "one.gone": Unresolved(hint="Did you mean 'one.go'?"),
        "goo": Unresolved(hint=f"Did you mean 'go'? {hint}"),
    }


async def test_a_list_that_breaks_off_is_not_remembered_and_said_to_where_a_tool_is_missing(tmp_path) -> None:
    file = tmp_path / "list.json"
    first, later = ([{"name": name, "annotations": {"readOnlyHint": True}}] for name in ("first", "later"))
    file.write_text(json.dumps({"pages": [first, "no power"]}))
    server = Downstream(StdioSpec(name="halved", command=sys.executable, args=("-S", str(LISTS), str(file))))
    try:
        with Store.open(tmp_path) as store:
            async with Toolbox([server], cache=store) as toolbox:
                failed = await calls(toolbox).resolve(["halved.later"])
                remembered = store.cached_definitions(server.identity)
                file.write_text(json.dumps({"pages": [first, later]}))
                found = await calls(toolbox).resolve(["halved.later"])
            assert [tool.name for tool in store.cached_definitions(server.identity) or ()] == ["first", "later"]
    finally:
        await server.aclose()
    why = "Server 'halved' could not list all of its tools: its list ends early: no power."
    assert (failed, remembered) == ({"halved.later": Unresolved(hint=why)}, None)
    assert found == {"halved.later": ResolvedTool(server="halved", tool="later", parameters=(), open_keywords=True)}


async def test_a_list_that_a_call_has_read_is_that_of_the_next_plan(tmp_path) -> None:
    file = tmp_path / "list.json"
    known = [ToolDefinition(name="act", read_only=True)]
    spec = StdioSpec(name="late", command=sys.executable, args=("-S", str(LISTS), str(file)))
    server = Downstream(spec, known=known)
    try:
        with Store.open(tmp_path) as store:
            store.save_definitions(spec.identity, known)
            async with Toolbox([server], cache=store) as toolbox:
                await toolbox.refresh(seconds=5)
                assert "there is no list" in str(toolbox.error("late"))
                changed = anyio.Event()

                async def listener() -> None:
                    changed.set()

                toolbox.on_changed(listener)
                file.write_text(json.dumps({"pages": [[{"name": "act", "annotations": {"readOnlyHint": False}}]]}))
                with anyio.fail_after(5):
                    with pytest.raises(PlanFault, match="does something else"):
                        await calls(toolbox).call(raw_call("act", "late"))
                    await changed.wait()
                assert toolbox.error("late") is None
                assert toolbox.catalog.by_raw("act", "late").definition.read_only is False
    finally:
        await server.aclose()
