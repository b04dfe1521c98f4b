"""The backend that the configuration asks for, made when the first task needs it.

Finding out what fits asks the machine, and reaching a server takes a while: none of it happens while a server of
ours starts.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from planact_quantized import BackendError
from planact_quantized.file_lock import LockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planact_quantized import Backend, BackendInfo, Completion, GenerateRequest, Message, Watcher

logger = logging.getLogger(__name__)


class LateBackend:
    """A `Backend` that is made on first use. What could not be made is tried again the next time."""

    def __init__(self, make: Callable[[], Backend], *, note: Callable[[BackendInfo], None] | None = None) -> None:
        """`make` may take long and is called in a thread; it raises BackendError.

        `note` hears, in a thread too, of every model that a `start` has loaded; where it raises OSError or
        LockedError, that is logged and nothing else.
        """
        self._make = make
        self._note = note
        self._noted: BackendInfo | None = None
        self._making = asyncio.Lock()
        self._backend: Backend | None = None
        self._closed = False

    @property
    def made(self) -> Backend | None:
        """The backend, if anybody has needed it yet."""
        return self._backend

    async def start(self) -> BackendInfo:
        info = await (await self._made()).start()
        if self._note is not None and info is not self._noted:  # every load has an object of its own
            self._noted = info
            try:
                await asyncio.to_thread(self._note, info)
            except (OSError, LockedError) as error:
                logger.warning("what was loaded is not written down: %s", error)
        return info

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await (await self._made()).count_tokens(messages)

    async def generate(self, request: GenerateRequest, *, watch: Watcher | None = None) -> Completion:
        return await (await self._made()).generate(request, watch=watch)

    async def aclose(self) -> None:
        """Let go of the backend. May be called twice; nothing is made afterwards."""
        self._closed = True
        async with self._making:
            backend, self._backend = self._backend, None
        if backend is not None:
            await backend.aclose()

    async def _made(self) -> Backend:
        async with self._making:
            if self._closed:
                raise BackendError("The planner was closed.", fault="unavailable")
            if self._backend is None:
                self._backend = await asyncio.to_thread(self._make)
            return self._backend
