"""What the way to a server costs: a raw SDK client, Planact's bridge, plans through Planact, and FastMCP as a proxy.

    python benchmarks/bridge.py [--json] [--without-fastmcp]

One run, one machine, the same server for all: this file itself (`--server`), which answers at once. FastMCP (the
newest that can be installed) lives in an environment of its own in the user's cache folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp import Client, StdioServerParameters, stdio_client
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from planact_bridge import Downstream, StdioSpec
from planact_tools import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CALLS = {1: 100, 100: 5, 1000: 2}
"""Calls in one go → how often that is timed."""

CONCURRENT = 300
MEGABYTES = (1, 10, 40)
SERVERS = 8
STARTS = 3
MOST_SECONDS = 240.0

PROXY = """
import sys
from fastmcp.server import create_proxy
names = ["server" + str(index) for index in range(int(sys.argv[3]))]
entries = {name: {"command": sys.argv[1], "args": [sys.argv[2], "--server"]} for name in names}
create_proxy({"mcpServers": entries}, name="proxy").run("stdio", show_banner=False)
"""


def serve() -> None:
    """Answer as fast as a server can: no library between the pipe and the answer."""
    tools = [
        {"name": "echo", "inputSchema": {"type": "object", "properties": {"number": {"type": "integer"}}}},
        {"name": "text", "inputSchema": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    ]
    # FastMCP reads lists strictly, as of the newer era, whatever the server said it speaks.
    listed = {"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    info = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "b", "version": "1"}}
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" not in message:
            continue
        method, answer = message["method"], {"jsonrpc": "2.0", "id": message["id"]}
        if method == "tools/call":
            arguments = message["params"]["arguments"]
            text = "x" * arguments["size"] if "size" in arguments else str(arguments["number"])
            answer["result"] = {"content": [{"type": "text", "text": text}], "resultType": "complete"}
        elif method in ("initialize", "tools/list", "ping"):
            answer["result"] = {"initialize": info, "tools/list": listed, "ping": {}}[method]
        else:
            answer["error"] = {"code": -32601, "message": "Method not found"}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


class Told(dict[str, float]):
    """Figures that are told on standard error as they come: a run takes minutes."""

    def __setitem__(self, what: str, value: float) -> None:
        super().__setitem__(what, value)
        print(f"{what}: {value:,.1f}", file=sys.stderr, flush=True)


class Subject:
    """One way to call the server's tools."""

    async def echo(self, times: int) -> None:
        raise NotImplementedError

    async def echo_at_once(self, times: int) -> None:
        raise NotImplementedError

    async def text(self, size: int) -> None:
        raise NotImplementedError


class ThroughClient(Subject):
    """The SDK's client, talking to the server itself or to a proxy before it."""

    def __init__(self, client: Client, prefix: str = "") -> None:
        self._client = client
        self._prefix = prefix

    async def _call(self, tool: str, **arguments: int) -> Any:
        result = await self._client.call_tool(self._prefix + tool, arguments)
        assert not result.is_error, result
        return result

    async def echo(self, times: int) -> None:
        for number in range(times):
            await self._call("echo", number=number)

    async def echo_at_once(self, times: int) -> None:
        await asyncio.gather(*(self._call("echo", number=number) for number in range(times)))

    async def text(self, size: int) -> None:
        assert len((await self._call("text", size=size)).content[0].text) == size


class ThroughBridge(Subject):
    """What Planact's own parts use."""

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream

    async def _call(self, tool: str, **arguments: int) -> Any:
        return (await self._downstream.call(ToolCall(name=tool, arguments=dict(arguments)))).value

    async def echo(self, times: int) -> None:
        for number in range(times):
            await self._call("echo", number=number)

    async def echo_at_once(self, times: int) -> None:
        await asyncio.gather(*(self._call("echo", number=number) for number in range(times)))

    async def text(self, size: int) -> None:
        assert len(await self._call("text", size=size)) == size


class ThroughPlans(Subject):
    """A host that sends one plan for the calls. The text stays on the server's side: that is what plans are for."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def plan(self, code: str) -> Any:
        result = await self._client.call_tool(
            "run_python_actions", {"code": code, "wait_seconds": 120, "max_chars": 2_000}
        )
        answer = result.structured_content or {}
        assert answer.get("status") == "ok", answer
        return answer.get("result")

    async def echo(self, times: int) -> None:
        await self.plan(f"for number in range({times}):\n    echo(number=number)")

    async def echo_at_once(self, times: int) -> None:
        await self.plan(f"import asyncio\nawait asyncio.gather(*(echo(number=n) for n in range({times})))\n0")

    async def text(self, size: int) -> None:
        assert await self.plan(f"big = text(size={size})\nn = len(big)\ndel big\nn") == size


async def once(action: Callable[[], Awaitable[object]]) -> float:
    """Return the milliseconds that it takes."""
    began = time.perf_counter()
    async with asyncio.timeout(MOST_SECONDS):
        await action()
    return (time.perf_counter() - began) * 1000


async def timed(action: Callable[[], Awaitable[object]], rounds: int) -> float:
    """Return the median in milliseconds, after one round that does not count."""
    return statistics.median([await once(action) for _ in range(rounds + 1)][1:])


async def measure_subject(subject: Subject) -> dict[str, float]:
    figures = Told()
    for count, rounds in CALLS.items():
        figures[f"{count} calls, ms"] = await timed(lambda count=count: subject.echo(count), rounds)
    figures[f"{CONCURRENT} calls at once, ms"] = await timed(lambda: subject.echo_at_once(CONCURRENT), 3)
    for size in MEGABYTES:
        # The SDK's client takes minutes over large lines: once is enough to tell.
        figures[f"a result of {size} MB, ms"] = await once(lambda size=size: subject.text(size * 1_000_000))
    return figures


def this_server() -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=[__file__, "--server"])


def planact(home: Path, servers: int) -> StdioServerParameters:
    """Return how to start `planact serve` with so many servers, every call of theirs allowed."""
    home.mkdir(parents=True)
    entry = {"command": sys.executable, "args": [__file__, "--server"]}
    entries = {f"server{index}": entry for index in range(servers)}
    (home / "mcp.json").write_text(json.dumps({"mcpServers": entries}))
    (home / "planact.toml").write_text('[policy]\nallow = ["*.*"]\n[sandbox]\nmemory_mb = 1024\n')
    environ = {**os.environ, "PLANACT_HOME": str(home / "state"), "PLANACT_CONFIG": str(home / "planact.toml")}
    return StdioServerParameters(command=sys.executable, args=["-P", "-m", "planact_server", "serve"], env=environ)


def fastmcp() -> Path:
    """Return an interpreter that has FastMCP, installing it where it is missing."""
    folder = user_cache_path("planact") / "benchmarks" / "fastmcp"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    if subprocess.run([str(python), "-c", "import fastmcp"], check=False, capture_output=True).returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "fastmcp"], check=True)
    return python


def proxy(servers: int) -> StdioServerParameters:
    arguments = ["-c", PROXY, sys.executable, __file__, str(servers)]
    return StdioServerParameters(command=str(fastmcp()), args=arguments)


@asynccontextmanager
async def connected(parameters: StdioServerParameters) -> AsyncIterator[Client]:
    with Path(os.devnull).open("w") as nowhere:
        async with Client(stdio_client(parameters, errlog=nowhere)) as client:
            yield client


async def first_call(parameters: StdioServerParameters, call: Callable[[Client], Awaitable[object]]) -> float:
    """Return the milliseconds from starting a program until a call has gone through the last of its servers."""
    began = time.perf_counter()
    async with connected(parameters) as client:
        await call(client)
        return (time.perf_counter() - began) * 1000


async def measure_starts(folder: Path, *, with_fastmcp: bool) -> dict[str, float]:
    every = "\n".join(f"call_tool('echo', {{'number': 1}}, server='server{n}')" for n in range(SERVERS))
    figures: dict[str, float] = {}
    times = [
        await first_call(planact(folder / f"start{n}", SERVERS), lambda client: ThroughPlans(client).plan(every))
        for n in range(STARTS)
    ]
    figures["plans"] = statistics.median(times)
    if with_fastmcp:

        async def through_all(client: Client) -> None:
            for index in range(SERVERS):
                await ThroughClient(client, f"server{index}_").echo(1)

        figures["FastMCP"] = statistics.median([await first_call(proxy(SERVERS), through_all) for _ in range(STARTS)])

    async def raw() -> None:
        async with AsyncExitStack() as stack:
            for client in [await stack.enter_async_context(connected(this_server())) for _ in range(SERVERS)]:
                await ThroughClient(client).echo(1)

    figures["raw"] = await timed(raw, STARTS)
    return figures


async def measure(folder: Path, *, with_fastmcp: bool) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    async with connected(this_server()) as client:
        figures["raw"] = await measure_subject(ThroughClient(client))
    server = this_server()
    downstream = Downstream(StdioSpec(name="b", command=server.command, args=tuple(server.args)))
    try:
        figures["bridge"] = await measure_subject(ThroughBridge(downstream))
    finally:
        await downstream.aclose()
    async with connected(planact(folder / "plans", 1)) as client:
        figures["plans"] = await measure_subject(ThroughPlans(client))
    if with_fastmcp:
        async with connected(proxy(1)) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            prefix = next(name for name in names if name.endswith("echo")).removesuffix("echo")
            figures["FastMCP"] = await measure_subject(ThroughClient(client, prefix))
    for name, value in (await measure_starts(folder, with_fastmcp=with_fastmcp)).items():
        figures[name][f"start and a call through each of {SERVERS} servers, ms"] = value
    return {name: {key: round(value, 2) for key, value in each.items()} for name, each in figures.items()}


def show(figures: dict[str, dict[str, float]]) -> None:
    table = Table("what", *figures, *(f"{name} / raw" for name in figures if name != "raw"), box=None)
    rows = dict.fromkeys(key for each in figures.values() for key in each)
    for row in rows:
        values = {name: each.get(row) for name, each in figures.items()}
        cells = ["" if value is None else f"{value:,.1f}" for value in values.values()]
        raw = values["raw"] or 0.0
        shares = ["" if value is None or not raw else f"{value / raw:.2f}" for n, value in values.items() if n != "raw"]
        table.add_row(row, *cells, *shares)
    Console(width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--without-fastmcp", action="store_true", help="measure what needs no installation")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server:
        serve()
        return
    with tempfile.TemporaryDirectory(prefix="planact-bench-", ignore_cleanup_errors=True) as name:
        figures = asyncio.run(measure(Path(name), with_fastmcp=not options.without_fastmcp))
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)


if __name__ == "__main__":
    main()
