"""A well-behaved MCP server with one tool for each thing that a test wants to see."""

import asyncio
import os
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("workshop")
READ = ToolAnnotations(read_only_hint=True)
WRITE = ToolAnnotations(read_only_hint=False, destructive_hint=True)


@server.tool(annotations=READ)
def pair_sum(a: list[int], b: list[int]) -> list[int]:
    """Add two lists of numbers, element by element."""
    return [x + y for x, y in zip(a, b, strict=True)]


@server.tool(annotations=READ)
def lookup(key: str) -> dict[str, str]:
    """Return the record of a key."""
    if key == "nobody":
        raise ToolError(f"no record for {key}")
    return {"key": key, "name": key.title()}


@server.tool(annotations=WRITE)
def erase(path: str) -> str:
    """Remove a file."""
    return f"erased {path}"


@server.tool(annotations=READ)
async def wait_for(path: str, context: Context) -> str:
    """Wait until a file exists. Leaves PATH.cancelled behind when it is cancelled."""
    await context.report_progress(0.25, 1.0, "waiting")
    Path(f"{path}.started").touch()
    try:
        while not Path(path).exists():
            await asyncio.sleep(0.01)
    except BaseException:
        Path(f"{path}.cancelled").touch()
        raise
    return "there"


@server.tool(annotations=READ)
def picture() -> Image:
    """Return a picture."""
    return Image(data=b"\x89PNG\r\n\x1a\n" + b"0" * 92, format="png")


@server.tool(annotations=READ)
def long_text(chars: int) -> str:
    """Return a text of so many characters, a line of 99 and a newline at a time."""
    return ("x" * 99 + "\n") * (chars // 100)


@server.tool(annotations=READ)
def die() -> str:
    """End this server in the middle of the call."""
    os._exit(3)


@server.tool(annotations=READ)
def process() -> int:
    """Return the number of this process."""
    return os.getpid()


if __name__ == "__main__":
    if "--garbage" in sys.argv:
        sys.stdout.write("this is no protocol\n" * 3)
        sys.stdout.flush()
        sys.stdin.read()
    elif "--broken" in sys.argv or ("--until" in sys.argv and Path(sys.argv[-1]).exists()):
        sys.exit("workshop: the lathe is missing")
    else:
        while "--after" in sys.argv and not Path(sys.argv[-1]).exists():  # slow to start: until this file exists
            time.sleep(0.01)
        server.run("stdio")
