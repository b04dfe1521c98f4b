"""One connection to a server: opened and closed in one task, used from any.

Results are read raw, as the JSON objects that the server sent: what a typed client would reject because of one
field is judged by `translate`, tool by tool. Every await has a deadline, and every error names the server.
"""

from __future__ import annotations

import logging
import math
import random
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.abc
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from mcp_types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION,
)

from planact_bridge import pages
from planact_bridge.eras import (
    DISCOVER,
    INITIALIZE,
    Era,
    NoCommonRevision,
    Peer,
    argument_headers,
    discover,
    initialize,
)
from planact_bridge.errors import (
    LOST,
    UNDELIVERED,
    UNREADABLE,
    BridgeError,
    ConnectionLost,
    NotDelivered,
    RequestRefused,
    RequestTimeout,
    StartError,
)
from planact_bridge.link import LIST_SECONDS, Callbacks, Deadlines, Link
from planact_bridge.listing import ToolList, read_pages
from planact_bridge.questions import ELICITATION, NOBODY, OFFERED, OpenCalls, Person, QuestionRefused, ask_together
from planact_bridge.streamable import BROKEN_STREAM, NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.shared.dispatcher import CallOptions, DispatchContext, ProgressFnT

    from planact_bridge.specs import ServerSpec
    from planact_tools import JSONObject, JSONValue, Progress

logger = logging.getLogger(__name__)

NOTICE_SECONDS = 5.0
"""How long a notification may take to be written."""

SETTLE_SECONDS = 0.2
"""How long the end of a connection may take to be known everywhere."""

LISTEN_SECONDS = 1.0
"""A stream of notices that ends sooner was none."""

LISTEN_AGAIN_SECONDS = 60.0
"""Longest wait before a broken stream of notices is asked for again."""

MAX_ROUNDS = 8
"""How often a server may ask something in the course of one call."""

_ASKED_IN = frozenset({"tools/call", "resources/read"})
"""In the course of what a server may ask something."""

_UNCANCELLABLE = frozenset({DISCOVER, INITIALIZE})
_UNKNOWN_REQUEST = frozenset({METHOD_NOT_FOUND, INVALID_REQUEST, INVALID_PARAMS, -32004})
"""How servers say that they do not know `initialize`, rather than that they do not want us."""

_LIST_CHANGED = "notifications/tools/list_changed"
_LISTEN = "subscriptions/listen"


class Connection:
    """A server that has introduced itself."""

    def __init__(self, spec: ServerSpec, link: Link, callbacks: Callbacks) -> None:
        self._spec = spec
        self._link = link
        self._callbacks = callbacks
        self._dispatcher = JSONRPCDispatcher[TransportContext](link.read, link.write)
        self._visits = pages.Visits()
        self._calls = OpenCalls(sent=self._visits.sent)
        self._header_maps: Mapping[str, Mapping[tuple[str, ...], str]] = {}
        self.peer: Peer | None = None
        self.closed = anyio.Event()
        """Set once nothing more can be asked over this connection."""

    @property
    def alive(self) -> bool:
        return not self.closed.is_set()

    async def list_tools(self, *, seconds: float = LIST_SECONDS) -> ToolList:
        """Return the server's tools, read leniently. Raises BridgeErrors only where not even one page came."""

        async def page(cursor: str | None) -> JSONObject:
            params: JSONObject = {} if cursor is None else {"cursor": cursor}
            return self._finished("tools/list", params, await self.request("tools/list", params, seconds=seconds))

        stateless = self.peer is not None and self.peer.era == "stateless"
        tools = await read_pages(page, mirrored_headers=stateless)
        self._header_maps = tools.header_maps
        return tools

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, JSONValue],
        *,
        seconds: float,
        progress: Progress | None = None,
        person: Person = NOBODY,
    ) -> JSONObject:
        """Return the raw result of one tool call. Raises BridgeErrors; cancelling tells the server.

        What the server asks meanwhile goes to `person`.
        """
        params: JSONObject = {"name": name, "arguments": dict(arguments)}
        headers = argument_headers(self._header_maps.get(name, {}), arguments)
        return await self._answered(
            "tools/call", params, seconds=seconds, progress=progress, headers=headers, person=person
        )

    async def read_resource(self, uri: str, *, seconds: float) -> JSONObject:
        """Return the raw result of reading one resource. Raises BridgeErrors."""
        return await self._answered("resources/read", {"uri": uri}, seconds=seconds)

    async def is_silent(self, *, seconds: float) -> bool:
        """Say whether the server sends nothing whatever for so long, though it is asked whether it is there.

        Never so where each request has a connection of its own: silence on one says nothing about the next.
        """
        before = self._link.heard
        if before is None or self.peer is None:
            return False
        try:
            # The stateless era has no ping; what any server can answer serves as well.
            await self.request("ping" if self.peer.era == "handshake" else DISCOVER, {}, seconds=seconds)
        except RequestTimeout:
            return self._link.heard == before
        except BridgeError:
            pass
        return False

    async def _answered(
        self,
        method: str,
        params: JSONObject,
        *,
        seconds: float,
        progress: Progress | None = None,
        headers: Mapping[str, str] | None = None,
        person: Person = NOBODY,
    ) -> JSONObject:
        """Send a request; where the answer is a question (stateless era), have it answered and send again."""
        answers: JSONObject = {}
        shown: set[str] = set()
        for _ in range(MAX_ROUNDS):
            try:
                result = await self.request(
                    method, params | answers, seconds=seconds, progress=progress, headers=headers, person=person
                )
            except RequestRefused as refusal:
                if not await self._visit(pages.wanted(refusal), shown, person):
                    raise
                continue
            if result.get("resultType") != "input_required":
                return self._finished(method, params, result)
            answers = await self._answer(result, person)
        raise RequestRefused(
            f"Server {self._spec.name!r} kept asking: {MAX_ROUNDS} rounds of questions in one request.",
            code=METHOD_NOT_FOUND,
            reason="too many questions",
        )

    def _finished(self, method: str, params: JSONObject, result: JSONObject) -> JSONObject:
        """Return a result that is one. Raises RequestRefused for a kind that we do not know."""
        kind = result.get("resultType")
        if kind in (None, "complete") or self.peer is None or self.peer.era != "stateless":
            return result  # in the older era a field of the server's own
        reason = f"its answer is of the kind {kind!r:.80}, which cannot be read"
        raise RequestRefused(
            f"{self._it} answered {_called(method, params)} with something else than a result: {reason}.",
            code=INTERNAL_ERROR,
            reason=reason,
            unreadable=True,
        )

    async def request(
        self,
        method: str,
        params: JSONObject,
        *,
        seconds: float,
        progress: Progress | None = None,
        headers: Mapping[str, str] | None = None,
        person: Person = NOBODY,
    ) -> JSONObject:
        """Send one request as the peer's era wants it and return the raw result. Raises BridgeErrors."""
        if self.peer is None:
            raise StartError(f"Server {self._spec.name!r} has not introduced itself.")
        params, stamped = self.peer.stamp(method, params, ours=person.capabilities)
        return await self._send(
            method, params, headers=stamped | dict(headers or {}), seconds=seconds, progress=progress, person=person
        )

    async def _send(
        self,
        method: str,
        params: JSONObject,
        *,
        headers: dict[str, str],
        seconds: float,
        progress: Progress | None = None,
        person: Person = NOBODY,
    ) -> JSONObject:
        if not self.alive:
            raise NotDelivered(await self.obituary())
        options: CallOptions = {"headers": headers, "cancel_on_abandon": method not in _UNCANCELLABLE}
        if progress is not None:
            options["on_progress"] = _fraction_to(progress)
        try:
            # Around the write too: a server that no longer reads its input would block it for good.
            with anyio.fail_after(seconds) as deadline, self._open(method, person, deadline):
                return await self._dispatcher.send_raw_request(method, params, options)
        except TimeoutError:
            words = "" if self.peer else self._link.last_words
            raise RequestTimeout(
                f"{self._it} did not answer {_called(method, params)} within {seconds:g} s{words}."
            ) from None
        except MCPError as error:
            raise await self._explained(method, params, error) from error

    def _open(self, method: str, person: Person, deadline: anyio.CancelScope) -> AbstractContextManager[None]:
        return self._calls.during(person, deadline) if method in _ASKED_IN else nullcontext()

    async def _explained(self, method: str, params: JSONObject, error: MCPError) -> BridgeError:
        code, reason, data = error.error.code, error.error.message, error.error.data
        during = f" was lost during {_called(method, params)}:" if self.peer else ""
        if code == CONNECTION_CLOSED and await self._is_over():
            self.closed.set()
            reason = await self._link.obituary()
        elif data not in (LOST, UNDELIVERED) and not _broke_off(error):
            unreadable = data == UNREADABLE or reason.startswith(NO_ANSWER)
            return RequestRefused(
                f"{self._it} answered {_called(method, params)} with an error: {reason} (code {code}).",
                code=code,
                reason=reason,
                data=None if unreadable else cast("JSONValue", data),
                unreadable=unreadable,
            )
        kind = NotDelivered if data == UNDELIVERED else ConnectionLost
        return kind(f"{self._subject}{during} {reason}.")

    @property
    def _subject(self) -> str:
        """Return how an error about this server begins."""
        name = f"Server {self._spec.name!r}"
        return name if self.peer else f"{name} did not start:"

    @property
    def _it(self) -> str:
        """Return the same as the subject of a verb."""
        return self._subject if self.peer else f"{self._subject} it"

    async def obituary(self) -> str:
        """Say why the connection ended."""
        return f"Server {self._spec.name!r} was lost: {await self._link.obituary()}."

    async def _is_over(self) -> bool:
        # A server may use the SDK's "closed" code for errors of its own, so the code alone proves nothing;
        # and whoever waits is woken a moment before `run` returns.
        if self._link.failure is not None:
            return True
        with anyio.move_on_after(SETTLE_SECONDS):
            await self.closed.wait()
        return self.closed.is_set()

    async def _visit(self, wanted: Mapping[str, JSONObject], shown: set[str], person: Person) -> bool:
        """Have pages visited that have not been `shown` to the person. Says whether to ask the server again."""
        with self._visits.awaited(wanted) as visited:
            new: dict[str, JSONObject] = {
                page: {"method": ELICITATION, "params": params} for page, params in wanted.items() if page not in shown
            }
            for page in new:
                self._visits.sent(wanted[page], person)
            said = await self._ask(new, person)
            if not wanted or any(answer.get("action") != "accept" for answer in said.values()):
                return False
            shown.update(new)
            await visited()
        return True

    async def _answer(self, result: JSONObject, person: Person) -> JSONObject:
        asked = result.get("inputRequests")
        requests = asked.items() if isinstance(asked, dict) else ()
        responses = await self._ask({key: each for key, each in requests if isinstance(each, dict)}, person)
        state = result.get("requestState")
        answers: JSONObject = {"inputResponses": cast("JSONObject", responses)}
        return answers | ({"requestState": state} if isinstance(state, str) else {})

    async def _ask(self, requests: Mapping[str, JSONObject], person: Person) -> dict[str, JSONObject]:
        try:
            return await ask_together(self._spec.name, requests, person)
        except QuestionRefused as refusal:
            raise RequestRefused(
                f"Server {self._spec.name!r} asked something in the middle of the call. {refusal.message}",
                code=refusal.code,
                reason=refusal.message,
            ) from refusal

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Read messages until the connection ends."""
        try:
            await self._dispatcher.run(self._on_request, self._on_notify, task_status=task_status)
        finally:
            self.closed.set()

    async def introduce(self, *, known: Era | None, deadlines: Deadlines) -> Peer:
        """Find out who is there and in which era. Raises BridgeErrors; ConnectionLost may mean: died of the probe."""
        peer, answered = None, False
        if known != "handshake":
            with suppress(RequestTimeout):
                peer, answered = await self._probe(deadlines), True
        if peer is None:
            peer = await self._shake_hands(deadlines, era_is_remembered=known == "handshake", is_older=answered)
        self.peer = peer
        return peer

    async def _probe(self, deadlines: Deadlines) -> Peer | None:
        try:
            return await discover(self._send, ours=OFFERED, seconds=min(deadlines.probe, deadlines.start))
        except NoCommonRevision as error:
            raise StartError(f"{self._it} {error}.") from error

    async def _shake_hands(self, deadlines: Deadlines, *, era_is_remembered: bool, is_older: bool) -> Peer:
        try:
            peer = await initialize(self._send, ours=OFFERED, seconds=deadlines.start)
        except RequestRefused as error:
            # Its newest release may have left the era that is remembered, or been slow to answer the probe.
            if error.code != UNSUPPORTED_PROTOCOL_VERSION and (
                is_older or not (era_is_remembered or error.code in _UNKNOWN_REQUEST)
            ):
                raise
            with suppress(RequestTimeout, ConnectionLost):
                if (newer := await self._probe(deadlines)) is not None:
                    return newer
            raise
        with anyio.move_on_after(NOTICE_SECONDS):
            await self._dispatcher.notify("notifications/initialized", None)
        return peer

    async def listen(self) -> None:
        """Hear of changed tools in the stateless era, where a server tells only those who asked. Ends with the link.

        The request stays open; over HTTP it breaks now and then, and what happened meanwhile is not told again.
        """
        if self.peer is None or self.peer.era != "stateless" or not self.peer.announces_changes:
            return
        params, headers = self.peer.stamp(_LISTEN, {"notifications": {"toolsListChanged": True}})
        for attempt in count():
            options: CallOptions = {
                "headers": headers,
                "request_id": f"listen-{attempt}",
                "cancel_on_abandon": False,
            }
            began = anyio.current_time()
            try:
                await self._dispatcher.send_raw_request(_LISTEN, params, options)
                if anyio.current_time() - began < LISTEN_SECONDS:
                    return  # it answers, but does not listen
            except MCPError as error:
                if error.error.code != CONNECTION_CLOSED or not self.alive:
                    logger.info("server %r does not announce changed tools: %s", self._spec.name, error)
                    return
            await anyio.sleep(min(2.0**attempt, LISTEN_AGAIN_SECONDS) * random.uniform(0.5, 1.0))  # noqa: S311
            await self._callbacks.tools_changed()

    async def _on_request(
        self, _context: DispatchContext[TransportContext], method: str, params: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        if method == "ping":
            return {}
        try:
            return await self._calls.ask(self._spec.name, method, dict(params or {}))
        except QuestionRefused as refusal:
            raise MCPError(code=refusal.code, message=refusal.message) from refusal

    async def _on_notify(
        self, _context: DispatchContext[TransportContext], method: str, params: Mapping[str, Any] | None
    ) -> None:
        if method == _LIST_CHANGED:
            await self._callbacks.tools_changed()
        elif method == pages.COMPLETE:
            await self._visits.completed(self._spec.name, (params or {}).get("elicitationId"))


def _called(method: str, params: JSONObject) -> str:
    name = params.get("name", params.get("uri"))
    return f"{method!r} of {name!r}" if isinstance(name, str) else f"{method!r}"


def _broke_off(error: MCPError) -> bool:
    return error.error.code == CONNECTION_CLOSED and error.error.message.startswith(BROKEN_STREAM)


def _fraction_to(report: Progress) -> ProgressFnT:
    async def forward(progress: float, total: float | None, message: str | None) -> None:
        fraction = progress / total if total else None
        known = fraction is not None and math.isfinite(fraction)
        await report(message or "", min(max(fraction or 0.0, 0.0), 1.0) if known else None)

    return forward
