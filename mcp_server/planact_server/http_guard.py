"""What stands before the MCP application on a port: who may ask, for how long, and how many at once."""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING

import h11
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_SECONDS = 30.0
"""How long a connection may take to send a request's headers, and then as long again for its body."""

MOST_CONNECTIONS = 512
"""Connections at one time; one more is closed at once. A stream that a host listens to is one of them."""


class Guard:
    """Lets only requests pass that carry the token, where there is one, and that are sent in reasonable time."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._expected = token.encode() if token else None
        """Without blanks around it: HTTP takes them away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif not self._allowed(scope):
            refusal = PlainTextResponse(
                "A bearer token is needed: Authorization: Bearer …", 401, {"WWW-Authenticate": "Bearer"}
            )
            await refusal(scope, receive, send)
        else:
            # Nothing is kept to be sent once more, and the application would look for where it is.
            headers = [header for header in scope["headers"] if header[0] != b"last-event-id"]
            await self._app({**scope, "headers": headers}, _Body(receive).receive, send)

    def _allowed(self, scope: Scope) -> bool:
        if self._expected is None:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._expected)


class _Body:
    """A request's body, which has to be there in time; what comes after it may take as long as it likes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + REQUEST_SECONDS
        self._complete = False

    async def receive(self) -> Message:
        """Return the next message. Raises HTTPException, which the application answers."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The request took too long to arrive.", {"Connection": "close"}) from None
        self._complete = not message.get("more_body", False)
        return message


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 on one connection, closed where too many are open or no request comes.

    Never the parser in C that uvicorn would take where it is installed: that one has no bound for headers.
    """

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's
        """Begin, if there is room."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, with nothing left behind."""
        super().connection_lost(exc)
        self._rest()

    def _watch(self) -> None:
        """Wait for the rest of a request's headers, no longer than from when they began."""
        if self.conn.their_state is not h11.IDLE:
            self._rest()
        elif self._patience is None:
            self._patience = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _rest(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
