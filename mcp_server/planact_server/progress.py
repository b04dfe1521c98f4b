"""Progress of a run on its way to a host: as often as a person can read it, whatever a plan says how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Send: TypeAlias = Callable[[float, float | None, str], Awaitable[None]]
"""Takes progress, its total where that is known, and what is being done."""

BURST = 20
PAUSE_SECONDS = 0.1
"""After a burst of notices one leaves each pause. What comes meanwhile replaces what is waiting; the last one always
leaves."""


PATIENCE_SECONDS = 1.0
"""A host that takes a notice no sooner is sent no more of this request's: the plan would wait with it."""


class ProgressNotices:
    """The notices of one request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._reached = 0.0
        self._waiting: tuple[str, float | None] | None = None
        self._room = float(BURST)
        self._counted = 0.0
        self._later: asyncio.Task[None] | None = None
        self._is_deaf = False

    async def report(self, text: str, fraction: float | None) -> None:
        """Say how far a run is, now or soon."""
        self._waiting = text, fraction
        now = asyncio.get_running_loop().time()
        self._room = min(BURST, self._room + (now - self._counted) / PAUSE_SECONDS)
        self._counted = now
        if self._room >= 1:
            await self._flush()
        elif self._later is None or self._later.done():
            self._later = asyncio.create_task(self._flush_later(), name="progress")

    async def finish(self) -> None:
        """Say what is still waiting: after the answer nobody listens."""
        self.give_up()
        await self._flush()

    def give_up(self) -> None:
        """Nobody listens any more."""
        if self._later is not None:
            self._later.cancel()

    async def _flush_later(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        await self._flush()

    async def _flush(self) -> None:
        if self._waiting is None or self._is_deaf:
            return
        (text, fraction), self._waiting = self._waiting, None
        self._room -= 1
        # The protocol wants every value to be larger than the one before.
        self._reached = max(fraction or 0.0, self._reached + 1e-6)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._send(self._reached, 1.0 if fraction is not None else None, text)
        except TimeoutError:
            self._is_deaf = True
