"""A connection that stands up again: opened when first wanted, again when lost, later the more often it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from planact_bridge.backoff import BackOff
from planact_bridge.errors import BridgeError, StartError
from planact_bridge.ownership import OwnedConnection

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from planact_bridge.connection import Connection
    from planact_bridge.status import Counters, State

PATIENT_SECONDS = 2.0
"""So short a wait for a server that did start the last time is waited for; no call need fail for it."""

PROOF_SECONDS = 10.0
"""How long a server that let a call run out of time may be silent altogether before it counts as frozen."""


class StandingConnection:
    """Gives the live connection to one server; all who come at once share its start."""

    def __init__(
        self,
        name: str,
        open: Callable[[], AbstractAsyncContextManager[Connection]],
        *,
        counters: Counters,
        restarts: Path | None = None,
        backoff: BackOff | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            name: The server's, for errors.
            open: Makes a new connection.
            counters: Told of every start and loss.
            restarts: A file that a person's `planact servers restart` touches, in whatever process.
            backoff: How long a server that keeps failing is left alone.
        """
        self._name = name
        self._open = open
        self._counters = counters
        self._restarts = restarts
        self._restarted = self._last_restart()
        self._backoff = backoff or BackOff()
        self._owned: OwnedConnection | None = None
        self._before: OwnedConnection | None = None
        self._leaving: list[OwnedConnection] = []
        self._proving: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def current(self) -> OwnedConnection | None:
        return self._owned

    @property
    def state(self) -> State:
        if self._closed:
            return "closed"
        if self._owned is None:
            return "idle"
        if not self._owned.usable:
            return "failed"
        return "ready" if self._owned.opened is not None else "starting"

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def failures(self) -> int:
        return self._backoff.failures

    @property
    def last_error(self) -> str | None:
        """Why the newest failed start or lost connection was one."""
        newest = self._owned.failure if self._owned is not None else None
        return newest or (self._before.failure if self._before is not None else None)

    @property
    def next_try_seconds(self) -> float | None:
        """How long the server is left alone; None where it is not."""
        return self._backoff.seconds or None if self.state == "failed" else None

    async def connection(self) -> Connection:
        """Return a live connection, starting the server where there is none. Raises BridgeError.

        A server that keeps failing is left alone for a while: that is an error at once, which says for how long.
        """
        self._look()
        if self._was_lost and self._owned is not None:
            self._owned.count_failure()  # before the wait that it causes
        while self._was_lost and 0 < self._backoff.seconds <= PATIENT_SECONDS:
            await asyncio.sleep(self._backoff.seconds)
            self._look()
        # No await between looking and starting: that is what makes concurrent first uses start it once.
        if self._owned is None or not self._owned.usable:
            self._owned = self._start(self._owned)
        return await self._owned.connection()

    @property
    def _was_lost(self) -> bool:
        """Whether the server had started, and is gone."""
        return self._owned is not None and self._owned.opened is not None and not self._owned.usable

    def _look(self) -> None:
        if self._closed:
            raise BridgeError(f"Server {self._name!r} is closed.")
        self._heed_restart()

    def answered(self) -> None:
        """Note that the server works: its next failure is its first."""
        self._backoff.forget()

    def restarted(self, connection: Connection) -> bool:
        """Say whether a person's wish for a restart has ended this connection."""
        return any(owned.opened is connection and owned.dismissed for owned in (*self._leaving, self._owned) if owned)

    def doubt(self, connection: Connection) -> None:
        """A call ran out of time, or was given up after long: find out, in the background, whether anybody is there."""
        owned = self._owned
        proving = self._proving is not None and not self._proving.done()
        if owned is not None and owned.opened is connection and not (proving or self._closed):
            self._proving = asyncio.create_task(self._prove(owned, connection), name=f"is {self._name} there")

    async def aclose(self) -> None:
        """End the connection, and those that are still ending. May be called twice."""
        self._closed = True
        if self._proving is not None:
            self._proving.cancel()
            await asyncio.wait([self._proving])
        owned = [*self._leaving, self._owned] if self._owned is not None else self._leaving
        await asyncio.gather(*(connection.aclose() for connection in owned))

    def _start(self, previous: OwnedConnection | None) -> OwnedConnection:
        if previous is not None:
            previous.count_failure()
            self._leave_alone(previous)
            self._before = previous
            # It may still be ending its process; `aclose` waits for that.
            self._leaving = [owned for owned in (*self._leaving, previous) if not owned.ended]
        self._counters.starts += 1
        return OwnedConnection(self._name, self._open(), failed=self._count_failure)

    def _leave_alone(self, previous: OwnedConnection) -> None:
        """Raise StartError where the next try is not due."""
        seconds = self._backoff.seconds
        if seconds:
            reason = previous.failure or f"Server {self._name!r} was lost."
            raise StartError(
                f"{reason} It has failed {self._backoff.failures} times in a row; the next try is in {seconds:.1f} s. "
                f"`planact servers restart {self._name}` tries at once."
            )

    def _count_failure(self) -> None:
        self._backoff.failed()
        if self._owned is None or self._owned.opened is not None:
            self._counters.lost += 1

    async def _prove(self, owned: OwnedConnection, connection: Connection) -> None:
        if await connection.is_silent(seconds=PROOF_SECONDS):
            owned.give_up(
                f"Server {self._name!r} was given up: after a call had run out of time, it was silent for another "
                f"{PROOF_SECONDS:g} s."
            )

    def _heed_restart(self) -> None:
        wanted = self._last_restart()
        if wanted != self._restarted:
            self._restarted = wanted
            self._backoff.forget()
            if self._owned is not None:
                self._owned.dismiss()

    def _last_restart(self) -> int:
        try:
            return self._restarts.stat().st_mtime_ns if self._restarts is not None else 0
        except OSError:
            return 0
