"""A Toolset in memory, for tests: it answers what it is told to, when it is told to, and remembers the calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from planact_tools.toolset import JSONValue, Progress, ToolCall, ToolDefinition, ToolError, ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Reply: TypeAlias = "JSONValue | ToolResult | ToolError | Callable[[Mapping[str, JSONValue]], JSONValue | ToolResult]"
"""What a tool answers: a value, a whole result, an error to raise, or a function of the arguments."""


class Gate:
    """Holds the calls of one tool until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        """Set when a call waits here."""

        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let the waiting calls and all later ones through."""
        self._opened.set()

    async def passed(self) -> None:
        self.reached.set()
        await self._opened.wait()


class MemoryToolset:
    """A real Toolset without a server behind it."""

    def __init__(self, name: str = "demo", *, identity: str | None = None) -> None:
        self._name = name
        self._identity = identity if identity is not None else f"memory:{name}"
        self._definitions: dict[str, ToolDefinition] = {}
        self._replies: dict[str, Reply] = {}
        self._gates: dict[str, Gate] = {}
        self._progress: dict[str, tuple[tuple[str, float | None], ...]] = {}
        self._failure: str | None = None
        self.calls: list[ToolCall] = []
        """Every call that arrived, in order; also those that failed."""

        self.cancelled: list[ToolCall] = []
        """The calls that were cancelled while they were held."""

        self.closed = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def identity(self) -> str:
        return self._identity

    def add(self, definition: ToolDefinition, reply: Reply = None) -> None:
        """Offer a tool, or replace the one of the same name."""
        self._definitions[definition.name] = definition
        self._replies[definition.name] = reply

    def hold(self, tool: str) -> Gate:
        """Make calls of a tool wait until the gate is opened."""
        self._gates[tool] = Gate()
        return self._gates[tool]

    def report(self, tool: str, steps: Iterable[tuple[str, float | None]]) -> None:
        """Make every call of a tool report this progress before it answers."""
        self._progress[tool] = tuple(steps)

    def fail(self, reason: str | None) -> None:
        """Make everything fail, as if the server were gone; None brings it back."""
        self._failure = reason

    async def definitions(self) -> Sequence[ToolDefinition]:
        self._check()
        return tuple(self._definitions.values())

    async def call(self, call: ToolCall, *, progress: Progress | None = None) -> ToolResult:
        self.calls.append(call)
        self._check(call)
        if call.name not in self._definitions:
            raise self._error(f"Server {self._name!r} has no tool {call.name!r}.", call)
        for text, fraction in self._progress.get(call.name, ()):
            if progress is not None:
                await progress(text, fraction)
        await self._pass_gate(call)
        reply = self._replies[call.name]
        if callable(reply):
            reply = reply(call.arguments)
        if isinstance(reply, ToolError):
            raise self._error(reply.message, call, outcome_unknown=reply.outcome_unknown)
        return reply if isinstance(reply, ToolResult) else ToolResult(value=reply)

    async def aclose(self) -> None:
        self.closed = True

    async def _pass_gate(self, call: ToolCall) -> None:
        gate = self._gates.get(call.name)
        if gate is None:
            return
        try:
            await gate.passed()
        except asyncio.CancelledError:
            self.cancelled.append(call)
            raise

    def _check(self, call: ToolCall | None = None) -> None:
        if self._failure is not None:
            raise self._error(f"Server {self._name!r} failed: {self._failure}", call)
        if self.closed:
            raise self._error(f"Server {self._name!r} is closed.", call)

    def _error(self, message: str, call: ToolCall | None, *, outcome_unknown: bool = False) -> ToolError:
        return ToolError(
            message,
            server=self._name,
            tool=call.name if call is not None else None,
            arguments=call.arguments if call is not None else None,
            outcome_unknown=outcome_unknown,
        )
