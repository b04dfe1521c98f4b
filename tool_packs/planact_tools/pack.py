"""A pack: decorated functions as a Toolset."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import Any, TypeAlias

from planact_tools.signature import ToolDefinitionError
from planact_tools.threads import in_thread
from planact_tools.tool import Tool
from planact_tools.toolset import Progress, ToolCall, ToolDefinition, ToolError, ToolResult

logger = logging.getLogger(__name__)

Lifespan: TypeAlias = Callable[[], AbstractContextManager[object] | AbstractAsyncContextManager[object]]
"""Makes the context manager that a pack's tools need open. A plain one is entered and left in worker threads."""


class Pack:
    """A Toolset made of decorated functions.

    `lifespan` is entered before the first call and left by `aclose`; a pack that is never called opens nothing.
    """

    def __init__(
        self,
        name: str,
        tools: Iterable[Tool[..., Any]],
        *,
        identity: str | None = None,
        lifespan: Lifespan | None = None,
    ) -> None:
        self._name = name
        self._identity = identity if identity is not None else f"pack:{name}"
        self._tools = _by_name(name, tools)
        self._make_lifespan = lifespan
        self._lifespan: _OpenLifespan | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<pack {self._name!r} with {len(self._tools)} tools>"

    @property
    def name(self) -> str:
        return self._name

    @property
    def identity(self) -> str:
        return self._identity

    def with_identity(self, identity: str) -> Pack:
        """Return the same pack, unopened, under another identity."""
        return Pack(self._name, self._tools.values(), identity=identity, lifespan=self._make_lifespan)

    async def definitions(self) -> Sequence[ToolDefinition]:
        return tuple(tool.definition for tool in self._tools.values())

    async def call(self, call: ToolCall, *, progress: Progress | None = None) -> ToolResult:
        """Run one tool. Cancelling stops an `async` tool; a plain one goes on in its thread, its result unread."""
        try:
            tool = self._find(call.name)
            await self._open()
            return await tool.run(call.arguments, progress=progress)
        except ToolError as error:
            error.server, error.tool, error.arguments = self._name, call.name, call.arguments
            raise

    async def aclose(self) -> None:
        self._closed = True
        if self._lifespan is not None:
            lifespan, self._lifespan = self._lifespan, None
            await lifespan.aclose()

    def _find(self, name: str) -> Tool[..., Any]:
        tool = self._tools.get(name)
        if tool is None:
            close = difflib.get_close_matches(name, self._tools, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Its tools: {', '.join(self._tools)}."
            raise ToolError(f"Pack {self._name!r} has no tool {name!r}. {hint}")
        return tool

    async def _open(self) -> None:
        if self._closed:
            raise ToolError(f"Pack {self._name!r} is closed.")
        if self._make_lifespan is None:
            return
        if self._lifespan is None:
            self._lifespan = _OpenLifespan(self._name, self._make_lifespan)
        lifespan = self._lifespan
        try:
            await lifespan.opened()
        except ToolError:
            if self._lifespan is lifespan:
                self._lifespan = None  # the next call tries again
            raise


def bound_tools(instance: object) -> tuple[Tool[..., Any], ...]:
    """Return the tools among an object's methods, in the order in which its class defines them."""
    names = {name: None for base in reversed(type(instance).__mro__) for name in vars(base)}
    found = (getattr(instance, name) for name in names if isinstance(getattr(type(instance), name), Tool))
    return tuple(found)


class _OpenLifespan:
    """A context manager held open by a task of its own.

    Cancel scopes must be left by the task that entered them, and the call that happens to be the first may be
    cancelled without taking the state of all others with it.
    """

    def __init__(self, pack: str, make: Lifespan) -> None:
        self._pack = pack
        self._make = make
        self._problem: str | None = None
        self._settled = asyncio.Event()
        self._leave = asyncio.Event()
        self._task = asyncio.create_task(self._hold(), name=f"lifespan of pack {pack}")

    async def opened(self) -> None:
        """Wait until it is open. Raises ToolError when it cannot be opened."""
        await self._settled.wait()
        if self._problem is not None:
            raise ToolError(f"Pack {self._pack!r} could not be opened: {self._problem}")

    async def aclose(self) -> None:
        self._leave.set()
        await asyncio.wait([self._task])

    async def _hold(self) -> None:
        try:
            async with _entered(self._make()):
                self._settled.set()
                await self._leave.wait()
        except Exception as error:
            # Isolation: whatever a pack's own code raises, the server and the other packs live on.
            logger.exception("lifespan of pack %r failed", self._pack)
            self._problem = error.message if isinstance(error, ToolError) else f"{type(error).__name__}: {error}"
        finally:
            self._settled.set()


@asynccontextmanager
async def _entered(
    manager: AbstractContextManager[object] | AbstractAsyncContextManager[object],
) -> AsyncGenerator[None]:
    if isinstance(manager, AbstractAsyncContextManager):
        async with manager:
            yield
        return
    await in_thread(manager.__enter__, name="opening a pack")
    try:
        yield
    finally:
        await in_thread(lambda: manager.__exit__(None, None, None), name="closing a pack")


def _by_name(pack: str, tools: Iterable[Tool[..., Any]]) -> dict[str, Tool[..., Any]]:
    found: dict[str, Tool[..., Any]] = {}
    for tool in tools:
        name = tool.definition.name
        if name in found:
            raise ToolDefinitionError(f"Pack {pack!r} has two tools called {name!r}. Give one of them another `name=`.")
        if tool.needs_instance:
            raise ToolDefinitionError(f"Tool {name!r} of pack {pack!r} is a method: take it from an instance.")
        found[name] = tool
    return found
