"""A pack's lifespan, and the in-memory toolset's controls."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio
import pytest

from planact_tools import Pack, ToolCall, ToolDefinition, ToolDefinitionError, ToolError, ToolResult, tool
from planact_tools.testing import MemoryToolset


@tool
async def ping() -> str:
    return "pong"


PING = ToolCall(name="ping", arguments={})


async def test_a_lifespan_is_entered_once_by_the_first_call_and_left_at_the_end() -> None:
    events: list[str] = []

    @contextmanager
    def state() -> Generator[None]:
        events.append("open")
        yield
        events.append("close")

    pack = Pack("p", [ping], lifespan=state)
    assert await pack.definitions() == (ping.definition,)
    assert events == []

    results = await asyncio.gather(*(pack.call(PING) for _ in range(20)))
    assert [result.value for result in results] == ["pong"] * 20
    assert events == ["open"]

    await pack.aclose()
    await pack.aclose()
    assert events == ["open", "close"]


async def test_an_async_lifespan_may_hold_a_task_group_and_is_left_from_another_task() -> None:
    left = asyncio.Event()

    @asynccontextmanager
    async def state() -> AsyncGenerator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            yield
            group.cancel_scope.cancel()
        left.set()

    pack = Pack("p", [ping], lifespan=state)
    with anyio.fail_after(5):
        await asyncio.create_task(pack.call(PING))
        await asyncio.create_task(pack.aclose())
    assert left.is_set()


async def test_a_cancelled_first_call_does_not_take_the_state_of_the_others_along() -> None:
    entering, go_on = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def state() -> AsyncGenerator[None]:
        entering.set()
        await go_on.wait()
        yield

    pack = Pack("p", [ping], lifespan=state)
    with anyio.fail_after(5):
        first, second = asyncio.create_task(pack.call(PING)), asyncio.create_task(pack.call(PING))
        await entering.wait()
        first.cancel()
        go_on.set()
        assert await second == ToolResult(value="pong")
        await pack.aclose()
    assert first.cancelled()


async def test_a_lifespan_that_fails_is_an_error_of_the_call_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts: list[int] = []

    @contextmanager
    def state() -> Generator[None]:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("disk is full")
        yield

    pack = Pack("p", [ping], lifespan=state)
    with caplog.at_level(logging.CRITICAL), pytest.raises(ToolError) as caught:
        await pack.call(PING)
    assert (caught.value.message, caught.value.server) == ("Pack 'p' could not be opened: OSError: disk is full", "p")

    assert await pack.call(PING) == ToolResult(value="pong")
    await pack.aclose()


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="Pack 'p' has two tools called 'ping'"):
        Pack("p", [ping, ping])


def test_a_method_without_its_instance_is_refused() -> None:
    class Counter:
        @tool
        def add(self) -> None: ...

    with pytest.raises(ToolDefinitionError, match="Tool 'add' of pack 'p' is a method: take it from an instance"):
        Pack("p", [Counter.add])


async def test_the_memory_toolset_holds_calls_and_remembers_them() -> None:
    toolset = MemoryToolset()
    toolset.add(ToolDefinition(name="slow"), 7)
    gate = toolset.hold("slow")
    call = ToolCall(name="slow", arguments={"x": 1})

    with anyio.fail_after(5):
        first, second = asyncio.create_task(toolset.call(call)), asyncio.create_task(toolset.call(call))
        await gate.reached.wait()
        second.cancel()
        await asyncio.wait([second])
        gate.open()
        assert await first == ToolResult(value=7)

    assert toolset.calls == [call, call]
    assert toolset.cancelled == [call]


async def test_the_memory_toolset_reports_and_fails_as_told() -> None:
    heard: list[tuple[str, float | None]] = []

    async def listen(text: str, fraction: float | None) -> None:
        heard.append((text, fraction))

    toolset = MemoryToolset()
    toolset.add(ToolDefinition(name="step"))
    toolset.report("step", [("half", 0.5)])
    assert await toolset.call(ToolCall(name="step", arguments={}), progress=listen) == ToolResult(value=None)
    assert heard == [("half", 0.5)]

    toolset.fail("the wire is cut")
    with pytest.raises(ToolError, match="Server 'demo' failed: the wire is cut"):
        await toolset.definitions()
    toolset.fail(None)
    assert len(await toolset.definitions()) == 1
