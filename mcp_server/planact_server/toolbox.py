"""The connected toolsets, and the catalog made of them.

Owns which servers there are, which of them are still being asked for their tools, and the current
`Catalog`. A server that is slow or broken never holds up another one.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from planact_bridge import NOBODY, Downstream
from planact_server.catalog.catalog import Catalog, CatalogTool
from planact_server.database import StoreError
from planact_tools import JSONValue, Progress, ToolCall, ToolDefinition, ToolError, ToolResult, Toolset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from planact_bridge import Person

logger = logging.getLogger(__name__)


class DefinitionCache(Protocol):
    """Where the tools of a server are remembered between starts, keyed by the server's identity."""

    def cached_definitions(self, identity: str) -> Sequence[ToolDefinition] | None: ...

    def save_definitions(self, identity: str, definitions: Sequence[ToolDefinition]) -> None: ...


class ResourceReader(Protocol):
    """A toolset that also has resources."""

    async def read_resource(self, uri: str) -> ToolResult: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """How one server stands."""

    name: str
    state: Literal["pending", "cached", "ready", "failed"]
    tools: int
    error: str | None = None


class Toolbox:
    """All toolsets by server name; an async context manager. Whoever made the toolsets closes them."""

    def __init__(
        self, toolsets: Sequence[Toolset], *, cache: DefinitionCache | None = None, before: Toolbox | None = None
    ) -> None:
        """What the toolbox `before` knows of toolsets that are in this one too is known at once."""
        self._toolsets = {toolset.name: toolset for toolset in toolsets}
        self._cache = cache
        self._definitions: dict[str, Sequence[ToolDefinition]] = {}
        self._kept: dict[str, Sequence[ToolDefinition]] = {}
        """What the cache has."""

        self._errors: dict[str, str] = {}
        self._pending: dict[str, asyncio.Event] = {}
        self._fresh: set[str] = set()
        self._listeners: list[Callable[[], Awaitable[None]]] = []
        self._watching: list[Callable[[], None]] = []
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._heard = {name: asyncio.Event() for name in self._toolsets}
        self._is_connected = False
        self._read_cache()
        if before is not None:
            self._take_over(before)
        self.catalog = self._build(previous=before.catalog if before is not None else None)

    async def __aenter__(self) -> Self:
        for name, toolset in self._toolsets.items():
            if name not in self._definitions and name not in self._errors:
                self._pending[name] = asyncio.Event()
            self._watching += _watch(toolset, lambda name=name: self._load(name))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ask and hear nothing more. May be called twice."""
        for stop in self._watching:
            stop()
        self._watching.clear()
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)

    @property
    def is_connected(self) -> bool:
        """Whether the servers are being asked, or have been."""
        return self._is_connected

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._toolsets)

    def toolset(self, name: str) -> Toolset:
        return self._toolsets[name]

    def states(self) -> tuple[ServerState, ...]:
        return tuple(self._state(name) for name in self._toolsets)

    def error(self, server: str) -> str | None:
        """Why the server named so has no tools, if it failed."""
        return self._errors.get(server)

    def gap(self, server: str) -> str | None:
        """Why the server named so may have more tools than are known of it, if its list could be read only in part."""
        toolset = self._toolsets[server]
        return toolset.gap if isinstance(toolset, Downstream) else None

    def on_changed(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Call `listener` after every new generation of the catalog."""
        self._listeners.append(listener)

    def is_pending(self, server: str) -> bool:
        """Say whether the server named so has not answered yet and nothing is remembered of it."""
        return server in self._pending

    def connect(self) -> None:
        """Ask every server for its tools, all at once, in the background. Only the first time counts.

        Not done on opening: starting ten servers takes every core for a second or more, and the first answer to a
        host should not wait for that.
        """
        if not self._is_connected:
            self._is_connected = True
            for name in self._toolsets:
                self._begin(name)

    def _begin(self, name: str) -> asyncio.Task[None]:
        if name not in self._loading:
            self._loading[name] = asyncio.create_task(self._load(name), name=f"tools of {name}")
        return self._loading[name]

    async def settle(self, servers: Sequence[str] | None = None, *, seconds: float) -> None:
        """Wait until the servers named so (all, if none are named) have answered or failed, `seconds` at most."""
        self.connect()
        waiting = [self._pending[name] for name in (servers or self._toolsets) if name in self._pending]
        if not waiting:
            return
        try:
            async with asyncio.timeout(seconds):
                for event in waiting:
                    await event.wait()
        except TimeoutError:
            logger.warning("still waiting for the tools of %s", ", ".join(sorted(self._pending)))

    async def refresh(self, *, seconds: float) -> None:
        """Wait until every server has answered or failed in this process, whatever is remembered of it."""
        self.connect()
        await self.hear(self._toolsets, seconds=seconds)

    async def hear(self, servers: Iterable[str], *, seconds: float) -> bool:
        """Wait until the servers named so have answered or failed in this process, `seconds` at most.

        What is remembered of a server may be old: a tool that was a read can have become a write. Returns whether there
        was any to wait for.
        """
        asked = [name for name in self.unheard if name in frozenset(servers)]
        for name in asked:
            self._begin(name)
        try:
            async with asyncio.timeout(seconds):
                for name in asked:
                    await self._heard[name].wait()
        except TimeoutError:
            logger.warning("still waiting for the tools of %s", ", ".join(sorted(self.unheard)))
        return bool(asked)

    @property
    def unheard(self) -> tuple[str, ...]:
        """The servers that have neither answered nor failed in this process."""
        return tuple(name for name in self._toolsets if name not in self._fresh and name not in self._errors)

    async def retry(self, server: str) -> None:
        """Ask a server again that has failed, if only in part. Raises ToolError when it fails once more."""
        if server in self._toolsets and (server in self._errors or self.gap(server)):
            await self._load(server)
            if server in self._errors:
                raise ToolError(self._errors[server], server=server)

    async def call(
        self,
        tool: CatalogTool,
        arguments: Mapping[str, JSONValue],
        *,
        progress: Progress | None = None,
        person: Person | None = None,
    ) -> ToolResult:
        """Run one tool with validated arguments; a server may ask `person` meanwhile. Raises ToolError naming it."""
        call = ToolCall(name=tool.definition.name, arguments=arguments)
        toolset = self._toolsets[tool.raw_server]
        if isinstance(toolset, Downstream):
            whom = NOBODY if person is None else person
            return await toolset.call(call, progress=progress, person=whom, definition=tool.definition)
        return await toolset.call(call, progress=progress)

    def has_resources(self, server: str) -> bool:
        """Say whether the server named so can have resources, as far as is known of it."""
        toolset = self._toolsets[server]
        return toolset.has_resources if isinstance(toolset, Downstream) else hasattr(toolset, "read_resource")

    async def read_resource(self, uri: str, *, servers: Sequence[str]) -> ToolResult:
        """Read a resource from the first of these servers that has it. Raises ToolError if none does."""
        reasons: list[str] = []
        for name in servers:
            reader = getattr(self._toolsets[name], "read_resource", None)
            if reader is None:
                continue
            try:
                return await reader(uri)
            except ToolError as error:
                reasons.append(f"{name}: {error.message}")
        tried = "; ".join(reasons) or "no connected server has resources"
        raise ToolError(f"No server could read {uri!r} ({tried}).")

    async def _load(self, name: str) -> None:
        toolset = self._toolsets[name]
        try:
            definitions = await toolset.definitions()
        except ToolError as error:
            self._errors[name] = error.message
            logger.warning("%s", error.message)
        except Exception as error:  # one server's defect must not take the others down
            self._errors[name] = f"Server {name!r} failed: {error}"
            logger.exception("server %r failed", name)
        else:
            self._errors.pop(name, None)
            self._fresh.add(name)
            self._keep(name, definitions)
            await self._adopt(name, definitions)
        finally:
            self._answered(name)

    def _answered(self, name: str) -> None:
        """Let those go on who wait for this server."""
        self._heard[name].set()
        if event := self._pending.pop(name, None):
            event.set()

    async def _adopt(self, name: str, definitions: Sequence[ToolDefinition]) -> None:
        if self._definitions.get(name) == list(definitions):
            return
        self._definitions[name] = list(definitions)
        self.catalog = self._build(previous=self.catalog)
        self._answered(name)  # before the listeners have been told
        for listener in self._listeners:
            await listener()

    def _keep(self, name: str, definitions: Sequence[ToolDefinition]) -> None:
        if self._cache is None or self.gap(name) or self._kept.get(name) == list(definitions):
            return
        try:
            self._cache.save_definitions(self._toolsets[name].identity, definitions)
            self._kept[name] = list(definitions)
        except StoreError as error:  # a full disk: the next start asks the server instead
            logger.warning("the tools of %r are not kept: %s", name, error)

    def _read_cache(self) -> None:
        if self._cache is None:
            return
        for name, toolset in self._toolsets.items():
            cached = self._cache.cached_definitions(toolset.identity)
            if cached is not None:
                self._definitions[name] = self._kept[name] = list(cached)

    def _take_over(self, before: Toolbox) -> None:
        for name, toolset in self._toolsets.items():
            if before._toolsets.get(name) is not toolset:
                continue
            if name in before._definitions:
                self._definitions[name] = before._definitions[name]
            if name in before._errors:
                self._errors[name] = before._errors[name]
            if name in before._fresh:
                self._fresh.add(name)

    def _build(self, *, previous: Catalog | None) -> Catalog:
        tools = {name: self._definitions.get(name, ()) for name in self._toolsets}
        generation = previous.generation + 1 if previous is not None else 1
        return Catalog.build(tools, generation=generation, previous=previous)

    def _state(self, name: str) -> ServerState:
        tools = len(self._definitions.get(name, ()))
        if name in self._errors:
            return ServerState(name=name, state="failed", tools=tools, error=self._errors[name])
        if name in self._fresh:
            return ServerState(name=name, state="ready", tools=tools)
        return ServerState(name=name, state="cached" if name in self._definitions else "pending", tools=tools)


def _watch(toolset: Toolset, changed: Callable[[], Awaitable[None]]) -> list[Callable[[], None]]:
    """Return what ends it; nothing for a toolset that never changes while we run: only one behind a connection does."""
    subscribe: Any = getattr(toolset, "on_changed", None)
    return [] if subscribe is None else [subscribe(changed)]
