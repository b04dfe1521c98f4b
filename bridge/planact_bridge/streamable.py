"""A server behind a URL: streamable HTTP from the SDK, with failures that say what happened.

The SDK tears a whole connection down when one request cannot be sent, and reduces an HTTP error to "Server
returned an error response". Here each becomes the JSON-RPC error of the one request that it belongs to.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httpx2
from mcp.client.streamable_http import MCP_SESSION_ID, streamable_http_client
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, METHOD_NOT_FOUND

from planact_bridge import http_bodies
from planact_bridge.errors import LOST, UNDELIVERED, UNREADABLE
from planact_bridge.http_reasons import NEVER_SENT, failed, refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage

    from planact_bridge.specs import HttpSpec
    from planact_tools import JSONValue


CONNECT_SECONDS = 10.0
SEND_SECONDS = 60.0
GOODBYE_SECONDS = 2.0
"""Longest wait for a server to take note that a session is over."""

BROKEN_STREAM = "SSE stream"
"""How the SDK's messages begin when a response broke off."""

NO_ANSWER = ("Unexpected content type", "Failed to parse", "server answered a request with 202")
"""How they begin when a response is none to the request."""

_OTHER_TRANSPORT = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
"""What a server answers to a post where it knows only the older transport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLink:
    """An open streamable HTTP connection."""

    read: ReadStream[SessionMessage | Exception]
    write: WriteStream[SessionMessage]
    watch: SpeakingTransport

    @property
    def unserved(self) -> bool:
        """Say whether the server answered as one that does not speak this transport."""
        return self.watch.unserved

    @property
    def failure(self) -> str | None:
        """Why it is of no more use; None while it is."""
        return self.watch.failure

    @property
    def heard(self) -> int | None:
        return None

    @property
    def pid(self) -> int | None:
        return None

    @property
    def last_words(self) -> str:
        return ""

    async def obituary(self) -> str:
        """Say why the server is gone."""
        return self.watch.failure or "the connection closed"


class SpeakingTransport(httpx2.AsyncBaseTransport):
    """Sends requests; answers failed ones itself with a JSON-RPC error that says what happened."""

    def __init__(self, spec: HttpSpec) -> None:
        self._spec = spec
        # Calls are bounded by their own deadlines and may all run at once.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits)
        self.failure: str | None = None
        """Why the connection is of no more use, once that is so. One request that fails does not make it so."""
        self.unserved = False
        """True once a post was answered as by a server that does not speak this transport."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), GOODBYE_SECONDS)
        try:
            response = await self._inner.handle_async_request(request)
            if _speaks_json(response):
                # Read here, where a connection that breaks off costs one request and not all.
                await response.aread()
        except httpx2.RequestError as error:  # of the transport, or a body that does not unpack
            data = UNDELIVERED if isinstance(error, NEVER_SENT) else LOST
            return _json_rpc_error(failed(request.url, error), status=503, data=data)
        if request.method == "POST" and response.status_code >= HTTPStatus.BAD_REQUEST:
            return await self._explained(request, response)
        return _readable(response) if response.status_code == HTTPStatus.OK else response

    async def _explained(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        status = response.status_code
        forgotten = status == HTTPStatus.NOT_FOUND and MCP_SESSION_ID in request.headers
        if status != HTTPStatus.UNAUTHORIZED and not forgotten and _is_json_rpc(response):
            return response
        await response.aclose()
        if forgotten:
            self.failure = "it no longer knows our session"
            return _json_rpc_error(self.failure, status=status, data=UNDELIVERED)
        self.unserved = self.unserved or status in _OTHER_TRANSPORT
        code = METHOD_NOT_FOUND if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) else INTERNAL_ERROR
        # A proxy that gave up says nothing about what the server did.
        data = UNREADABLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
        return _json_rpc_error(refused(status, self._spec), status=status, code=code, data=data)

    async def aclose(self) -> None:
        await self._inner.aclose()


@asynccontextmanager
async def open_http(spec: HttpSpec, *, auth: httpx2.Auth | None = None) -> AsyncGenerator[HttpLink]:
    """Open a connection; nothing is sent before the first message."""
    watch = SpeakingTransport(spec)
    # No read limit here: every request has its own deadline, and a stream of notifications may be silent for hours.
    timeout = httpx2.Timeout(SEND_SECONDS, connect=CONNECT_SECONDS, read=None)
    async with (
        httpx2.AsyncClient(headers=dict(spec.headers), timeout=timeout, transport=watch, auth=auth) as http,
        streamable_http_client(spec.url, http_client=http, max_sse_event_size=None) as (read, write),
    ):
        yield HttpLink(read=read, write=write, watch=watch)


def _json_rpc_error(
    message: str, *, status: int, code: int = CONNECTION_CLOSED, data: str | None = None
) -> httpx2.Response:
    error = {"code": code, "message": message, "data": data}
    # The SDK puts the request's own id in the place of null.
    body = {"jsonrpc": "2.0", "id": None, "error": error}
    return httpx2.Response(status, headers={"content-type": "application/json"}, content=json.dumps(body).encode())


def _readable(response: httpx2.Response) -> httpx2.Response:
    if _has_type(response, "text/event-stream"):
        return http_bodies.streamed(response)
    if not _speaks_json(response):
        return response
    try:
        return http_bodies.whole(response)
    except ValueError:
        said = "what it sent is no message of the protocol"
        return _json_rpc_error(said, status=502, code=INTERNAL_ERROR, data=UNREADABLE)


def _is_json_rpc(response: httpx2.Response) -> bool:
    """Say whether an error is the server's own answer, rather than that of what stands before it."""
    try:
        body = cast("JSONValue", response.json()) if _speaks_json(response) else None
    except ValueError:
        return False
    return isinstance(body, dict) and ("jsonrpc" in body or isinstance(body.get("error"), dict))


def _speaks_json(response: httpx2.Response) -> bool:
    return _has_type(response, "application/json")


def _has_type(response: httpx2.Response, kind: str) -> bool:
    return str(response.headers.get("content-type", "")).lower().startswith(kind)
