"""The newest list of one server's tools: read when it is needed, and again once the server says that it changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from planact_bridge.errors import BridgeError
from planact_bridge.ownership import CLOSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_bridge.listing import ToolList
    from planact_tools import ToolDefinition

logger = logging.getLogger(__name__)

AT_ONCE = 3
"""How often a list that changes without pause is read at once."""

PAUSE_SECONDS = 1.0
"""How often it is read from then on, in the background; who needs it meanwhile gets the newest one that was read."""

Listener: TypeAlias = Callable[[], Awaitable[None]]


class CurrentTools:
    """All who come at once share one reading and its failure; one who gives up does not end it."""

    def __init__(self, name: str, read: Callable[[], Awaitable[ToolList]], *, known: Sequence[ToolDefinition]) -> None:
        """Nothing is read yet.

        Args:
            name: The server's, for the log.
            read: Asks the server for its list. Raises BridgeErrors.
            known: What it offered at an earlier time.
        """
        self._name = name
        self._read = read
        self._offered = {definition.name: definition for definition in known}
        self._listed: dict[str, ToolDefinition] = {}
        """What of it stands in the newest list."""

        self._list: ToolList | None = None
        self._version = self._read_version = 0
        self._reading: asyncio.Task[BridgeError | None] | None = None
        self._failure: BridgeError | None = None
        self._busy_until = 0.0
        self._hurry = asyncio.Event()
        """Set by who cannot wait until the next reading has its turn."""

        self._listeners: list[Listener] = []
        self._telling: asyncio.Task[None] | None = None
        self._untold = False
        self._closed = False

    @property
    def newest(self) -> ToolList | None:
        """What the server said last, as it said it; None before it was read, and of a server that came back."""
        return self._list

    def known(self, name: str) -> ToolDefinition | None:
        """Return what is known of a tool, from whatever time."""
        return self._offered.get(name)

    def on_changed(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` whenever `definitions()` may give something else. Returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def definitions(self) -> Sequence[ToolDefinition]:
        """Return what the server offers; what it had before stays where its list breaks off. Raises BridgeErrors."""
        if self._list is None or self._is_old or self._list.gap is not None:
            await self._renew()
        return list(self._offered.values())

    async def listed(self, name: str) -> ToolDefinition | None:
        """Return a tool as the server has it now, or None where that has none of this name. Raises BridgeErrors.

        What the server has said to be old is never gone by, however often it says so: the tool may be a write by now.
        """
        missing = self._list is not None and self._list.gap is not None and name not in self._listed
        if self._list is None or self._is_old or missing:
            await self._renew_at_once()
        return self._listed.get(name)

    def note_change(self) -> None:
        """The server says that its tools have changed."""
        self._version += 1
        self._announce()

    def note_return(self) -> None:
        """Another process or session answers from now on, perhaps of another release: nothing that was read counts."""
        if self._list is not None:
            self._list = None
            self.note_change()

    async def aclose(self) -> None:
        """Tell nobody any more. The reading ends with the connection. May be called twice."""
        self._closed = True
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        if self._reading is not None:
            if self._rests:
                self._reading.cancel()
            # Where it does not rest, cancelling it would cancel those who wait for it.
            await asyncio.wait([self._reading], timeout=CLOSE_SECONDS)

    # Reading.

    @property
    def _is_old(self) -> bool:
        return self._read_version != self._version

    @property
    def _burst_seconds(self) -> float:
        return (AT_ONCE - 1) * PAUSE_SECONDS

    @property
    def _rest_seconds(self) -> float:
        return max(0.0, self._busy_until - asyncio.get_running_loop().time() - self._burst_seconds)

    @property
    def _rests(self) -> bool:
        """Whether the next reading waits its turn, and nobody waits for it."""
        return self._list is not None and self._rest_seconds > 0

    async def _renew(self) -> None:
        reading = self._begin()
        failure = self._failure if self._rests else await asyncio.shield(reading)
        if failure is not None:
            raise failure

    async def _renew_at_once(self) -> None:
        """Have the list read as it is now: one reading may have been under way when it changed."""
        wanted = self._version
        for _ in range(2):
            self._hurry.set()
            failure = await asyncio.shield(self._begin())
            if failure is not None:
                raise failure
            if self._read_version >= wanted:
                return

    def _begin(self) -> asyncio.Task[BridgeError | None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_in_turn(), name=f"tools of {self._name}")
        return self._reading

    async def _read_in_turn(self) -> BridgeError | None:
        """Read the list until it did not change meanwhile. Returns what went wrong, for nobody may be waiting."""
        if self._rests:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_seconds):
                    await self._hurry.wait()
        self._hurry.clear()
        for _ in range(AT_ONCE):
            version = self._version
            try:
                listed = await self._read()
            except BridgeError as error:
                self._failure = error
                return error
            finally:
                now = asyncio.get_running_loop().time()
                self._busy_until = min(max(self._busy_until, now), now + self._burst_seconds) + PAUSE_SECONDS
            self._adopt(listed, version)
            if not self._is_old or self._rests:
                break
        return None

    def _adopt(self, listed: ToolList, version: int) -> None:
        before, failed_before, is_first = self._offered, self._failure is not None, self._list is None
        self._list, self._read_version, self._failure = listed, version, None
        self._listed = {definition.name: definition for definition in listed.definitions}
        self._offered = self._listed if listed.gap is None else self._listed | self._unread(listed)
        for skipped in listed.skipped:
            logger.warning("server %r: skipped tool %s: %s", self._name, skipped.name, skipped.reason)
        # Who was told of a failure, or of another list, need not be the one who asked for this one.
        if failed_before or not (is_first or before == self._offered):
            self._announce()

    def _unread(self, listed: ToolList) -> dict[str, ToolDefinition]:
        """Return what the server is known to offer and the list, which breaks off, does not speak of."""
        spoken_of = self._listed.keys() | {skipped.name for skipped in listed.skipped}
        return {name: definition for name, definition in self._offered.items() if name not in spoken_of}

    # Telling.

    def _announce(self) -> None:
        self._untold = True
        if not self._closed and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell(), name=f"changed tools of {self._name}")

    async def _tell(self) -> None:
        while self._untold:
            self._untold = False
            for listener in tuple(self._listeners):
                try:
                    await listener()
                except Exception:  # a listener's defect must not end the connection
                    logger.exception("a listener for changed tools of server %r failed", self._name)
            # A server that announces without pause stays bearable.
            await asyncio.sleep(self._rest_seconds)
