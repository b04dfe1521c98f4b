"""Opening a connection, and closing it in the same task, whatever happens between."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from planact_bridge.child import start_child
from planact_bridge.connection import Connection
from planact_bridge.errors import BridgeError, ConnectionLost
from planact_bridge.specs import ServerSpec, StdioSpec
from planact_bridge.streamable import open_http

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from planact_bridge.eras import Era, Eras
    from planact_bridge.link import Callbacks, Deadlines, Link
    from planact_bridge.server_files import ServerFiles


@asynccontextmanager
async def connect(
    spec: ServerSpec,
    *,
    eras: Eras,
    callbacks: Callbacks,
    deadlines: Deadlines,
    opened: Callable[[Link], None],
    files: ServerFiles | None = None,
) -> AsyncGenerator[Connection]:
    """Open a connection and close it in the same task. Raises BridgeErrors.

    `opened` is told of each link before the server has said anything, so that its log is at hand if it never does.
    """
    known = eras.recall(spec.identity)

    @asynccontextmanager
    async def attempt(known: Era | None) -> AsyncGenerator[Connection]:
        async with _open(spec, files) as link:
            opened(link)
            async with _introduced(Connection(spec, link, callbacks), known, deadlines) as connection:
                yield connection

    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(attempt(known))
        except ConnectionLost:
            if known == "handshake" or not isinstance(spec, StdioSpec):
                raise
            # Some servers of the older era exit on a first message that is not `initialize`.
            connection = await stack.enter_async_context(attempt("handshake"))
        if connection.peer is not None:
            eras.remember(spec.identity, connection.peer.era)
        yield connection


@asynccontextmanager
async def _introduced(connection: Connection, known: Era | None, deadlines: Deadlines) -> AsyncGenerator[Connection]:
    failure: BridgeError | None = None
    async with anyio.create_task_group() as tasks:
        await tasks.start(connection.run)
        try:
            await connection.introduce(known=known, deadlines=deadlines)
        except BridgeError as error:
            # Kept and raised outside: a task group would wrap it.
            failure = error
        else:
            tasks.start_soon(connection.listen)
            yield connection
        connection.closed.set()
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def _open(spec: ServerSpec, files: ServerFiles | None) -> AsyncGenerator[Link]:
    if not isinstance(spec, StdioSpec):
        async with open_http(spec) as link:
            yield link
        return
    child = await start_child(spec, log=files.log if files else None)
    try:
        yield child
    finally:
        await child.stop()
