"""What can go wrong behind a URL: nobody there, a refused login, a server that was restarted."""

import json
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import anyio
import pytest
from anyio import fail_after

from planact_bridge import Downstream, Eras, HttpSpec
from planact_tools import ToolCall, ToolError

WRITE = ToolCall(name="write", arguments={})


class HandWritten(ThreadingHTTPServer):
    """An HTTP server of the older era, with sessions that it can forget."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Answers)
        self.sessions: set[str] = set()
        self.calls = 0
        self.refuse: int | None = None
        self.hang_up: int | None = None
        self.odd: tuple[int, dict[str, str], bytes | Callable[[dict], bytes]] | None = None
        self.slow = Event()
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mcp?key=secret"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Answers(BaseHTTPRequestHandler):
    server: HandWritten

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.refuse is not None:
            self.send_error(self.server.refuse)
        elif "id" not in message:
            self._send(202, b"")
        elif message["method"] == "initialize":
            session = f"s{len(self.server.sessions)}-{id(self.server)}"
            self.server.sessions.add(session)
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "h", "version": "1"}}
            self._answer(message, result, session)
        elif self.headers["mcp-session-id"] not in self.server.sessions:
            self._send(404, b"{}", type="application/json")
        elif self.server.odd is not None and message["params"]["name"] == "write":
            self.server.calls += 1
            status, headers, body = self.server.odd
            self._send(status, body(message) if callable(body) else body, **headers)
        elif self.server.hang_up is not None:
            self.server.calls += 1
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
            self.wfile.write(head[: self.server.hang_up])
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.server.calls += 1
            if message["params"]["name"] == "slow":
                self.server.slow.wait(20)
            self._answer(message, {"content": [{"type": "text", "text": "written"}]})

    def do_GET(self) -> None:
        self.send_error(405)

    def do_DELETE(self) -> None:
        self._send(200, b"")

    def _answer(self, message: dict, result: dict, session: str | None = None) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        self._send(200, body, **({"mcp-session-id": session} if session else {}), type="application/json")

    def _send(self, status: int, body: bytes, *, type: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": type, "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[HandWritten]:
    server = HandWritten()
    yield server
    server.stop()


def downstream(url: str) -> Downstream:
    spec = HttpSpec(name="web", url=url)
    return Downstream(spec, eras=Eras({spec.identity: "handshake"}))


async def test_an_address_where_nobody_listens_is_named_without_its_secrets() -> None:
    with socket.socket() as held:  # bound and not listening: nobody else can take the port
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        server = downstream(f"http://127.0.0.1:{port}/mcp?key=secret")
        with fail_after(20), pytest.raises(ToolError) as caught:
            await server.definitions()
        await server.aclose()
    assert caught.value.message == (
        f"Server 'web' did not start: http://127.0.0.1:{port} cannot be reached: All connection attempts failed."
    )


async def test_a_refused_login_is_reported_as_such(web: HandWritten) -> None:
    web.refuse = 401
    server = Downstream(HttpSpec(name="locked", url=web.url))
    with fail_after(20), pytest.raises(ToolError) as caught:
        await server.definitions()
    await server.aclose()
    assert caught.value.message == (
        "Server 'locked' did not start: it answered 'initialize' with an error: "
        "HTTP 401 Unauthorized; log in with `planact servers login locked`, or give 'headers' (code -32603)."
    )


async def test_an_error_page_in_a_call_is_that_calls_error_only(web: HandWritten) -> None:
    server = downstream(web.url)
    with fail_after(20):
        await server.connect()
        web.refuse = 502
        with pytest.raises(ToolError, match=r"HTTP 502 Bad Gateway") as caught:
            await server.call(WRITE)
        assert caught.value.outcome_unknown  # who answered is not the one who was called
        web.refuse = None
        assert (await server.call(WRITE)).value == "written"
        assert server.status.counters.starts == 1
        await server.aclose()


async def test_a_call_whose_session_was_forgotten_is_made_in_a_new_one(web: HandWritten) -> None:
    """The server never saw it, so that is safe for a write too."""
    server = downstream(web.url)
    with fail_after(20):
        await server.connect()
        web.sessions.clear()
        assert (await server.call(WRITE)).value == "written"
        assert (web.calls, server.status.counters.starts) == (1, 2)
        await server.aclose()


@pytest.mark.parametrize("sent", [0, 20, 1000])
async def test_a_write_whose_answer_breaks_off_is_not_repeated_and_costs_nothing_else(
    web: HandWritten, sent: int
) -> None:
    server = downstream(web.url)
    with fail_after(20):
        await server.connect()
        web.hang_up = sent
        with pytest.raises(ToolError, match=r"Server 'web' was lost during 'tools/call' of 'write'") as caught:
            await server.call(WRITE)
        assert caught.value.outcome_unknown
        assert f"the exchange with http://127.0.0.1:{web.server_port} broke off: " in caught.value.message
        assert ".." not in caught.value.message
        web.hang_up = None
        assert (await server.call(WRITE)).value == "written"
        assert (web.calls, server.status.counters.starts) == (2, 1)
        await server.aclose()


async def test_a_server_that_was_away_is_connected_to_again(web: HandWritten) -> None:
    server = downstream(web.url)
    with fail_after(20):
        await server.connect()
        port = web.server_port
        web.stop()
        with pytest.raises(ToolError, match=r"cannot be reached") as caught:
            await server.call(WRITE)
        assert not caught.value.outcome_unknown
        back = HandWritten(port)
        assert (await server.call(WRITE)).value == "written"
        await server.aclose()
        back.stop()


JSON = {"type": "application/json"}
ODD = {
    "a page": (200, {"type": "text/html"}, b"<html>"),
    "no JSON": (200, JSON, b"{nope"),
    "nothing": (204, {}, b""),
    "taken note": (202, {}, b""),
    "a gateway that gave up": (504, {"type": "text/html"}, b"<html>"),
    "what does not unpack": (200, {**JSON, "content-encoding": "gzip"}, b"no gzip"),
    "an error that does not unpack": (500, {**JSON, "content-encoding": "gzip"}, b"no gzip"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_an_answer_that_says_nothing_leaves_open_what_a_write_did_and_costs_no_other_call(
    web: HandWritten, odd: tuple[int, dict[str, str], bytes]
) -> None:
    server = downstream(web.url)
    beside: list[object] = []

    async def slow() -> None:
        beside.append((await server.call(ToolCall(name="slow", arguments={}))).value)

    with fail_after(20):
        await server.connect()
        web.odd = odd
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow)
            with pytest.raises(ToolError) as caught:
                await server.call(WRITE)
            web.slow.set()
        assert caught.value.outcome_unknown
        assert "It is not known whether the call took effect." in caught.value.message
        assert (beside, server.status.counters.starts) == (["written"], 1)
        await server.aclose()


async def test_what_the_server_itself_refuses_was_not_done(web: HandWritten) -> None:
    server = downstream(web.url)
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "not today"}}
    with fail_after(20):
        await server.connect()
        web.odd = (500, JSON, json.dumps(error).encode())
        with pytest.raises(ToolError, match="not today") as caught:
            await server.call(WRITE)
        assert not caught.value.outcome_unknown
        await server.aclose()


EVENTS = {"type": "text/event-stream"}
LENIENT = {
    "a batch": '[{"method": "n"}, {"jsonrpc": "2.0", "id": %d, "result": {"content": "done"}}]',
    "without jsonrpc": '{"id": %d, "result": {"content": "done"}}',
    "a float for a number": '{"jsonrpc": "2.0", "id": %d.0, "result": {"content": "done"}}',
}


@pytest.mark.parametrize("answer", LENIENT.values(), ids=LENIENT)
async def test_an_answer_is_understood_as_it_is_on_a_pipe(web: HandWritten, answer: str) -> None:
    server = downstream(web.url)
    with fail_after(20):
        await server.connect()
        web.odd = (200, JSON, lambda message: (answer % message["id"]).encode())
        assert (await server.call(WRITE)).value == "done"
        await server.aclose()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_events_that_are_no_messages_are_passed_over(web: HandWritten, end: str) -> None:
    lines = (
        *(": hello", "event: ping", "data: 5", ""),
        *("data: garbage", ""),
        *("id: 7", "event: message", 'data: [{"id": 1.0,', 'data: "result": {"content": "done"}}]', ""),
        "",
    )
    server = downstream(web.url)
    with fail_after(20):
        await server.connect()
        web.odd = (200, EVENTS, end.join(lines).encode())
        assert (await server.call(WRITE)).value == "done"
        await server.aclose()


async def test_an_error_that_is_a_bare_text_is_the_server_s_word(web: HandWritten) -> None:
    server = downstream(web.url)
    with fail_after(20):
        await server.connect()
        web.odd = (200, JSON, lambda message: json.dumps({"id": message["id"], "error": "bad"}).encode())
        with pytest.raises(ToolError) as caught:
            await server.call(WRITE)
        assert caught.value.message == (
            "Server 'web' answered 'tools/call' of 'write' with an error: bad (code -32603)."
        )
        assert not caught.value.outcome_unknown
        await server.aclose()


async def test_an_answer_that_is_no_message_is_told_in_one_sentence(web: HandWritten) -> None:
    server = downstream(web.url)
    with fail_after(20):
        await server.connect()
        web.odd = (200, JSON, b"{nope")
        with pytest.raises(ToolError) as caught:
            await server.call(WRITE)
        assert caught.value.message == (
            "Server 'web' answered 'tools/call' of 'write' with an error: what it sent is no message of the protocol "
            "(code -32603). It is not known whether the call took effect."
        )
        await server.aclose()
