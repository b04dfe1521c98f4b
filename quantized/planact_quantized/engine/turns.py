"""Who is next: one at a time, by priority, equals in order of arrival."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Turns:
    """A lock with a queue that has priorities. Belongs to one event loop."""

    def __init__(self) -> None:
        self._taken = False
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    @property
    def waiting(self) -> int:
        """How many are in the queue, without the one whose turn it is."""
        return sum(not place.done() for _, _, place in self._queue)

    @asynccontextmanager
    async def turn(self, priority: float) -> AsyncGenerator[None]:
        """Wait for the turn and hold it. Being cancelled gives up the place in the queue."""
        await self._enter(priority)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, priority: float) -> None:
        if not self._taken:
            self._taken = True
            return
        place = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (-priority, next(self._arrivals), place))
        try:
            await place
        except asyncio.CancelledError:
            # Let in and cancelled in the same moment: the turn goes to the next one.
            if not place.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        while self._queue:
            *_, place = heapq.heappop(self._queue)
            if not place.done():
                place.set_result(None)
                return
        self._taken = False
