"""Streamable HTTP: both eras, loopback only, Host and Origin checks, a bearer token anywhere else."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import anyio
import httpx2 as httpx
import pytest
from anyio.abc import Process
from mcp import Client
from mcp.types import ToolListChangedNotification, ToolsCapability

from planact_server.http import _listening  # pyright: ignore[reportPrivateUsage]
from planact_testing import Home, act, appears, planact

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@asynccontextmanager
async def serving(home: Home, *, host: str = "127.0.0.1", cold: bool = False, **environment: str) -> AsyncIterator[str]:
    """Serve over HTTP on a free port and yield the address."""
    async with serving_process(home, host, environment, cold=cold) as (_, address):
        yield address


@asynccontextmanager
async def serving_process(
    home: Home,
    host: str = "127.0.0.1",
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    cold: bool = False,
) -> AsyncIterator[tuple[Process, str]]:
    said = home.folder / "stderr.txt"
    with said.open("w") as errors:
        process = await anyio.open_process(
            planact("serve", "--http", f"{host}:0", cold=cold),
            env=home.environment | dict(environment),
            cwd=home.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    async with process:
        try:
            yield process, f"http://127.0.0.1:{await announced(said)}/mcp"
        finally:
            with suppress(ProcessLookupError):
                process.terminate()


async def announced(said: Path) -> int:
    """Return the port that a server says it serves on."""
    with anyio.fail_after(30):
        while (found := re.search(r"serving http://\S+:(\d+)/mcp", said.read_text())) is None:
            await anyio.sleep(0.02)
    return int(found[1])


async def listening(port: int) -> None:
    with anyio.fail_after(30):
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    return
            except OSError:
                await anyio.sleep(0.02)


async def post(address: str, **headers: str) -> int:
    async with httpx.AsyncClient(timeout=20) as http:
        answer = await http.post(address, json=INITIALIZE, headers=HEADERS | headers)
        return answer.status_code


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_plan_runs_over_http_in_both_eras(home: Home, mode: str) -> None:
    async with serving(home, cold=mode == "auto") as address:
        with anyio.fail_after(30):
            async with Client(address, mode=mode) as client:
                answer = await act(client, "pair_sum(a=[1], b=[2])")
    assert answer["result"] == [3]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_cancelling_over_http_cancels_the_downstream_call(home: Home, mode: str) -> None:
    gate = home.folder / "gate"
    async with serving(home) as address:
        with anyio.fail_after(40):
            async with Client(address, mode=mode) as client:
                await act(client, "pair_sum(a=[1], b=[2])")
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(act, client, f'wait_for(path="{gate}")')
                    await appears(home.folder / "gate.started")
                    tasks.cancel_scope.cancel()
                await appears(home.folder / "gate.cancelled")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_progress_reaches_a_host_over_http(home: Home, mode: str) -> None:
    heard: list[str | None] = []

    async def listen(_progress: float, _total: float | None, message: str | None) -> None:
        heard.append(message)

    gate = home.folder / "gate"
    gate.touch()
    plan = {"code": f'progress("half", 0.5)\nwait_for(path="{gate}")\nprogress("done", 1.0)'}
    async with serving(home) as address:
        with anyio.fail_after(40):
            async with Client(address, mode=mode) as client:
                await client.call_tool("run_python_actions", plan, progress_callback=listen)
    assert [message for message in heard if message in ("half", "waiting", "done")] == ["half", "waiting", "done"]


async def test_one_clients_handles_are_unknown_to_another(home: Home) -> None:
    async with serving(home) as address:
        with anyio.fail_after(30):
            async with Client(address, mode="legacy") as mine, Client(address, mode="legacy") as other:
                answer = await act(mine, "secret = 1")
                session = await act(other, "secret", session=answer["session"])
                run = await act(other, run=answer["run"])
                again = await act(mine, "secret", session=answer["session"])
    assert "Unknown session" in session["errors"][0]["message"]
    assert "Unknown run" in run["errors"][0]["message"]
    assert again["result"] == 1


async def test_a_page_of_another_origin_is_turned_away(home: Home) -> None:
    async with serving(home) as address:
        assert await post(address) == 200
        assert await post(address, Origin="http://evil.example") == 403
        assert await post(address, Host="evil.example") == 421


async def test_a_token_is_asked_for_where_it_is_set(home: Home) -> None:
    async with serving(home, PLANACT_HTTP_TOKEN="secret-of-the-test") as address:
        assert await post(address) == 401
        assert await post(address, Authorization="Bearer wrong") == 401
        assert await post(address, Authorization="Bearer secret-of-the-test") == 200


@pytest.mark.parametrize(("token", "status"), [(" padded\n", 401), ("  ", 200)])
async def test_blanks_around_a_token_do_not_count(home: Home, token: str, status: int) -> None:
    async with serving(home, PLANACT_HTTP_TOKEN=token) as address:
        assert await post(address) == status
        assert await post(address, Authorization="Bearer padded") == 200


async def test_a_token_that_cannot_be_sent_is_refused(home: Home) -> None:
    home.environment["PLANACT_HTTP_TOKEN"] = "schlüssel"
    code, _, complaint = await home.run("serve", "--http", "127.0.0.1:0")
    assert (code, "PLANACT_HTTP_TOKEN has characters" in complaint) == (2, True)


def test_answers_leave_at_once() -> None:
    with _listening("127.0.0.1", 0) as listener:
        # What asyncio looks at before it switches Nagle's algorithm off.
        assert listener.proto == socket.IPPROTO_TCP


async def test_a_host_that_asks_for_what_it_missed_gets_what_is_new(home: Home) -> None:
    async with serving(home) as address, httpx.AsyncClient(timeout=20) as http:
        opened = await http.post(address, json=INITIALIZE, headers=HEADERS)
        headers = {**HEADERS, "Mcp-Session-Id": opened.headers["Mcp-Session-Id"], "Last-Event-ID": "7"}
        async with http.stream("GET", address, headers=headers) as stream:
            assert (stream.status_code, stream.headers["content-type"][:17]) == (200, "text/event-stream")


async def test_serving_beyond_loopback_needs_a_token(home: Home) -> None:
    code, out, complaint = await home.run("serve", "--http", "0.0.0.0:8931")
    assert (code, out) == (2, "")
    assert "PLANACT_HTTP_TOKEN" in complaint


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", "127.0.0.1:99999"])
async def test_an_address_that_is_none(home: Home, address: str) -> None:
    code, _, complaint = await home.run("serve", "--http", address)
    assert code == 2
    assert repr(address) in complaint


async def test_a_port_in_use_is_named(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, complaint = await home.run("serve", "--http", f"127.0.0.1:{port}")
    assert code == 2
    assert str(port) in complaint


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot ask a process to end")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_the_runs_with_their_answers_and_then_the_process(
    home: Home, number: signal.Signals, code: int
) -> None:
    gate = home.folder / "gate"
    answers: list[dict[str, object]] = []
    async with serving_process(home) as (process, address), Client(address) as client:

        async def plan() -> None:
            answers.append(await act(client, f'x = 1\nwait_for(path="{gate}")'))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(plan)
                await appears(home.folder / "gate.started")
                process.send_signal(number)
            await process.wait()

    assert (answers[0]["status"], answers[0]["variables"], process.returncode) == ("cancelled", {"x": 1}, code)
    await appears(home.folder / "gate.cancelled")
    assert (home.folder / "stderr.txt").read_text() == f"planact: serving {address}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot ask a process to end")
async def test_a_plan_that_takes_a_second_to_stop_still_answers_a_host_of_the_older_protocol(home: Home) -> None:
    gate = home.folder / "gate"
    plan = f'try:\n    wait_for(path="{gate}")\nfinally:\n    x = sum(range(40_000_000))'
    answers: list[dict[str, object]] = []
    async with serving_process(home) as (process, address), Client(address, mode="legacy") as client:

        async def run() -> None:
            answers.append(await act(client, plan))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                await appears(home.folder / "gate.started")
                process.send_signal(signal.SIGTERM)
            await process.wait()
    assert (answers[0]["status"], process.returncode) == ("cancelled", 0)


async def test_a_host_of_the_older_protocol_is_told_when_the_tools_change(home: Home) -> None:
    told = anyio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            told.set()

    async with serving(home) as address, Client(address, mode="legacy", message_handler=hear) as client:
        capabilities = client.server_capabilities
        before = (await client.list_tools()).tools[0].description
        with anyio.fail_after(20):
            await told.wait()
        after = (await client.list_tools()).tools[0].description

    assert capabilities.tools == ToolsCapability(list_changed=True)
    assert "pair_sum" not in str(before)
    assert "pair_sum" in str(after)
