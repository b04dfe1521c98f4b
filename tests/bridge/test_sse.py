"""The older HTTP+SSE transport: the SDK's server, and what can go wrong with one written by hand."""

import json
import queue
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from anyio import fail_after

from planact_bridge import Deadlines, Downstream, HttpSpec
from planact_tools import ToolCall, ToolError, ToolResult
from warm.start import warm_python

GOOD = Path(__file__).with_name("servers") / "good.py"
ECHO = ToolCall(name="echo", arguments={})


@pytest.fixture(scope="module")
def good() -> Iterator[str]:
    with subprocess.Popen(warm_python(str(GOOD), "sse", "0"), stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.kill()


@pytest.mark.parametrize("transport", ["sse", "streamable"])
async def test_a_server_of_the_older_transport_is_used_whether_or_not_its_entry_says_so(good: str, transport) -> None:
    server = Downstream(HttpSpec(name="old", url=good, transport=transport, headers={"X-Key": "open sesame"}))
    with fail_after(20):
        assert "add" in [tool.name for tool in await server.definitions()]
        assert await server.call(ToolCall(name="add", arguments={"a": 40})) == ToolResult(value=42)
        header = await server.call(ToolCall(name="header", arguments={"name": "x-key"}))
        assert header == ToolResult(value="open sesame")
        assert (server.status.era, server.status.counters.starts) == ("handshake", 1)
        await server.aclose()


class ByHand(ThreadingHTTPServer):
    """A server of that transport; the answers to posts go through one stream at a time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.events: queue.Queue[tuple[str, str] | None] = queue.Queue()
        self.endpoint: str | None = "/messages?session=1"
        self.content_type = "text/event-stream"
        self.hang_up = False
        self.refuse: int | None = None
        self.streams = 0
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/sse"


class Answers(BaseHTTPRequestHandler):
    server: ByHand

    def do_GET(self) -> None:
        self.server.streams += 1
        self.server.events = events = queue.Queue()
        self.send_response(200)
        self.send_header("content-type", self.server.content_type)
        self.end_headers()
        if self.server.endpoint is not None:
            events.put(("endpoint", self.server.endpoint))
        while (event := events.get()) is not None:
            self.wfile.write("event: {}\ndata: {}\n\n".format(*event).encode())

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        refused = self.server.refuse if message["method"] == "tools/call" else None
        self.send_response(refused or 202)
        self.send_header("content-length", "0")
        self.end_headers()
        events = self.server.events
        if refused is not None:
            self.server.refuse = None
        elif message["method"] == "initialize":
            result = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "h", "version": "1"}}
            events.put(("ping", "not a message"))
            events.put(("message", "garbage"))
            events.put(("message", json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})))
        elif message["method"] == "tools/call" and self.server.hang_up:
            self.server.hang_up = False
            events.put(None)
        elif "id" in message:
            result = {"content": [{"type": "text", "text": "x" * message["params"]["arguments"].get("size", 2)}]}
            # Without "jsonrpc": servers by hand forget it.
            events.put(("message", json.dumps({"id": message["id"], "result": result})))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[ByHand]:
    server = ByHand()
    yield server
    server.events.put(None)
    server.shutdown()
    server.server_close()


def old(web: ByHand, **options: Any) -> Downstream:
    return Downstream(HttpSpec(name="old", url=web.url, transport="sse"), **options)


async def test_what_is_no_message_is_passed_over_and_events_have_no_limit_of_size(web: ByHand) -> None:
    server = old(web)
    with fail_after(20):
        result = await server.call(ToolCall(name="echo", arguments={"size": 3_000_000}))
        assert result.value == "x" * 3_000_000
        await server.aclose()


async def test_a_call_whose_stream_ends_is_lost_and_the_next_one_connects_again(web: ByHand) -> None:
    server = old(web)
    with fail_after(20):
        await server.connect()
        web.hang_up = True
        with pytest.raises(ToolError, match=r"was lost during 'tools/call' of 'echo': its stream of events") as caught:
            await server.call(ECHO)
        assert caught.value.outcome_unknown
        assert (await server.call(ECHO)).value == "xx"
        assert web.streams == 2
        await server.aclose()


async def test_a_session_that_was_forgotten_costs_nothing(web: ByHand) -> None:
    server = old(web)
    with fail_after(20):
        await server.connect()
        web.refuse = 404
        assert (await server.call(ECHO)).value == "xx"
        assert web.streams == 2
        await server.aclose()


async def test_a_post_that_is_refused_is_that_calls_error(web: ByHand) -> None:
    server = old(web)
    with fail_after(20):
        await server.connect()
        web.refuse = 503
        with pytest.raises(ToolError, match="HTTP 503 Service Unavailable"):
            await server.call(ECHO)
        assert (await server.call(ECHO)).value == "xx"
        assert web.streams == 1
        await server.aclose()


async def test_messages_are_not_sent_to_another_server(web: ByHand) -> None:
    web.endpoint = "https://elsewhere.example/messages"
    server = old(web)
    with fail_after(20), pytest.raises(ToolError, match=r"sent to https://elsewhere\.example, another server"):
        await server.definitions()
    await server.aclose()


async def test_a_server_that_never_says_where_to_post_is_given_up_after_the_deadline(web: ByHand) -> None:
    web.endpoint = None
    server = old(web, deadlines=Deadlines(start=1.5))
    with fail_after(20), pytest.raises(ToolError) as caught:
        await server.definitions()
    assert caught.value.message == "Server 'old' did not start: it did not say where to post within 1.5 s."
    await server.aclose()


async def test_an_address_to_post_to_that_is_none_is_named(web: ByHand) -> None:
    web.endpoint = "http://[bad/post"
    server = old(web)
    with fail_after(20), pytest.raises(ToolError) as caught:
        await server.definitions()
    assert caught.value.message == (
        "Server 'old' did not start: it wants messages sent to 'http://[bad/post', which is no address."
    )
    await server.aclose()


async def test_a_page_that_is_no_stream_of_events_is_named(web: ByHand) -> None:
    web.content_type = "text/html; charset=utf-8"
    server = old(web)
    with fail_after(20), pytest.raises(ToolError, match="answered with 'text/html' where a stream of events belongs"):
        await server.definitions()
    await server.aclose()


async def test_an_address_without_any_mcp_server_is_reported_as_asked_first(web: ByHand) -> None:
    """The old transport is only tried; the error is that of the newer one."""
    web.content_type = "text/html"
    server = Downstream(HttpSpec(name="page", url=f"http://127.0.0.1:{web.server_port}/"))
    web.RequestHandlerClass = type("NoPost", (Answers,), {"do_POST": lambda self: self.send_error(405)})
    with fail_after(20), pytest.raises(ToolError, match="HTTP 405 Method Not Allowed"):
        await server.definitions()
    await server.aclose()
