"""How a downstream server stands, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from planact_bridge.eras import Era
    from planact_bridge.listing import SkippedTool

State: TypeAlias = Literal["idle", "starting", "ready", "failed", "closed"]


@dataclass(slots=True, kw_only=True)
class Counters:
    """What happened so far."""

    starts: int = 0
    calls: int = 0
    refused: int = 0
    """Calls that the server answered with an error."""

    timeouts: int = 0
    lost: int = 0
    """Connections that ended without being asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownstreamStatus:
    """One server, now."""

    name: str
    identity: str
    state: State
    error: str | None = None
    """Why the last start failed, or how the last connection ended; None while there is a connection."""

    last_error: str | None = None
    """The newest of all such reasons, also when the server has come back since."""

    failures: int = 0
    """Failed starts and lost connections in a row, since the server last answered something."""

    next_try_seconds: float | None = None
    """How long calls are refused at once because the server keeps failing; None where the next one tries."""

    pid: int | None = None
    """Its process, while it runs here."""

    era: Era | None = None
    protocol_version: str | None = None
    server: str = ""
    """The name and version that the server gives itself."""

    tools: int | None = None
    """How many were read; None before the list was read."""

    skipped: tuple[SkippedTool, ...] = ()
    problems: tuple[str, ...] = ()
    """What is wrong with the server's list itself; the defects of a tool are in its definition."""

    start_ms: float | None = None
    """Time of the last start, until the server had introduced itself."""

    log: tuple[str, ...] = ()
    """The newest lines of its standard error."""

    garbage_lines: int = 0
    """Lines on its standard output that were no messages."""

    counters: Counters = field(default_factory=Counters)
