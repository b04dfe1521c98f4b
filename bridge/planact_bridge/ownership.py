"""A connection and the one task that opens, keeps and closes it.

The SDK's streams and cancel scopes must be left in the task that entered them, while requests come from any
task; so a task is started for each connection, and whoever waits for it may be cancelled without harm to it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import anyio

from planact_bridge.errors import BridgeError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from planact_bridge.connection import Connection

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 9.0
"""Longest that closing takes before the task is cancelled: all stages of stopping a process fit in."""


class OwnedConnection:
    """Starts at once; `connection()` waits for it, `aclose()` ends it."""

    def __init__(
        self, name: str, opening: AbstractAsyncContextManager[Connection], *, failed: Callable[[], None]
    ) -> None:
        """Start the connection. `failed` is called once where it ends and nobody has asked for that."""
        self._name = name
        self._opening = opening
        self._failed = failed
        self._settled = asyncio.Event()
        self._stop = asyncio.Event()
        self._connection: Connection | None = None
        self.failure: str | None = None
        """Why there is no connection, once that is so."""
        self.dismissed = False
        """Whether it was ended because somebody wanted that."""
        self.start_ms: float | None = None
        self._counted = False
        # Not Task.cancel(): that would break into the shielded steps that end a process.
        self._scope = anyio.CancelScope()
        self._task = asyncio.create_task(self._own(), name=f"connection to {name}")

    @property
    def ended(self) -> bool:
        """True once nothing of it is left."""
        return self._task.done()

    @property
    def usable(self) -> bool:
        """True while it is starting or alive: whoever comes may wait for it."""
        if self._stop.is_set():
            return False
        if not self._settled.is_set():
            return True
        return self._connection is not None and self._connection.alive

    @property
    def opened(self) -> Connection | None:
        """The connection, if it has been opened, alive or not."""
        return self._connection

    async def connection(self) -> Connection:
        """Return the connection, waiting for its start. Raises StartError."""
        await self._settled.wait()
        if self._connection is None:
            raise StartError(self.failure or f"Server {self._name!r} was closed while it started.")
        return self._connection

    def count_failure(self) -> None:
        """Report that it has ended unasked, if that is so and was not reported yet."""
        if not (self.usable or self._counted or self._stop.is_set()):
            self._counted = True
            self._failed()

    def give_up(self, reason: str) -> None:
        """End the connection, in the background, because it is of no more use: a failure with that reason."""
        if self._stop.is_set() or self._task.done():
            return
        self.failure = reason
        if not self._counted:
            self._counted = True
            self._failed()
        self._stop.set()

    def dismiss(self) -> None:
        """End the connection in the background; that is no failure."""
        self.dismissed = True
        self._stop.set()
        if not self._settled.is_set():
            self._scope.cancel()

    async def aclose(self) -> None:
        """End the connection. May be called twice; never takes much longer than CLOSE_SECONDS."""
        self.dismiss()
        _, late = await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        if late:
            logger.warning("server %r did not close within %.0f s; it is abandoned", self._name, CLOSE_SECONDS)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def _own(self) -> None:
        began = time.perf_counter()
        try:
            with self._scope:
                async with self._opening as connection:
                    self._connection = connection
                    self.start_ms = (time.perf_counter() - began) * 1000
                    self._settled.set()
                    await _either(connection.closed, self._stop)
                    self.count_failure()
                    if not self._stop.is_set():
                        self.failure = await connection.obituary()
        except BridgeError as error:
            self.failure = error.message
        except Exception as error:  # one server's defect must stay one server's
            logger.exception("the connection to server %r failed", self._name)
            self.failure = f"Server {self._name!r} failed: {error!r}."
        finally:
            self._settled.set()
            self.count_failure()


async def _either(first: anyio.Event, second: asyncio.Event) -> None:
    async def wait_for(event: anyio.Event | asyncio.Event) -> None:
        await event.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for, first)
        tasks.start_soon(wait_for, second)
