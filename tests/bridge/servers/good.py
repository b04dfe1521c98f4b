"""A well-behaved server on the SDK: over stdio, or with `http PORT` or `sse PORT` over HTTP, printing its URL."""

import asyncio
import os
import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("good", version="1.2")


class Pair(BaseModel):
    first: int
    second: str


@server.tool(annotations=ToolAnnotations(read_only_hint=True, title="Add two numbers"))
def add(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


@server.tool()
def pair(n: int) -> Pair:
    return Pair(first=n, second="two")


@server.tool()
def fail(text: str) -> str:
    raise ValueError(text)


@server.tool()
def environment(name: str) -> str:
    return os.environ.get(name, "absent")


@server.tool(structured_output=False)
def picture() -> list[object]:
    return ["a dot", Image(data=b"\x89PNG", format="png")]


@server.tool()
async def count(to: int, ctx: Context) -> int:
    for step in range(to):
        await ctx.report_progress(step + 1, to, f"step {step + 1}")
    return to


@server.tool()
def header(name: str, ctx: Context) -> str | None:
    return ctx.headers.get(name) if ctx.headers else None


@server.tool()
async def hang(started: str, cancelled: str) -> str:
    """Write the first file, then wait; write the second when told to stop."""
    Path(started).write_text("started")
    try:
        await anyio.sleep_forever()
    finally:
        Path(cancelled).write_text("cancelled")
    return "never"


@server.tool()
async def learn(ctx: Context) -> str:
    """Grow a tool and say so, in both eras."""
    server.add_tool(lambda: "new", name="grown")
    await ctx.session.send_tool_list_changed()
    await ctx.notify_tools_changed()
    return "grown"


@server.resource("memo://one", mime_type="text/plain")
def memo() -> str:
    return "remember"


async def serve_http(kind: str, port: int) -> None:
    import uvicorn

    app, path = (server.sse_app(), "sse") if kind == "sse" else (server.streamable_http_app(), "mcp")
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error")
    web = uvicorn.Server(config)
    task = asyncio.create_task(web.serve())
    while not web.started:
        await asyncio.sleep(0.01)
    sys.stdout.write(f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}/{path}\n")
    sys.stdout.flush()
    await task


if sys.argv[1:2] in (["http"], ["sse"]):
    asyncio.run(serve_http(sys.argv[1], int(sys.argv[2])))
else:
    server.run("stdio")
