"""Messages between the host and a worker: a 4-byte big-endian length, then one JSON object in UTF-8.

Host → worker
    {"type": "run", "source": str, "seconds": float, "cpu_seconds": float,
                    "output_bytes": int, "state_bytes": int, "source_bytes": int, "frame_bytes": int}
    {"type": "restore", "variables": {name: value}, "definitions": {name: source}}
    {"type": "checkpoint"} | {"type": "rollback"} | {"type": "forget"}
    {"type": "hold", "calls": [int]}                       those that wait for a person: that time is not the plan's
    {"type": "answer", "id": int, "value": value}
    {"type": "answer", "id": int, "error": {"type", "message", "hint"?, "parameter"?,
                                            "server"?, "tool"?, "function"?, "arguments"?}}
    {"type": "answer", "id": int, "limit": str}            ends the plan with status `limit`

Worker → host
    {"type": "ready", "pid": int, "layers": {name: true | str}}
    {"type": "restored", "lost": [int]}                    places of definitions that could not be made again
    {"type": "checkpointed", "taken": bool, "unsettled": [str]}
    {"type": "rolled_back", "done": bool} | {"type": "forgotten"}
    {"type": "resolve", "id": int, "names": [str]}         answered with {name: Resolution}, where
        Resolution = {"kind": "tool", "server", "tool", "parameters": [str], "aliases": [str], "open_keywords": bool,
                      "returns"?: {"shape", "results": int}}
                   | {"kind": "server", "server"} | {"kind": "placeholder"} | {"kind": "missing", "hint": str}
    {"type": "call", "id": int, "call": int, "server": str | null, "tool": str, "raw": bool,
                     "positional": [value], "keywords": {str: value}, "line": int | null,
                     "bound"?: [[int, [str]]]}             as in `bound`, of calls before this one
    {"type": "leave", "calls": [int]}                      nobody waits for these calls any more; they get no answer
    {"type": "ask", "id": int, "helper": str, "arguments": {str: value}}
    {"type": "doubts", "doubts": [error]}                  what looks wrong with the plan, before it runs
    {"type": "output", "text": str}                        what was printed since the last one
    {"type": "bound", "call": int, "names": [str]}         may come late, at the latest before `done`
    {"type": "done", "status", "errors", "result"?, "variables", "deleted", "functions", "truncated",
                     "definitions"?: {name: source},       of all that the session can have again; left out: as before
                     "inexact"?: [name],                    variables of which JSON says less than there is
                     "reached"?: int,                       the furthest line that a failure came through
                     "last"?: true}                        the worker ends with this plan

`id` is the worker's and counts up over its whole life; answers may come in any order. Several calls may be in
flight. Handles in answer values are objects with the key "$planact":
    {"$planact": "image" | "audio" | "blob", "id": str, "mime": str, "size": int}
    {"$planact": "text", "id": str, "size": int}           a LargeText; slices come through ask "text"
They travel back unchanged when a plan passes them as an argument.

A worker's frame is finite numbers and real text, nests at most `MAX_DEPTH` deep, holds at most `MAX_NODES` values
and has no other keys than these. A worker that sends anything else is killed: an honest one never does.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from planact_server.sandbox import (
    KnownResults,
    Limits,
    OutcomeStatus,
    PlanFault,
    Resolution,
    ResolvedPlaceholder,
    ResolvedServer,
    ResolvedTool,
    Unresolved,
)
from planact_server.sandbox.frame_fields import (
    Bindings,
    Count,
    Doubtful,
    Errors,
    Flag,
    Layers,
    Names,
    Places,
    Sizes,
    Sources,
    ToolName,
    ToolNames,
    Variables,
)
from planact_server.sandbox.frame_json import FrameError, parse

if TYPE_CHECKING:
    from planact_tools import JSONValue
else:
    JSONValue = Any  # Pydantic would walk through every value; `parse` has looked at the whole frame already

CONTROL_BYTES = 64 * 1024
"""Largest frame that a worker may send while no plan runs."""

_CLOSED = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Ready:
    type: Literal["ready"]
    pid: Count
    layers: Layers


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Restored:
    type: Literal["restored"]
    lost: Places = field(default_factory=list[int])


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Checkpointed:
    type: Literal["checkpointed"]
    taken: Flag
    unsettled: Annotated[Names, Field(max_length=100)]


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class RolledBack:
    type: Literal["rolled_back"]
    done: Flag


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Forgotten:
    type: Literal["forgotten"]


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Resolve:
    type: Literal["resolve"]
    id: Count
    names: ToolNames


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Call:
    type: Literal["call"]
    id: Count
    call: Count
    server: ToolName | None
    tool: ToolName
    raw: Flag
    positional: list[JSONValue]
    keywords: dict[str, JSONValue]
    line: Count | None
    bound: Bindings = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Ask:
    type: Literal["ask"]
    id: Count
    helper: ToolName
    arguments: dict[str, JSONValue]


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Output:
    type: Literal["output"]
    text: Annotated[str, StringConstraints(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Doubts:
    type: Literal["doubts"]
    doubts: Doubtful


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Bound:
    type: Literal["bound"]
    call: Count
    names: Annotated[Names, Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Done:
    type: Literal["done"]
    status: OutcomeStatus
    errors: Errors
    variables: Variables
    deleted: Names
    functions: Names
    truncated: Sizes
    definitions: Sources | None = None
    inexact: Names | None = None
    last: Flag = False
    reached: Count | None = None
    result: JSONValue = None
    has_result: bool = False
    """Whether `result` was in the frame: a plan's result may well be None. Filled in by `decode`."""


@dataclass(frozen=True, slots=True, kw_only=True, config=_CLOSED)
class Leave:
    type: Literal["leave"]
    calls: Annotated[list[Count], Field(max_length=100_000)]


Question: TypeAlias = Resolve | Call | Ask
"""What the worker waits for an answer to."""

WorkerFrame: TypeAlias = (
    Ready
    | Restored
    | Checkpointed
    | RolledBack
    | Forgotten
    | Resolve
    | Call
    | Leave
    | Ask
    | Doubts
    | Output
    | Bound
    | Done
)

_WORKER_FRAME: TypeAdapter[WorkerFrame] = TypeAdapter(Annotated[WorkerFrame, Field(discriminator="type")])


def decode(body: bytes) -> WorkerFrame:
    """Parse one frame of a worker. Raises FrameError on everything that an honest worker never sends."""
    raw = parse(body)
    if not isinstance(raw, dict):
        raise FrameError("The worker sent a frame that is no object.")
    if len(raw) > _MOST_KEYS:
        raise FrameError(f"The worker sent a malformed frame: it has {len(raw):,} keys.")
    if "has_result" in raw:
        raise FrameError("The worker sent a frame with the unknown key 'has_result'.")
    if raw.get("type") == "done":
        raw["has_result"] = "result" in raw
    try:
        return _WORKER_FRAME.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        raise FrameError(f"The worker sent a malformed frame: {place}: {first['msg'][:200]}.") from None


_MOST_KEYS = 20
"""More than any frame has."""


def run(source: str, limits: Limits) -> bytes:
    """Tell a worker to run a plan."""
    return _encode(
        {
            "type": "run",
            "source": source,
            "seconds": limits.seconds,
            "cpu_seconds": limits.cpu_seconds,
            "output_bytes": limits.output_bytes,
            "state_bytes": limits.state_bytes,
            "source_bytes": limits.source_bytes,
            "frame_bytes": limits.frame_bytes,
        }
    )


def restore(variables: Mapping[str, JSONValue], definitions: Mapping[str, str]) -> bytes:
    """Tell a worker to take over the variables of an earlier one, and its functions and classes from their source."""
    return _encode({"type": "restore", "variables": dict(variables), "definitions": dict(definitions)})


def checkpoint() -> bytes:
    """Tell a worker to note its session as it is."""
    return _encode({"type": "checkpoint"})


def rollback() -> bytes:
    """Tell a worker to put its session back as it was noted."""
    return _encode({"type": "rollback"})


def forget() -> bytes:
    """Tell a worker that its session need not be put back any more."""
    return _encode({"type": "forget"})


def hold(calls: Collection[int]) -> bytes:
    """Tell a worker which calls of its plan wait for a person."""
    return _encode({"type": "hold", "calls": list[JSONValue](sorted(calls))})


def answer(id: int, value: JSONValue) -> bytes:
    """Answer a question. Raises ValueError or RecursionError for what is no JSON."""
    return _encode({"type": "answer", "id": id, "value": value})


def fault(id: int, fault: PlanFault) -> bytes:
    """Make the plan's call raise."""
    facts = {
        "type": fault.type,
        "message": fault.message,
        "hint": fault.hint,
        "parameter": fault.parameter,
        "server": fault.server,
        "tool": fault.tool,
        "function": fault.function,
        "arguments": None if fault.arguments is None else dict(fault.arguments),
    }
    return _encode(
        {"type": "answer", "id": id, "error": {name: fact for name, fact in facts.items() if fact is not None}}
    )


def limit(id: int, message: str) -> bytes:
    """End the plan with status `limit`."""
    return _encode({"type": "answer", "id": id, "limit": message})


def resolutions(found: Mapping[str, Resolution]) -> JSONValue:
    """Spell resolutions out for the worker."""
    return {name: _resolution(entry) for name, entry in found.items()}


def _resolution(entry: Resolution) -> JSONValue:
    match entry:
        case ResolvedTool():
            return {
                "kind": "tool",
                "server": entry.server,
                "tool": entry.tool,
                "parameters": list(entry.parameters),
                "aliases": list(entry.aliases),
                "open_keywords": entry.open_keywords,
                **_returns(entry.returns),
            }
        case ResolvedServer():
            return {"kind": "server", "server": entry.server}
        case ResolvedPlaceholder():
            return {"kind": "placeholder"}
        case Unresolved():
            return {"kind": "missing", "hint": entry.hint}


def _returns(entry: KnownResults | None) -> dict[str, JSONValue]:
    return {} if entry is None else {"returns": {"shape": entry.shape, "results": entry.results}}


# What is no number comes from tools, and is one to Python on the other side; a worker's own frames may not hold it.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _encode(frame: Mapping[str, JSONValue]) -> bytes:
    # Half a character (a lone surrogate) cannot be written in UTF-8; the worker's side writes "?" as well.
    return _ENCODER.encode(frame).encode("utf-8", "replace")
