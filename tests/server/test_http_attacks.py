"""What others may try on the HTTP port, through real sockets."""

from __future__ import annotations

import json
import signal
import socket
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import httpx2 as httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from planact_server import http_guard
from planact_server.http import _security
from planact_server.http_guard import BoundedProtocol, Guard
from server.test_http import HEADERS, INITIALIZE, post, serving, serving_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import SocketStream
    from starlette.requests import Request
    from starlette.types import Message

    from planact_testing import Home

BODY = json.dumps(INITIALIZE)
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def said(address: str, request: str) -> str:
    """Send these bytes and return the first line of what comes back; nothing where the connection is closed."""
    async with await connected(address) as stream:
        await stream.send(request.encode("latin-1"))
        try:
            return (await stream.receive()).decode("latin-1").partition("\r\n")[0]
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return ""


async def connected(address: str) -> SocketStream:
    return await anyio.connect_tcp("127.0.0.1", httpx.URL(address).port or 0)


def request(*headers: str, method: str = "POST", path: str = "/mcp", host: str | None = "127.0.0.1") -> str:
    sent = (f"{name}: {value}" for name, value in HEADERS.items())
    named = () if host is None else (f"Host: {host}",)
    return "\r\n".join((f"{method} {path} HTTP/1.1", *named, *sent, f"Content-Length: {len(BODY)}", *headers, "", BODY))


async def test_only_names_of_this_machine_are_hosts_and_origins(home: Home) -> None:
    answers = {
        "Origin: null": "403",
        "oRIGIN: http://evil.example": "403",
        "Origin: http://127.0.0.1.evil.example": "403",
        "Origin: http://localhost.evil.example:80": "403",
        "Origin: http://[::1]:3000": "200",
        "Origin: http://localhost:3000": "200",
    }
    async with serving(home) as address:
        with anyio.fail_after(40):
            assert "400" in await said(address, request(host=None))
            assert "400" in await said(address, request("Host: evil.example"))
            for host in ("127.0.0.1.evil.example", "localhost.evil.example:8931", "0.0.0.0:8931", ""):
                assert "421" in await said(address, request(host=host)), host
            for host in ("localhost:8931", "[::1]:8931", "127.0.0.1"):
                assert "200" in await said(address, request(host=host)), host
            for header, status in answers.items():
                assert status in await said(address, request(header)), header


async def test_every_path_and_method_asks_for_the_token(home: Home) -> None:
    async with serving(home, PLANACT_HTTP_TOKEN="secret-of-the-test") as address:
        with anyio.fail_after(40):
            for method in ("GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT"):
                for path in ("/mcp", "/", "/mcp/", "/nowhere"):
                    assert "401" in await said(address, request(method=method, path=path)), (method, path)
            two = ("Authorization: Bearer secret-of-the-test", "Authorization: Bearer other")
            assert "401" in await said(address, request(*two))
            assert await post(address, Authorization="bearer secret-of-the-test") == 200


async def test_what_is_too_large_is_refused_and_others_are_served(home: Home) -> None:
    flood = "\r\n".join(f"X-{number}: {'x' * 100}" for number in range(2_000))
    async with serving(home) as address:
        with anyio.fail_after(40):
            assert "400" in await said(address, request(flood))
            large = request().replace(f"Content-Length: {len(BODY)}", f"Content-Length: {1 << 40}")
            assert "413" in await said(address, large)
            async with httpx.AsyncClient(timeout=20) as http:
                nested = await http.post(address, content="[" * 1_000_000, headers=HEADERS)
                modern = HEADERS | {"Mcp-Protocol-Version": "2026-07-28"}
                also = await http.post(address, content="[" * 1_000_000, headers=modern)
            assert (nested.status_code, also.status_code) == (400, 400)
            assert await post(address) == 200


async def test_a_request_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "REQUEST_SECONDS", 0.05)
    sent: list[Message] = []

    async def never() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def endpoint(request: Request) -> Response:
        return Response(await request.body())

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    with anyio.fail_after(10):
        await Guard(Starlette(routes=[Route("/", endpoint, methods=["POST"])]), None)(scope, never, send)
    assert sent[0]["status"] == 408


@asynccontextmanager
async def guarded() -> AsyncIterator[str]:
    """Serve something from this process."""
    settings = uvicorn.Config(
        Starlette(routes=[Route("/", lambda _: Response("here"))]), http=BoundedProtocol, log_level="warning"
    )
    web = uvicorn.Server(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(web.serve, [listener])
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
            web.should_exit = True


async def closed(stream: SocketStream) -> None:
    """Wait until the other side closes."""
    with suppress(anyio.BrokenResourceError):
        async for _ in stream:
            pass


@pytest.mark.parametrize("begun", [b"\r", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_connection_that_sends_no_whole_request_is_closed(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(http_guard, "REQUEST_SECONDS", 0.1)
    with anyio.fail_after(20):
        async with guarded() as address, await connected(address) as fresh, await connected(address) as used:
            await used.send(WHOLE)
            assert b"200" in await used.receive()
            for stream in (fresh, used):
                await stream.send(begun)
                await closed(stream)


async def test_one_connection_too_many_is_closed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "MOST_CONNECTIONS", 2)
    with anyio.fail_after(20):
        async with guarded() as address, await connected(address), await connected(address) as second:
            async with await connected(address) as third:
                await closed(third)
            await second.send(WHOLE)
            assert b"200" in await second.receive()


def test_an_unusual_loopback_address_is_a_name_of_its_own() -> None:
    assert "127.0.0.2" in _security("127.0.0.2").allowed_hosts
    assert not _security("0:0::0").enable_dns_rebinding_protection


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot ask a process to end")
async def test_open_streams_and_half_sent_requests_do_not_hold_up_the_end(home: Home) -> None:
    async with serving_process(home) as (process, address), httpx.AsyncClient(timeout=20) as http:
        with anyio.fail_after(30):
            opened = await http.post(address, json=INITIALIZE, headers=HEADERS)
            session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "Mcp-Protocol-Version": "2025-11-25"}
            async with http.stream("GET", address, headers=HEADERS | session), await connected(address) as half:
                await half.send(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf")
                process.send_signal(signal.SIGTERM)
                await process.wait()
    assert process.returncode == 0
