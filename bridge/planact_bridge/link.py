"""What a connection stands on: an open way to a server, the deadlines of each step, and who is told of news."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from planact_bridge.eras import PROBE_SECONDS
from planact_bridge.specs import CALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage

START_SECONDS = 60.0
"""How long a server may take to start and introduce itself: `npx` and `uvx` download first."""

LIST_SECONDS = 30.0
"""How long one page of a list may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long each step with a server may take, in seconds."""

    start: float = START_SECONDS
    probe: float = PROBE_SECONDS
    page: float = LIST_SECONDS
    call: float = CALL_SECONDS
    """For servers whose entry does not say."""


class Link(Protocol):
    """An open way to a server: messages out of it, messages into it, and why it ended."""

    @property
    def read(self) -> ReadStream[SessionMessage | Exception]: ...
    @property
    def write(self) -> WriteStream[SessionMessage]: ...
    @property
    def failure(self) -> str | None:
        """Why it is of no more use, where that is known already."""
        ...

    @property
    def heard(self) -> int | None:
        """How many messages came out of its one pipe; None where requests do not share one."""
        ...

    @property
    def pid(self) -> int | None:
        """The server's process, where it is one of ours and runs."""
        ...

    @property
    def last_words(self) -> str:
        """What the server wrote of late, to be put behind a reason; or nothing."""
        ...

    async def obituary(self) -> str:
        """Say why it ended, once it has."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What a connection reports on its own."""

    tools_changed: Callable[[], Awaitable[None]]
