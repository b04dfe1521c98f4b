"""Running a plan where it can hurt nobody: the seam between the server and whatever executes plans.

An `Engine` gives `Worker`s, one per session and never shared. A worker runs one plan at a time and asks
its `PlanHost` for everything that lies outside: names, tool calls, help. Whatever arrives from a worker
is hostile input.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from planact_tools import JSONObject, JSONValue

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

RESULT = "__result__"
"""What a plan's result is called in `Outcome.truncated`: no variable can be."""

SILENT_DOUBT = "Doubt"
"""The type of a doubt about what would raise nothing: `x.get("misspelled")` is None."""

NO_DEFINITIONS: Mapping[str, str] = MappingProxyType({})

OutcomeStatus: TypeAlias = Literal["ok", "error", "refused", "timeout", "limit", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one plan may use. `None` is never "unlimited"; say a number."""

    seconds: float = 300.0
    """Wall time, tool calls included."""

    cpu_seconds: float = 60.0
    """What the plan itself computes: a plan that waits for tools has its whole wall time, one that spins does not."""

    memory_bytes: int = 256 * 1024 * 1024
    output_bytes: int = 1_000_000
    source_bytes: int = 200_000
    calls: int = 1_000
    calls_in_flight: int = 64
    frame_bytes: int = 16 * 1024 * 1024
    """Largest single message between worker and host."""

    state_bytes: int = 8 * 1024 * 1024
    """Largest exported state: variables and result together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownResults:
    """What the results of a tool look like, as far as somebody knows."""

    shape: JSONValue
    """As `planact_server.catalog.expectations` has it."""

    results: int
    """How many results it was learned from; 0 where the server says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedTool:
    """A tool that a plan may call by this name. `parameters` are Python spellings, in schema order."""

    server: str
    tool: str
    """Python spelling, unique within its server."""

    parameters: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    """Raw parameter names that differ from their Python spelling; accepted as keywords too."""

    open_keywords: bool = False
    """True where the schema admits properties that it does not list."""

    returns: KnownResults | None = None
    """What its results look like, for the check before the plan runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedServer:
    """A server's namespace: its tools are attributes, looked up when used."""

    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPlaceholder:
    """A function that nobody has defined: asked for by `expand` once it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """Nothing has this name. `hint` says what is close."""

    hint: str = ""


Resolution: TypeAlias = ResolvedTool | ResolvedServer | ResolvedPlaceholder | Unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """A tool call as the worker sent it: nothing in it has been checked."""

    call: int
    """Counts the plan's calls from 1, in program order."""

    server: str | None
    """`None` with `raw`, for `call_tool("name", {...})` without a server; without `raw`, for `ask_model`."""

    tool: str
    raw: bool
    """True for `call_tool`: `tool` is the raw name and `keywords` hold raw parameter names."""

    positional: Sequence[JSONValue]
    keywords: Mapping[str, JSONValue]
    line: int | None


FaultType: TypeAlias = Literal["ToolError", "TypeError", "ValueError", "NameError", "AttributeError", "LookupError"]


class PlanFault(Exception):
    """Raised by a PlanHost to make the plan's call raise. `type` names the exception class that the plan sees."""

    def __init__(
        self,
        message: str,
        *,
        type: FaultType,
        hint: str | None = None,
        parameter: str | None = None,
        server: str | None = None,
        tool: str | None = None,
        function: str | None = None,
        arguments: Mapping[str, JSONValue] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type: FaultType = type
        self.hint = hint
        self.parameter = parameter
        self.server = server
        self.tool = tool
        self.function = function
        self.arguments = arguments


class LimitReached(Exception):
    """Raised by a PlanHost to end the plan with status `limit`; the plan cannot catch it."""


class PlanHost(Protocol):
    """What a running plan may ask of its host. Every argument comes from the jail and is hostile."""

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        """Look up plain names (`pair_sum`, `git`) and dotted ones (`git.git_status`); one entry for each."""
        ...

    async def call(self, request: ToolRequest) -> JSONValue:
        """Run one tool call. Raises PlanFault or LimitReached."""
        ...

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        """Answer a helper: `search_tools`, `describe`, `progress`, `read_resource`, `text`, `expand`.

        `expand` is answered with {"source": a function's definition, "line": where it begins behind the plan}.
        Raises PlanFault.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanError:
    """One entry of the answer's `errors`. Lines and columns count from 1."""

    type: str
    message: str
    line: int | None = None
    column: int | None = None
    code_line: str | None = None
    call: int | None = None
    function: str | None = None
    parameter: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a plan ended and what it left. Partial results are kept whatever the status."""

    status: OutcomeStatus
    errors: tuple[PlanError, ...] = ()
    output: str = ""
    result: JSONValue = None
    has_result: bool = False
    variables: Mapping[str, JSONValue] = field(default_factory=dict[str, JSONValue])
    """Data variables of the session that this plan created or changed."""

    deleted: tuple[str, ...] = ()
    """Session variables that this plan removed."""

    functions: tuple[str, ...] = ()
    """Functions, classes and modules that the session holds after this plan: what JSON cannot carry."""

    definitions: Mapping[str, str] | None = None
    """Name → source, in the order of their definition, of all code that another worker could have; None: as before."""

    doubts: tuple[PlanError, ...] = ()
    """What looked wrong with how the plan reads results, before it ran.

    The type of each is the exception that it would be, or `SILENT_DOUBT`.
    """

    reached: int = 0
    """The furthest line that had been reached when the plan failed; 0 where nobody knows."""

    bindings: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    """Call number → names its result was bound to, as observed."""

    unmade: tuple[ToolRequest, ...] = ()
    """Calls that were given up before they had their turn."""

    inexact: tuple[str, ...] = ()
    """Variables of which their value here says less than there is: a date is text, the key 1 is "1"."""

    truncated: Mapping[str, int] = field(default_factory=dict[str, int])
    """Variables (and `RESULT`) that were too large to export whole → their size in bytes or items."""

    worker_lost: str | None = None
    """Why the worker is gone, when it is: the session must be restored into a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a worker could note of its session."""

    taken: bool
    """False where the session is too large to be noted within the worker's memory: `rollback` will fail."""

    unsettled: tuple[str, ...] = ()
    """Variables that hold what cannot be put back, such as a generator; the first ones."""


class Worker(Protocol):
    """One jailed interpreter holding one session."""

    @property
    def alive(self) -> bool: ...

    async def run(self, source: str, *, host: PlanHost, limits: Limits) -> Outcome:
        """Run one plan. Cancelling the await interrupts the plan, then kills the worker if it does not yield."""
        ...

    def so_far(self) -> Outcome:
        """Return what is known of the running plan: what it printed and bound. Its status means nothing yet."""
        ...

    async def interrupt(self) -> None:
        """Stop the running plan soon; its `run` returns an Outcome with status `cancelled` and partial results."""
        ...

    async def hold(self, calls: Collection[int]) -> None:
        """Say which calls of the running plan wait for a person; none any more, if there are none.

        While the plan can do nothing but wait for them, its clock stands still.
        """
        ...

    async def restore(
        self, variables: Mapping[str, JSONValue], definitions: Mapping[str, str] = NO_DEFINITIONS
    ) -> tuple[str, ...]:
        """Put an earlier worker's data variables into this one, and what `definitions` can define again.

        Returns the names of those that cannot. No tool is called. Raises EngineError when the worker is lost.
        """
        ...

    async def checkpoint(self) -> Checkpoint:
        """Note the session as it is, for `rollback`; there is one at most. Raises EngineError."""
        ...

    async def rollback(self) -> None:
        """Put the session back as it was at the checkpoint, which stays: variables, functions, classes.

        Raises EngineError, with the worker lost, where that cannot be done.
        """
        ...

    async def forget(self) -> None:
        """Let go of the checkpoint and its memory. Raises EngineError."""
        ...

    async def aclose(self) -> None: ...


class Engine(Protocol):
    """Where workers come from."""

    @property
    def name(self) -> str: ...

    @property
    def layers(self) -> JSONObject:
        """Which isolation layers took: name → true, or a sentence why not. Known once a worker has started."""
        ...

    @property
    def warning(self) -> str | None:
        """What every answer has to say about the jail: that it is weaker than it has to be, and the user allows it."""
        ...

    async def worker(self) -> Worker:
        """Return a fresh worker. Raises EngineError when none can be started."""
        ...

    async def aclose(self) -> None: ...


class EngineError(Exception):
    """No worker can be had; the message says why and what to do."""


class WeakJailError(EngineError):
    """Plans may not run here: the system lacks what the jail has to have."""
