"""A server behind a URL that speaks the older HTTP+SSE transport: one stream of events out of it, posts into it."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin

import anyio
import httpx2
from mcp.shared._httpx_utils import request_within_origin, sse_within_origin
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, JSONRPCRequest

from planact_bridge.errors import LOST, UNDELIVERED, UNREADABLE, StartError
from planact_bridge.http_reasons import NEVER_SENT, failed, origin, refused
from planact_bridge.link import START_SECONDS
from planact_bridge.wire import read_messages

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from mcp.shared._stream_protocols import ReadStream, WriteStream

    from planact_bridge.specs import HttpSpec

CONNECT_SECONDS = 10.0
SEND_SECONDS = 60.0
MAX_WAITING_MESSAGES = 256


class SseLink:
    """An open stream of events. It is also the write stream: each message is a post to where the server said."""

    def __init__(self, spec: HttpSpec, http: httpx2.AsyncClient) -> None:
        self._spec = spec
        self._http = http
        self._endpoint: str | None = None
        self._failure: str | None = None
        self.news, self.read = _stream()
        self.heard = 0

    @property
    def write(self) -> WriteStream[SessionMessage]:
        return self

    @property
    def failure(self) -> str | None:
        """Why it is of no more use; None while it is."""
        return self._failure

    @property
    def pid(self) -> int | None:
        return None

    @property
    def last_words(self) -> str:
        return ""

    async def obituary(self) -> str:
        """Say why the server is gone."""
        return self._failure or "its stream of events ended"

    # What the dispatcher writes.

    async def send(self, item: SessionMessage) -> None:
        """Post one message. Raises MCPError for a request, and else BrokenResourceError, when it is not taken."""
        problem = await self._post(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode())
        if problem is None:
            return
        if isinstance(item.message, JSONRPCRequest):
            raise problem
        raise anyio.BrokenResourceError from problem

    async def _post(self, body: bytes) -> MCPError | None:
        if self._endpoint is None or self._failure is not None:
            return MCPError(CONNECTION_CLOSED, self._failure or "it is not connected", data=UNDELIVERED)
        headers = {"content-type": "application/json"}
        try:
            response = await request_within_origin(self._http, "POST", self._endpoint, content=body, headers=headers)
        except httpx2.RequestError as error:
            data = UNDELIVERED if isinstance(error, NEVER_SENT) else LOST
            return MCPError(CONNECTION_CLOSED, failed(httpx2.URL(self._endpoint), error), data=data)
        status = response.status_code
        if status == HTTPStatus.NOT_FOUND:
            self._failure = "it no longer knows our session"
            return MCPError(CONNECTION_CLOSED, self._failure, data=UNDELIVERED)
        if response.is_success:
            return None
        data = UNREADABLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
        return MCPError(INTERNAL_ERROR, refused(status, self._spec), data=data)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        return None

    async def aclose(self) -> None:
        """Do nothing: both directions end with the stream of events, and `open_sse` ends that."""

    # What the server sends.

    async def follow(self, events: httpx2.EventSource, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Hand on messages until the stream ends; started once the server has said where it takes ours."""
        async with self.news:
            try:
                async for event in events:
                    if event.event == "endpoint" and self._endpoint is None:
                        self._endpoint = self._within_origin(event.data)
                        task_status.started()
                    elif event.event == "message" and event.data:
                        await self._take(event.data)
            except httpx2.HTTPError as error:
                self._failure = f"its stream of events broke off: {str(error).rstrip('.') or type(error).__name__}"
            self._failure = self._failure or "its stream of events ended"
        if self._endpoint is None:
            raise StartError(f"Server {self._spec.name!r} did not start: {self._failure} before it said where to post.")

    async def _take(self, data: str) -> None:
        try:
            messages = read_messages(data.encode())
        except ValueError:
            return  # as on a pipe: what is no message is passed over
        for message in messages:
            self.heard += 1
            await self.news.send(SessionMessage(message))

    def _within_origin(self, endpoint: str) -> str:
        # Headers and tokens were given for this server, and it must not send them to another.
        began = f"Server {self._spec.name!r} did not start: it wants messages sent to"
        try:
            whole = urljoin(self._spec.url, endpoint)
            there = origin(httpx2.URL(whole))
        except (ValueError, httpx2.InvalidURL):
            raise StartError(f"{began} {endpoint[:200]!r}, which is no address.") from None
        if there != origin(httpx2.URL(self._spec.url)):
            raise StartError(f"{began} {there}, another server. Ask for its streamable HTTP address.")
        return whole


@asynccontextmanager
async def open_sse(
    spec: HttpSpec, *, auth: httpx2.Auth | None = None, seconds: float = START_SECONDS
) -> AsyncGenerator[SseLink]:
    """Open the stream of events and wait until the server says where to post, `seconds` for each. Raises StartError."""
    # No read limit: a stream of events may be silent for hours, and every request has its own deadline.
    timeout = httpx2.Timeout(SEND_SECONDS, connect=CONNECT_SECONDS, read=None)
    failure: StartError | None = None
    async with httpx2.AsyncClient(headers=dict(spec.headers), timeout=timeout, auth=auth) as http:
        link = SseLink(spec, http)
        async with link.news, link.read, _events(spec, http, seconds) as events, anyio.create_task_group() as tasks:
            try:
                with anyio.fail_after(seconds):
                    await tasks.start(link.follow, events)
            except StartError as error:
                # Kept and raised outside: a task group would wrap it.
                failure = error
            except TimeoutError:
                reason = f"it did not say where to post within {seconds:g} s"
                failure = StartError(f"Server {spec.name!r} did not start: {reason}.")
            else:
                yield link
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def _events(spec: HttpSpec, http: httpx2.AsyncClient, seconds: float) -> AsyncGenerator[httpx2.EventSource]:
    began = f"Server {spec.name!r} did not start:"
    async with AsyncExitStack() as stack:
        try:
            with anyio.fail_after(seconds):
                events = await stack.enter_async_context(sse_within_origin(http, spec.url, max_event_size=None))
        except httpx2.TransportError as error:
            raise StartError(f"{began} {failed(httpx2.URL(spec.url), error)}.") from error
        except TimeoutError:
            raise StartError(f"{began} it did not open a stream of events within {seconds:g} s.") from None
        if not events.response.is_success:
            raise StartError(f"{began} {refused(events.response.status_code, spec)}.")
        kind = str(events.response.headers.get("content-type", "")).partition(";")[0]
        if kind != "text/event-stream":
            raise StartError(f"{began} it answered with {kind or 'something'!r} where a stream of events belongs.")
        yield events


def _stream() -> tuple[anyio.abc.ObjectSendStream[SessionMessage | Exception], ReadStream[SessionMessage | Exception]]:
    return anyio.create_memory_object_stream[SessionMessage | Exception](MAX_WAITING_MESSAGES)
