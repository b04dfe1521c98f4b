"""What a tool is: its definition, a call of it, the answer, the error, and a set of them.

These are the nouns that every other package speaks. Nothing here does any work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"
JSONObject: TypeAlias = "dict[str, JSONValue]"

Progress: TypeAlias = Callable[[str, float | None], Awaitable[None]]
"""Receives a line of text and, where known, the fraction done (0 to 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """One tool as its owner describes it. `None` in a mark means that the owner did not say."""

    name: str
    """The raw name, exactly as the owner spells it; it need not be a Python identifier."""

    description: str = ""
    input_schema: Mapping[str, JSONValue] = field(default_factory=lambda: {"type": "object", "properties": {}})
    output_schema: Mapping[str, JSONValue] | None = None
    title: str | None = None

    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None
    icons: Sequence[Mapping[str, JSONValue]] = field(default_factory=list["Mapping[str, JSONValue]"])
    """Pictures of it, each with a `src`, for whoever shows it to people."""

    defects: Sequence[str] = field(default_factory=list[str])
    """What of the owner's description could not be read and was passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A request to run one tool. `arguments` are keyed by the raw parameter names and already validated."""

    name: str
    arguments: Mapping[str, JSONValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Content that is no JSON: an image, a sound, a file."""

    kind: Literal["image", "audio", "blob"]
    mime: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool gave back.

    `value` is what the plan sees. Where an attachment belongs in it, `value` holds
    `{"$attachment": index}` with an index into `attachments`.
    """

    value: JSONValue
    attachments: tuple[Attachment, ...] = ()


class ToolError(Exception):
    """A tool said no, or its server failed. `outcome_unknown` when a write may or may not have happened."""

    def __init__(
        self,
        message: str,
        *,
        server: str | None = None,
        tool: str | None = None,
        arguments: Mapping[str, JSONValue] | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.server = server
        self.tool = tool
        self.arguments = arguments
        self.outcome_unknown = outcome_unknown


def message_of(error: BaseException) -> str:
    """Return what an exception says, of whatever make it is: its `__str__` may fail."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - anybody's code
        return "(its message cannot be shown)"


class Toolset(Protocol):
    """Some tools under one server name. `planact_tools.Pack` and `planact_bridge.Downstream` are the two kinds."""

    @property
    def name(self) -> str:
        """The server name, as configured."""
        ...

    @property
    def identity(self) -> str:
        """What trust binds to: the command line, the URL, or the file of the pack. Never the name."""
        ...

    async def definitions(self) -> Sequence[ToolDefinition]:
        """Return the tools, connecting first where that is needed. Raises ToolError naming the server."""
        ...

    async def call(self, call: ToolCall, *, progress: Progress | None = None) -> ToolResult:
        """Run one tool. Raises ToolError; cancelling the await cancels the call."""
        ...

    async def aclose(self) -> None:
        """Let go of everything. May be called twice."""
        ...
