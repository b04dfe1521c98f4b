"""Opening a connection, and closing it in the same task, whatever happens between."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from planact_bridge.child import start_child
from planact_bridge.connection import Connection
from planact_bridge.errors import BridgeError, ConnectionLost, StartError
from planact_bridge.oauth import Bearer, KeptLogin
from planact_bridge.specs import ServerSpec, StdioSpec
from planact_bridge.sse import open_sse
from planact_bridge.streamable import HttpLink, open_http

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
    links: list[Link] = []

    @asynccontextmanager
    async def attempt(known: Era | None, *, over_sse: bool = False) -> AsyncGenerator[Connection]:
        failure: BridgeError | None = None
        async with _open(spec, files, deadlines, over_sse=over_sse) as link:
            links.append(link)
            opened(link)
            connection = Connection(spec, link, callbacks)
            async with anyio.create_task_group() as tasks:
                await tasks.start(connection.run)
                try:
                    await connection.introduce(known=known, deadlines=deadlines)
                except BridgeError as error:
                    # Kept and raised outside: the task groups here and in the transports would wrap it.
                    failure = error
                else:
                    tasks.start_soon(connection.listen)
                    yield connection
                connection.closed.set()
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async with AsyncExitStack() as stack:
        try:
            # The newer era does not exist over the older transport.
            over_sse = _is_sse(spec)
            first = attempt("handshake" if over_sse else known, over_sse=over_sse)
            connection = await stack.enter_async_context(first)
        except BridgeError as error:
            if isinstance(error, ConnectionLost) and known != "handshake" and isinstance(spec, StdioSpec):
                # Some servers of the older era exit on a first message that is not `initialize`.
                connection = await stack.enter_async_context(attempt("handshake"))
            elif links and isinstance(links[-1], HttpLink) and links[-1].unserved:
                try:
                    connection = await stack.enter_async_context(attempt("handshake", over_sse=True))
                except StartError:
                    raise error from None
            else:
                raise
        if connection.peer is not None:
            eras.remember(spec.identity, connection.peer.era)
        yield connection


def _is_sse(spec: ServerSpec) -> bool:
    return not isinstance(spec, StdioSpec) and spec.transport == "sse"


@asynccontextmanager
async def _open(
    spec: ServerSpec, files: ServerFiles | None, deadlines: Deadlines, *, over_sse: bool
) -> AsyncGenerator[Link]:
    if not isinstance(spec, StdioSpec):
        login = None if files is None or spec.brings_credentials else Bearer(KeptLogin(files, spec.url))
        opening = open_sse(spec, auth=login, seconds=deadlines.start) if over_sse else open_http(spec, auth=login)
        async with opening as link:
            yield link
        return
    child = await start_child(spec, log=files.log if files else None)
    try:
        yield child
    finally:
        await child.stop()
