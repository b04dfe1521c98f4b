"""What the way to a server costs: a raw SDK client, Planact's bridge, plans through Planact, and FastMCP as a proxy.

    python benchmarks/bridge.py [--json] [--without-fastmcp]

One run, one machine, the same server for all: this file itself (`--server`), which answers at once. FastMCP (the
newest that can be installed) lives in an environment of its own in the user's cache folder. What is timed more than
once is shown as the median with the fastest and the slowest time. The client and the bridge live in this process, whose
own modules Python's collector is kept from going over again: it would strike now one, now the other.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mcp import Client, StdioServerParameters, stdio_client
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table

from planact_bridge import Downstream, StdioSpec
from planact_tools import ToolCall, ToolDefinition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

CALLS = {1: 100, 100: 9, 1000: 3}
"""Calls in one go → how often that is timed."""

CONCURRENT = 300
MEGABYTES = {1: 5, 10: 0, 40: 0}
"""Size of a result → how often that is timed after a first round; the SDK's client takes long over large lines."""
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


Times: TypeAlias = dict[str, list[float]]
"""Milliseconds by the way on which they passed."""


def told(what: str, times: Times) -> Times:
    """Show figures as they come: a run takes minutes."""
    shown = ", ".join(f"{name} {_shown(each)}" for name, each in times.items())
    print(f"{what}: {shown}", file=sys.stderr, flush=True)
    return times


def _shown(times: list[float]) -> str:
    spread = f" ({min(times):,.1f}-{max(times):,.1f})" if len(times) > 1 else ""
    return f"{statistics.median(times):,.1f}{spread}"


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

    def __init__(self, downstream: Downstream, definitions: Sequence[ToolDefinition]) -> None:
        self._downstream = downstream
        self._definitions = {definition.name: definition for definition in definitions}

    async def _call(self, tool: str, **arguments: int) -> Any:
        call = ToolCall(name=tool, arguments=dict(arguments))
        return (await self._downstream.call(call, definition=self._definitions[tool])).value

    async def echo(self, times: int) -> None:
        for number in range(times):
            await self._call("echo", number=number)

    async def echo_at_once(self, times: int) -> None:
        await asyncio.gather(*(self._call("echo", number=number) for number in range(times)))

    async def text(self, size: int) -> None:
        assert len(await self._call("text", size=size)) == size


class ThroughPlans(Subject):
    """A host that sends one plan for the calls, in one session after the other or always the same.

    The text stays on the server's side: that is what plans are for.
    """

    def __init__(self, client: Client, *, same_session: bool = False) -> None:
        self._client = client
        self._same_session = same_session
        self._session: dict[str, str] = {}

    async def plan(self, code: str) -> Any:
        result = await self._client.call_tool(
            "run_python_actions", {"code": code, "wait_seconds": 120, "max_chars": 2_000, **self._session}
        )
        answer = result.structured_content or {}
        assert answer.get("status") == "ok", answer
        if self._same_session:
            self._session = {"session": answer["session"]}
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


async def timed(actions: Mapping[str, Callable[[], Awaitable[object]]], rounds: int) -> Times:
    """Time each action so often, after one round that does not count.

    They take turns, so that whatever else the machine does meets all of them.
    """
    times = [{name: await once(action) for name, action in actions.items()} for _ in range(rounds + 1)]
    return {name: [each[name] for each in times[1:]] for name in actions}


async def measure_calls(subjects: Mapping[str, Subject]) -> dict[str, Times]:
    figures: dict[str, Times] = {}

    async def measure(what: str, action: Callable[[Subject], Awaitable[object]], rounds: int) -> None:
        actions = {name: partial(action, subject) for name, subject in subjects.items()}
        if not rounds:
            figures[what] = told(what, {name: [await once(each)] for name, each in actions.items()})
        else:
            figures[what] = told(what, await timed(actions, rounds))

    for count, rounds in CALLS.items():
        await measure(f"{count} calls, ms", lambda subject, count=count: subject.echo(count), rounds)
    await measure(f"{CONCURRENT} calls at once, ms", lambda subject: subject.echo_at_once(CONCURRENT), 5)
    for size, rounds in MEGABYTES.items():
        await measure(f"a result of {size} MB, ms", lambda subject, size=size: subject.text(size * 1_000_000), rounds)
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


async def measure_starts(folder: Path, *, with_fastmcp: bool) -> Times:
    every = "\n".join(f"call_tool('echo', {{'number': 1}}, server='server{n}')" for n in range(SERVERS))
    homes = (folder / f"start{n}" for n in itertools.count())

    async def raw() -> None:
        async with AsyncExitStack() as stack:
            for client in [await stack.enter_async_context(connected(this_server())) for _ in range(SERVERS)]:
                await ThroughClient(client).echo(1)

    async def plans() -> None:
        async with connected(planact(next(homes), SERVERS)) as client:
            await ThroughPlans(client).plan(every)

    async def through_fastmcp() -> None:
        async with connected(proxy(SERVERS)) as client:
            for index in range(SERVERS):
                await ThroughClient(client, f"server{index}_").echo(1)

    return await timed({"raw": raw, "plans": plans} | ({"FastMCP": through_fastmcp} if with_fastmcp else {}), STARTS)


async def measure(folder: Path, *, with_fastmcp: bool) -> dict[str, Times]:
    async with AsyncExitStack() as stack:
        server = this_server()
        downstream = Downstream(StdioSpec(name="b", command=server.command, args=tuple(server.args)))
        stack.push_async_callback(downstream.aclose)
        host = await stack.enter_async_context(connected(planact(folder / "plans", 1)))
        subjects: dict[str, Subject] = {
            "raw": ThroughClient(await stack.enter_async_context(connected(server))),
            "bridge": ThroughBridge(downstream, await downstream.definitions()),
            "plans": ThroughPlans(host, same_session=True),
        }
        if with_fastmcp:
            client = await stack.enter_async_context(connected(proxy(1)))
            names = [tool.name for tool in (await client.list_tools()).tools]
            prefix = next(name for name in names if name.endswith("echo")).removesuffix("echo")
            subjects["FastMCP"] = ThroughClient(client, prefix)
        gc.collect()
        gc.freeze()
        figures = await measure_calls(subjects)
        new_sessions = ThroughPlans(host)
        what = "1 call in a new session, ms"
        figures[what] = told(what, await timed({"plans": lambda: new_sessions.echo(1)}, CALLS[1]))
    what = f"start and a call through each of {SERVERS} servers, ms"
    figures[what] = told(what, await measure_starts(folder, with_fastmcp=with_fastmcp))
    return figures


def as_json(times: list[float]) -> dict[str, float | int]:
    median, fastest, slowest = statistics.median(times), min(times), max(times)
    return {"ms": round(median, 2), "fastest": round(fastest, 2), "slowest": round(slowest, 2), "times": len(times)}


def show(figures: dict[str, Times]) -> None:
    names = list(dict.fromkeys(name for times in figures.values() for name in times))
    table = Table("what", *names, *(f"{name} / raw" for name in names if name != "raw"), box=None)
    for what, times in figures.items():
        cells = [_shown(times[name]) if name in times else "" for name in names]
        medians = {name: statistics.median(each) for name, each in times.items()}
        raw = medians.get("raw", 0.0)
        shares = [f"{medians[name] / raw:.2f}" if raw and name in medians else "" for name in names if name != "raw"]
        table.add_row(what, *cells, *shares)
    Console(width=200).print(table)


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
        print(
            json.dumps({what: {name: as_json(each) for name, each in times.items()} for what, times in figures.items()})
        )
    else:
        show(figures)


if __name__ == "__main__":
    main()
