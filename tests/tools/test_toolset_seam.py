"""What every Toolset promises, asked of both that live in this package."""

from collections.abc import Mapping

import pytest

from planact_tools import JSONValue, Pack, ToolCall, ToolDefinition, ToolError, ToolResult, Toolset, tool
from planact_tools.testing import MemoryToolset


@tool(read_only=True)
def pair_sum(a: list[int], b: list[int]) -> list[int]:
    """Add two lists."""
    return [x + y for x, y in zip(a, b, strict=True)]


@tool
def refuse() -> None:
    raise ToolError("Not today.")


def in_memory() -> Toolset:
    def reply(arguments: Mapping[str, JSONValue]) -> JSONValue:
        return pair_sum(arguments["a"], arguments["b"])  # type: ignore[arg-type]

    toolset = MemoryToolset("demo")
    toolset.add(pair_sum.definition, reply)
    toolset.add(refuse.definition, ToolError("Not today."))
    return toolset


@pytest.fixture(params=["pack", "memory"])
def toolset(request: pytest.FixtureRequest) -> Toolset:
    return Pack("demo", [pair_sum, refuse]) if request.param == "pack" else in_memory()


async def test_it_has_a_name_an_identity_and_definitions(toolset: Toolset) -> None:
    assert toolset.name == "demo"
    assert toolset.identity not in ("", "demo")
    assert await toolset.definitions() == (pair_sum.definition, refuse.definition)
    assert isinstance(pair_sum.definition, ToolDefinition)


async def test_it_answers_a_call(toolset: Toolset) -> None:
    call = ToolCall(name="pair_sum", arguments={"a": [1, 2], "b": [2, 3]})

    assert await toolset.call(call) == ToolResult(value=[3, 5])


async def test_an_error_says_whose_it_is(toolset: Toolset) -> None:
    with pytest.raises(ToolError) as caught:
        await toolset.call(ToolCall(name="refuse", arguments={}))

    error = caught.value
    assert (error.message, error.server, error.tool, error.arguments) == ("Not today.", "demo", "refuse", {})
    assert not error.outcome_unknown


async def test_an_unknown_tool_is_an_error(toolset: Toolset) -> None:
    with pytest.raises(ToolError, match="'demo' has no tool 'pear_sum'"):
        await toolset.call(ToolCall(name="pear_sum", arguments={}))


async def test_closing_twice_is_fine_and_nothing_is_called_afterwards(toolset: Toolset) -> None:
    await toolset.aclose()
    await toolset.aclose()

    with pytest.raises(ToolError, match="'demo' is closed"):
        await toolset.call(ToolCall(name="refuse", arguments={}))
