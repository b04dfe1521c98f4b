"""One configuration in force, and the change from one to the next.

A request holds on to the generation that was in force when it came, to its end: its tools, its policy, its planner.
What the next generation uses as well (a server whose entry is the same) goes on in it, untouched.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from planact_server.plans.rights import PlanRights, facts_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping

    from planact_server.config import Config
    from planact_server.planner import TaskPlanner
    from planact_server.policy import ToolFacts, UndecidedServer
    from planact_server.sandbox import Limits
    from planact_server.toolbox import Toolbox

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
"""Longest that closing one part may take; each has its own, shorter, escalation."""


class Part:
    """Something open that generations share: closed when the last that holds it lets go."""

    def __init__(self, value: Any, close: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self.value = value
        self._close = close
        self._holders = 0

    def hold(self) -> None:
        self._holders += 1

    async def let_go(self) -> None:
        """Close it, unless somebody else holds it."""
        self._holders -= 1
        if self._holders > 0:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._close()
        except TimeoutError:
            logger.warning("%r did not close within %.0f s", self._name, CLOSE_SECONDS)
        except Exception:  # closing one must not keep the others open
            logger.exception("closing %r failed", self._name)

    @property
    def _name(self) -> str:
        return str(getattr(self.value, "name", type(self.value).__name__))


@dataclass(slots=True, kw_only=True, eq=False)
class Generation:
    """What requests that begin now may use."""

    config: Config
    rights: PlanRights
    limits: Limits
    planner: TaskPlanner | None = None
    problems: tuple[str, ...] = ()
    """What of the configuration could not be used, each with what to do about it."""

    parts: Mapping[Hashable, Part] = field(default_factory=dict["Hashable", Part])
    """What is open for it, by all that it was made from: equal keys mean that it can be used again."""

    requests: int = 0
    """How many hold on to it."""

    retired: bool = False

    @property
    def toolbox(self) -> Toolbox:
        return self.rights.toolbox

    def undecided(self) -> tuple[UndecidedServer, ...]:
        """Return the servers that the user has not decided on."""
        return self.rights.policy.undecided(self._facts())

    def unmatched_patterns(self) -> tuple[str, ...]:
        """Return the patterns of the policy that cover no tool: misspelt, or their server is gone."""
        return self.rights.policy.unmatched(self._facts())

    def _facts(self) -> list[ToolFacts]:
        return [facts_of(self.rights, tool) for tool in self.toolbox.catalog]

    async def open(self) -> None:
        """Hold what it uses, and follow its servers' tools."""
        for part in self.parts.values():
            part.hold()
        await self.toolbox.__aenter__()

    async def aclose(self) -> None:
        """Let go of everything: nobody uses it any more."""
        await self.toolbox.aclose()
        await asyncio.gather(*(part.let_go() for part in self.parts.values()))


class Generations:
    """The generation in force, and those that requests still hold; an async context manager that closes them."""

    def __init__(self, first: Generation) -> None:
        """`first` is open."""
        self.current = first
        self._listeners: list[Callable[[], Awaitable[None]]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._follow(first)

    def on_changed(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Call `listener` whenever the tools or what may be done with them have changed."""
        self._listeners.append(listener)

    def take(self) -> Generation:
        """Return the generation in force, for one request. `give_back` has to be called at its end."""
        self.current.requests += 1
        return self.current

    def give_back(self, generation: Generation) -> None:
        """A request that held on to a generation is over."""
        generation.requests -= 1
        self._close_if_over(generation)

    async def replace(self, fresh: Generation) -> None:
        """Put an open generation in force. The one before goes when its last request is over."""
        before, self.current = self.current, fresh
        self._follow(fresh)
        before.retired = True
        self._close_if_over(before)
        if before.toolbox.is_connected:
            fresh.toolbox.connect()
        await self._tell()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._closing)
        await self.current.aclose()

    def _follow(self, generation: Generation) -> None:
        async def changed() -> None:
            if generation is self.current:
                await self._tell()

        generation.toolbox.on_changed(changed)

    async def _tell(self) -> None:
        for listener in self._listeners:
            await listener()

    def _close_if_over(self, generation: Generation) -> None:
        if generation.retired and not generation.requests:
            closing = asyncio.create_task(generation.aclose(), name="closing an earlier configuration")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
