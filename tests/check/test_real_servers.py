"""The third-party servers that other checks build on do start and say what we think they say."""

from pathlib import Path

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

pytestmark = pytest.mark.check


@pytest.mark.parametrize(
    ("server", "arguments", "a_tool"),
    [
        ("filesystem", ["."], "read_text_file"),
        ("memory", [], "create_relations"),
        ("git", [], "git_status"),
        ("time", [], "get_current_time"),
    ],
)
async def test_each_real_server_starts_and_offers_its_tools(
    real_servers: dict[str, list[str]], tmp_path: Path, server: str, arguments: list[str], a_tool: str
) -> None:
    program, *rest = real_servers[server]
    parameters = StdioServerParameters(command=program, args=[*rest, *arguments], cwd=tmp_path)
    with anyio.fail_after(30):
        async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            offered = {tool.name for tool in (await session.list_tools()).tools}
    assert a_tool in offered


async def test_the_memory_server_has_the_parameter_that_is_a_python_keyword(
    real_servers: dict[str, list[str]], tmp_path: Path
) -> None:
    program, *rest = real_servers["memory"]
    with anyio.fail_after(30):
        async with (
            stdio_client(StdioServerParameters(command=program, args=rest, cwd=tmp_path)) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
    relation = tools["create_relations"].input_schema["properties"]["relations"]["items"]
    assert set(relation["properties"]) == {"from", "to", "relationType"}
