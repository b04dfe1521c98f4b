"""An MCP server as a toolset: started when first used, started again when it died, never in the way of others."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from planact_bridge.child import Child
from planact_bridge.client import connect
from planact_bridge.current_tools import CurrentTools, Listener
from planact_bridge.eras import Eras
from planact_bridge.errors import BridgeError, ConnectionLost, NotDelivered, RequestRefused, RequestTimeout
from planact_bridge.link import Callbacks, Deadlines, Link
from planact_bridge.questions import NOBODY, Person
from planact_bridge.standing import StandingConnection
from planact_bridge.status import Counters, DownstreamStatus
from planact_bridge.translate import ToolSaidNo, read_contents, read_result
from planact_tools import JSONObject, Progress, ToolCall, ToolDefinition, ToolError, ToolResult

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Sequence

    from planact_bridge.connection import Connection
    from planact_bridge.listing import ToolList
    from planact_bridge.server_files import ServerFiles
    from planact_bridge.specs import ServerSpec

logger = logging.getLogger(__name__)

DOUBTFUL_SECONDS = 20.0
"""A call that is given up after longer than this makes one wonder whether the server is there."""

T = TypeVar("T")


class Downstream:
    """One configured server. Implements `planact_tools.Toolset`."""

    def __init__(
        self,
        spec: ServerSpec,
        *,
        eras: Eras | None = None,
        known: Sequence[ToolDefinition] = (),
        raw: Container[str] = (),
        deadlines: Deadlines | None = None,
        files: ServerFiles | None = None,
    ) -> None:
        """Make a toolset; nothing is started.

        Args:
            spec: How the server is reached.
            eras: What is remembered of servers' protocol eras, shared between all of them.
            known: Definitions from an earlier time, so that a call need not wait for the list.
            raw: Tools whose text results are left as text.
            deadlines: How long each step may take.
            files: Where its log is kept, and a person's wish for a restart is noticed; nowhere, if left out.
        """
        self._spec = spec
        self._eras = eras or Eras()
        self._raw = raw
        self._deadlines = deadlines or Deadlines()
        self._call_seconds = spec.timeout or self._deadlines.call
        self._counters = Counters()
        self._files = files
        self._standing = StandingConnection(
            spec.name, self._open, counters=self._counters, restarts=files.restart if files else None
        )
        self._link: Link | None = None
        self._tools = CurrentTools(spec.name, self._read_list, known=known)

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def identity(self) -> str:
        return self._spec.identity

    @property
    def status(self) -> DownstreamStatus:
        standing, owned, listed = self._standing, self._standing.current, self._tools.newest
        peer = owned.opened.peer if owned is not None and owned.opened is not None else None
        child = self._link if isinstance(self._link, Child) else None
        return DownstreamStatus(
            name=self.name,
            identity=self.identity,
            state=standing.state,
            error=owned.failure if owned else None,
            last_error=standing.last_error,
            failures=standing.failures,
            next_try_seconds=standing.next_try_seconds,
            pid=self._link.pid if self._link else None,
            era=peer.era if peer else None,
            protocol_version=peer.version if peer else None,
            server=f"{peer.name} {peer.release}".strip() if peer else "",
            tools=len(listed.definitions) if listed else None,
            skipped=tuple(listed.skipped) if listed else (),
            problems=tuple(listed.problems) if listed else (),
            start_ms=owned.start_ms if owned else None,
            log=child.log.lines() if child else (),
            garbage_lines=child.garbage_lines if child else 0,
            counters=self._counters,
        )

    @property
    def has_resources(self) -> bool:
        """Whether the server may have resources: one that has introduced itself says so."""
        owned = self._standing.current
        peer = owned.opened.peer if owned is not None and owned.opened is not None else None
        return peer is None or "resources" in peer.capabilities

    def on_changed(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` whenever the server's tools may have changed; `definitions()` then reads them anew.

        Returns what ends that.
        """
        return self._tools.on_changed(listener)

    @property
    def gap(self) -> str | None:
        """Why the server's list was read only in part, as a sentence; None where it was not."""
        listed = self._tools.newest
        if listed is None or listed.gap is None:
            return None
        return f"Server {self.name!r} could not list all of its tools: {listed.gap.rstrip('.')}."

    async def connect(self) -> None:
        """Start the server now rather than when it is first used. Raises ToolError."""
        try:
            await self._standing.connection()
        except BridgeError as error:
            raise ToolError(error.message, server=self.name) from error

    async def definitions(self) -> Sequence[ToolDefinition]:
        """Return the tools as the server lists them, asking it anew only where they may have changed.

        Where its list breaks off, the tools that it had before are among them. Raises ToolError naming the server.
        """
        try:
            return await self._tools.definitions()
        except BridgeError as error:
            raise ToolError(error.message, server=self.name) from error

    async def call(
        self,
        call: ToolCall,
        *,
        progress: Progress | None = None,
        person: Person = NOBODY,
        retry: bool | None = None,
        definition: ToolDefinition | None = None,
    ) -> ToolResult:
        """Run one tool. Raises ToolError; cancelling the await cancels the call.

        `person`: who answers what the server asks meanwhile. `retry`: whether the call may be made a second time when
        the server dies in the first. Left out, tools that say `readOnlyHint` may. `definition`: what the caller takes
        the tool for; where the server has it otherwise by now, nothing is called.
        """
        expected = definition
        definition = expected or self._tools.known(call.name)
        repeatable = retry if retry is not None else definition is not None and definition.read_only is True

        async def once(connection: Connection) -> JSONObject:
            if expected is not None:
                await self._confirm(expected, call)
            self._counters.calls += 1
            return await connection.call_tool(
                call.name, call.arguments, seconds=self._call_seconds, progress=progress, person=person
            )

        try:
            result = await self._with_reconnect(once, repeatable=repeatable)
            return read_result(
                result,
                output_schema=definition.output_schema if definition else None,
                raw=call.name in self._raw,
            )
        except ToolSaidNo as error:
            raise self._tool_error(str(error), call) from error
        except BridgeError as error:
            raise self._failed(error, call, repeatable=repeatable) from error

    async def _confirm(self, expected: ToolDefinition, call: ToolCall) -> None:
        """Raise ToolError where a server says otherwise of a tool by now what it does: it may have become a write.

        So where it does not speak of the tool at all: nobody knows then what it does. Not for another text or schema:
        those may change with every call, and the server checks its arguments itself.
        """
        found = await self._tools.listed(expected.name)
        if found is None:
            gap = f" ({self.gap.rstrip('.')})" if self.gap else ""
            raise self._tool_error(
                f"Server {self.name!r} does not offer its tool {expected.name!r} any more{gap}, so nothing was called. "
                "Run the plan again: what the server offers is read anew.",
                call,
            )
        if _marks(found) != _marks(expected):
            raise self._tool_error(
                f"Server {self.name!r} says by now that its tool {expected.name!r} does something else (whether it only"
                " reads, may destroy, or reaches out), so nothing was called. Run the plan again: it is decided anew.",
                call,
            )

    async def read_resource(self, uri: str) -> ToolResult:
        """Return a resource: its text, a handle on its bytes, or a list where it has several. Raises ToolError."""
        try:
            result = await self._with_reconnect(
                lambda connection: connection.read_resource(uri, seconds=self._call_seconds)
            )
        except BridgeError as error:
            raise ToolError(error.message, server=self.name) from error
        return read_contents(result)

    async def aclose(self) -> None:
        """End the connection; calls that are open fail with an error that says so. May be called twice."""
        await asyncio.gather(self._tools.aclose(), self._standing.aclose())

    # Connecting.

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Connection]:
        self._tools.note_return()
        callbacks = Callbacks(tools_changed=self._tools_changed)
        async with connect(
            self._spec,
            eras=self._eras,
            callbacks=callbacks,
            deadlines=self._deadlines,
            opened=self._remember_link,
            files=self._files,
        ) as connection:
            yield connection

    def _remember_link(self, link: Link) -> None:
        self._link = link

    async def _once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        connection = await self._standing.connection()
        began = asyncio.get_running_loop().time()
        try:
            done = await work(connection)
        except asyncio.CancelledError:
            # A plan's own deadline is often the first to come.
            if asyncio.get_running_loop().time() - began > DOUBTFUL_SECONDS:
                self._standing.doubt(connection)
            raise
        except ConnectionLost as error:
            if self._standing.closed:
                raise ConnectionLost(f"Server {self.name!r} was closed during the call.") from error
            if self._standing.restarted(connection):
                raise type(error)(f"Server {self.name!r} was restarted during the call, as was asked for.") from error
            raise
        except RequestTimeout:
            self._counters.timeouts += 1
            self._standing.doubt(connection)
            raise
        except RequestRefused:
            self._counters.refused += 1
            self._standing.answered()
            raise
        self._standing.answered()
        return done

    async def _with_reconnect(self, work: Callable[[Connection], Awaitable[T]], *, repeatable: bool = True) -> T:
        try:
            return await self._once(work)
        except ConnectionLost as error:
            if self._standing.closed or not (repeatable or isinstance(error, NotDelivered)):
                raise
            logger.info("server %r was lost; connecting once more", self.name)
            return await self._once(work)

    # The list.

    async def _read_list(self) -> ToolList:
        return await self._with_reconnect(lambda connection: connection.list_tools(seconds=self._deadlines.page))

    async def _tools_changed(self) -> None:
        self._tools.note_change()

    # Errors.

    def _failed(self, error: BridgeError, call: ToolCall, *, repeatable: bool) -> ToolError:
        unfinished = isinstance(error, ConnectionLost | RequestTimeout) and not isinstance(error, NotDelivered)
        unreadable = isinstance(error, RequestRefused) and error.unreadable
        unknown = (unfinished or unreadable) and not repeatable
        note = " It is not known whether the call took effect." if unknown else ""
        return self._tool_error(error.message + note, call, outcome_unknown=unknown)

    def _tool_error(self, message: str, call: ToolCall, *, outcome_unknown: bool = False) -> ToolError:
        return ToolError(
            message, server=self.name, tool=call.name, arguments=call.arguments, outcome_unknown=outcome_unknown
        )


def _marks(definition: ToolDefinition) -> tuple[bool | None, ...]:
    """Return what a person's policy stands on."""
    return definition.read_only, definition.destructive, definition.idempotent, definition.open_world
