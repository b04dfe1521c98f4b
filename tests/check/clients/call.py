"""One call of run_python_actions by a client of the Python SDK's first generation, which Planact does not use itself.

    python call.py 1 legacy TARGET CODE

TARGET is a URL or a command line as a JSON list. Prints one JSON object.
"""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client


async def main(target: str, code: str) -> None:
    progress: list[str | None] = []

    async def report(_done: float, _total: float | None, message: str | None) -> None:
        progress.append(message)

    async with AsyncExitStack() as stack:
        if target.startswith("http"):
            read, write, _ = await stack.enter_async_context(streamablehttp_client(target))
        else:
            command, *arguments = json.loads(target)
            parameters = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
            read, write = await stack.enter_async_context(stdio_client(parameters))
        session = await stack.enter_async_context(ClientSession(read, write))
        introduced = await session.initialize()
        tools = (await session.list_tools()).tools
        result = await session.call_tool("run_python_actions", {"code": code}, progress_callback=report)
        resources = await session.list_resources()
        answer = {
            "tools": [tool.name for tool in tools],
            "server": introduced.serverInfo.name,
            "version": introduced.protocolVersion,
            "result": result.model_dump(mode="json", by_alias=True, exclude_none=True),
            "progress": progress,
            "resources": len(resources.resources),
        }
    sys.stdout.write(json.dumps(answer) + "\n")


asyncio.run(main(*sys.argv[3:]))
