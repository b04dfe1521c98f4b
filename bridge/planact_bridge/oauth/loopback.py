"""The address on this machine that a browser is sent to at the end of a login."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PATH = "/callback"
READ_SECONDS = 10.0
MAX_HEAD_BYTES = 64 * 1024

_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>Planact</title>'
    '<body style="font: 16px system-ui; margin: 4em auto; max-width: 30em"><p>{}</p>'
)


@dataclass(slots=True)
class Loopback:
    """Waits for one answer: the first that carries the expected `state`."""

    url: str
    state: str | None = None
    """What the answer has to carry; until it is known, every answer is refused."""

    _answer: asyncio.Future[dict[str, str]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def answer(self) -> dict[str, str]:
        """Return the parameters of the answer, for example `code`, `state` and `iss`, or `error`."""
        return await self._answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, text = self._take(head.partition(b"\r\n")[0].decode("latin-1"))
            page = _PAGE.format(text).encode()
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(page)}\r\n"
                "cache-control: no-store\r\nconnection: close\r\n\r\n".encode()
                + page
            )
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever that was, it is not the answer
        finally:
            writer.close()

    def _take(self, request_line: str) -> tuple[str, str]:
        method, _, rest = request_line.partition(" ")
        target = urlsplit(rest.partition(" ")[0])
        if method != "GET" or target.path != PATH:
            return "404 Not Found", "There is nothing here."
        given = {name: values[0] for name, values in parse_qs(target.query).items()}
        # Any page that the person has open can send the browser here.
        if self.state is None or given.get("state") != self.state:
            return "400 Bad Request", "This is not the answer to a login of Planact's."
        if not self._answer.done():
            self._answer.set_result(given)
        if "code" not in given:
            return "200 OK", "The login was refused. The terminal says why; this page can be closed."
        return "200 OK", "Planact has the answer. This page can be closed."


@asynccontextmanager
async def open_loopback(port: int = 0) -> AsyncGenerator[Loopback]:
    """Listen on this machine only, at a free port or the one given. Raises OSError."""
    loopback = Loopback("")
    server = await asyncio.start_server(loopback.serve, "127.0.0.1", port, limit=MAX_HEAD_BYTES)
    loopback.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}"
    try:
        yield loopback
    finally:
        server.close()
