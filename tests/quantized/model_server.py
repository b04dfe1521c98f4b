"""A model server of the test: real HTTP on loopback, every byte under the test's control, every connection seen."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream


@dataclass
class Exchange:
    """One request and the way back."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    stream: SocketStream

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def answer(self, status: int, body: Any, *, kind: str = "application/json", **headers: str) -> None:
        """Send a whole answer; the connection stays open."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + data)

    async def begin(self, kind: str = "text/event-stream") -> None:
        await self.send(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    async def piece(self, data: bytes) -> None:
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def finish(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def streamed(self, *pieces: bytes) -> None:
        await self.begin()
        for piece in pieces:
            await self.piece(piece)
        await self.finish()

    async def says(self, *texts: str, reason: str = "stop") -> None:
        """Stream texts as chat completions usually do."""
        await self.streamed(*(delta(text) for text in texts), ending(reason), b"data: [DONE]\n\n")


Handler = Callable[[Exchange], Awaitable[None]]


@dataclass
class ModelServer:
    """What the server has, and what was asked of it."""

    port: int = 0
    pages: dict[str, Handler] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    hung_up: anyio.Event = field(default_factory=anyio.Event)
    """Set when a client left before its answer was complete."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def asked(self, path: str) -> list[Exchange]:
        return [each for each in self.exchanges if each.path == path]

    @property
    def chats(self) -> list[Exchange]:
        return self.asked("/v1/chat/completions")

    def chat(self, handler: Handler) -> None:
        self.pages["/v1/chat/completions"] = handler

    def page(self, path: str, body: Any, status: int = 200) -> None:
        async def send(exchange: Exchange) -> None:
            await exchange.answer(status, body)

        self.pages[path] = send


def delta(text: str, *, index: int = 0) -> bytes:
    return event({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]})


def ending(reason: str, **usage: Any) -> bytes:
    body: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return event(body | ({"usage": usage} if usage else {}))


def event(body: Any) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


@asynccontextmanager
async def serving(*models: str) -> AsyncIterator[ModelServer]:
    """Serve until the block is left. Unknown pages are 404; there are no pages but the list of models."""
    server = ModelServer()
    server.page("/v1/models", {"object": "list", "data": [{"id": name} for name in models or ("tiny",)]})
    connections = 0

    async def connected(stream: SocketStream) -> None:
        nonlocal connections
        connections += 1
        async with stream:
            try:
                await _serve(server, stream, connections)
            except (anyio.EndOfStream, anyio.IncompleteRead):
                pass
            except (anyio.BrokenResourceError, ConnectionError):
                server.hung_up.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        server.port = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, connected)
        yield server
        tasks.cancel_scope.cancel()


async def _serve(server: ModelServer, stream: SocketStream, connection: int) -> None:
    reader = BufferedByteReceiveStream(stream)
    while True:
        head = (await reader.receive_until(b"\r\n\r\n", 65536)).decode()
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.receive_exactly(int(headers.get("content-length", 0)))
        exchange = Exchange(
            method=method,
            path=path,
            headers=headers,
            body=json.loads(body) if body else None,
            connection=connection,
            stream=stream,
        )
        server.exchanges.append(exchange)
        handler = server.pages.get(path)
        if handler is None:
            await exchange.answer(404, {"error": "not found"})
        else:
            await handler(exchange)


async def until_hung_up(exchange: Exchange, server: ModelServer) -> None:
    """Wait for the client to leave, as a server that is writing would notice."""
    try:
        await exchange.stream.receive(1)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        server.hung_up.set()
    raise anyio.EndOfStream
