"""What Planact adds to a tool call, and how fast it starts, against a raw MCP client in the same run.

    python benchmarks/latency.py [--json]

The downstream server is this file itself (`--echo-server`), the raw client is the SDK's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mcp import Client, StdioServerParameters, stdio_client
from mcp.server.mcpserver import MCPServer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROUNDS = 200
STARTS = 7
CALLS = 100
MANY_SERVERS = 8


def serve_echo() -> None:
    server = MCPServer("echo")

    @server.tool()
    def echo(number: int) -> int:
        """Return the number."""
        return number

    server.run("stdio")


@asynccontextmanager
async def connected(arguments: list[str], home: Path) -> AsyncIterator[Client]:
    environment = {**os.environ, "PLANACT_HOME": str(home / "state"), "PLANACT_CONFIG": str(home / "planact.toml")}
    parameters = StdioServerParameters(command=sys.executable, args=arguments, env=environment)
    with Path(os.devnull).open("w") as nowhere:
        async with Client(stdio_client(parameters, errlog=nowhere)) as client:
            yield client


def configure(home: Path, *, servers: int) -> Path:
    """Write a configuration with so many echo servers, all of them allowed."""
    home.mkdir(parents=True, exist_ok=True)
    entry = {"command": sys.executable, "args": [__file__, "--echo-server"]}
    entries = {f"echo{index}": entry for index in range(servers)}
    (home / "mcp.json").write_text(json.dumps({"mcpServers": entries}))
    (home / "planact.toml").write_text('[policy]\nallow = ["echo*.*"]\n')
    return home


async def timed(work: Callable[[], Awaitable[object]], rounds: int) -> float:
    """Return the median time of one round in milliseconds."""
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        await work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


async def plan(client: Client, code: str, session: str | None = None) -> dict[str, object]:
    arguments = {"code": code} | ({"session": session} if session else {})
    result = await client.call_tool("run_python_actions", arguments)
    answer = result.structured_content
    assert answer is not None, result
    assert answer["status"] == "ok", answer
    return answer


async def measure_calls(folder: Path) -> dict[str, float]:
    home = configure(folder / "one", servers=1)
    async with (
        connected([__file__, "--echo-server"], home) as raw,
        connected(["-P", "-m", "planact_server", "serve"], home) as planact,
    ):
        session = str((await plan(planact, "echo(number=1)"))["session"])
        hundred = f"total = 0\nfor i in range({CALLS}):\n    total += echo(number=i)\ntotal"

        async def raw_hundred() -> None:
            for number in range(CALLS):
                await raw.call_tool("echo", {"number": number})

        await timed(lambda: raw.call_tool("echo", {"number": 1}), 20)
        return {
            "raw call, ms": await timed(lambda: raw.call_tool("echo", {"number": 1}), ROUNDS),
            "trivial plan (1 + 1), warm, ms": await timed(lambda: plan(planact, "1 + 1", session), ROUNDS),
            "plan with one call, warm, ms": await timed(lambda: plan(planact, "echo(number=1)", session), ROUNDS),
            "trivial plan in a new session, ms": await timed(lambda: plan(planact, "1 + 1"), ROUNDS // 4),
            f"{CALLS} raw calls, ms": await timed(raw_hundred, 10),
            f"one plan with {CALLS} calls, ms": await timed(lambda: plan(planact, hundred, session), 10),
        }


async def first_answer(arguments: list[str], home: Path) -> float:
    """Return the milliseconds from starting a server to the answer of its first tools/list."""
    start = time.perf_counter()
    async with connected(arguments, home) as client:
        await client.list_tools()
        return (time.perf_counter() - start) * 1000


async def measure_starts(folder: Path) -> dict[str, float]:
    planact = ["-P", "-m", "planact_server", "serve"]
    none = configure(folder / "none", servers=0)
    many = configure(folder / "many", servers=MANY_SERVERS)
    subjects = {
        "raw server": ([__file__, "--echo-server"], none),
        "Planact, 0 servers": (planact, none),
        f"Planact, {MANY_SERVERS} servers": (planact, many),
    }
    figures: dict[str, float] = {}
    for name, (arguments, home) in subjects.items():
        times = [await first_answer(arguments, home) for _ in range(STARTS)]
        figures[f"start to first answer, {name}, ms"] = statistics.median(times)
    return figures


def ratios(figures: dict[str, float]) -> dict[str, float]:
    return {
        "trivial plan above a raw call, ms": figures["trivial plan (1 + 1), warm, ms"] - figures["raw call, ms"],
        f"{CALLS} calls: plan / raw": figures[f"one plan with {CALLS} calls, ms"] / figures[f"{CALLS} raw calls, ms"],
        f"start: {MANY_SERVERS} servers / none": figures[f"start to first answer, Planact, {MANY_SERVERS} servers, ms"]
        / figures["start to first answer, Planact, 0 servers, ms"],
    }


async def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="planact-bench-", ignore_cleanup_errors=True) as name:
        figures = await measure_calls(Path(name)) | await measure_starts(Path(name))
    return {key: round(value, 3) for key, value in (figures | ratios(figures)).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--echo-server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo_server:
        serve_echo()
        return
    figures = asyncio.run(measure())
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    table = Table("what", "median", box=None)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
