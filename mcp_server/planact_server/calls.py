"""What a running plan may ask for: names, tool calls, helpers.

One `PlanCalls` serves one run. Every argument of its methods comes from the jail and is treated as hostile:
known tool, valid arguments, policy, then the toolset, then the record, then the answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planact_server.answer import CallRecord
from planact_server.catalog.catalog import (
    AmbiguousToolError,
    Catalog,
    CatalogServer,
    CatalogTool,
    ToolNotFoundError,
)
from planact_server.catalog.search import rank
from planact_server.catalog.signatures import describe, one_line, signature
from planact_server.catalog.validation import ArgumentsError, bind
from planact_server.content import SLICE_CHARS, ContentError, Contents
from planact_server.plain_json import size_of
from planact_server.policy import Decision, Policy, ToolFacts
from planact_server.sandbox import (
    PlanFault,
    Resolution,
    ResolvedServer,
    ResolvedTool,
    ToolRequest,
    Unresolved,
)
from planact_tools import JSONValue, ToolError

if TYPE_CHECKING:
    from planact_server.toolbox import Toolbox

logger = logging.getLogger(__name__)

MOST_FOUND = 100
"""Largest `limit` of `search_tools`."""

RECORDED_CHARS = 64 * 1024 * 1024
"""How much of what one run's calls returned is kept for its answer."""

Report = Callable[[str, float | None], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class _Call:
    number: int
    """The worker's number; the record's own counts only the calls that were valid."""

    tool: CatalogTool
    arguments: dict[str, JSONValue]
    decision: Decision
    line: int | None
    started: float
    ended: float | None = None
    value: JSONValue = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRights:
    """What one plan may use."""

    toolbox: Toolbox
    policy: Policy
    shipped: frozenset[str] = frozenset()
    """Servers (by configured name) that are packs of our own."""

    unusable: Mapping[str, str] = field(default_factory=dict[str, str])
    """Servers (Python spelling) whose configuration cannot be used → why."""

    start_seconds: float = 30.0
    """How long a plan waits for servers that have not answered yet."""


class PlanCalls:
    """The host side of one running plan: a `PlanHost`."""

    def __init__(self, rights: PlanRights, contents: Contents, report: Report) -> None:
        self._rights = rights
        self._contents = contents
        self._report = report
        self._catalog = rights.toolbox.catalog
        self._calls: list[_Call] = []
        self._room = RECORDED_CHARS

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        """Look up names, first waiting for the servers that they may belong to."""
        missing = [name for name in names if not self._known(name)]
        if missing:
            await self._await_owners(missing)
        return {name: self._resolution(name) for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        """Run one tool call."""
        tool = await self._find(request)
        arguments = self._bind(tool, request)
        decision = self._rights.policy.decide(facts_of(self._rights, tool))
        call = _Call(
            number=request.call,
            tool=tool,
            arguments=arguments,
            decision=decision,
            line=request.line,
            started=time.perf_counter(),
        )
        self._calls.append(call)
        if decision.verdict != "allow":
            raise self._held_back(call)
        await self._report(f"calling {tool.full_name}", None)
        return await self._carry_out(call)

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        """Answer a helper function of the plan."""
        match helper:
            case "search_tools":
                return await self._search(arguments)
            case "describe":
                return await self._describe(arguments)
            case "progress":
                await self._report(str(arguments.get("text", "")), _fraction(arguments.get("fraction")))
                return None
            case "read_resource":
                server = arguments.get("server")
                return await self._read_resource(str(arguments.get("uri", "")), str(server) if server else None)
            case "text":
                return self._slice(arguments)
            case "ask_model":
                raise PlanFault(
                    "ask_model needs the on-device planner, which is not set up here.",
                    type="ToolError",
                    hint="Work the data out in Python, or return it and let the caller's model read it.",
                )
            case _:
                raise PlanFault(f"There is no helper {helper!r}.", type="NameError")

    def held_back(self, number: int) -> bool:
        """Say whether the worker's call `number` was stopped by the policy."""
        return any(call.number == number and call.decision.verdict != "allow" for call in self._calls)

    def position(self, number: int | None) -> int | None:
        """Return which record belongs to the worker's call `number`, counting from 1."""
        numbers = [call.number for call in self._calls]
        return numbers.index(number) + 1 if number in numbers else None

    def records(self, bindings: Mapping[int, tuple[str, ...]]) -> tuple[CallRecord, ...]:
        """Return what was called, in program order."""
        self._calls.sort(key=lambda call: call.number)
        overlapping = _overlapping(self._calls)
        return tuple(
            CallRecord(
                call=position,
                function=call.tool.function,
                server=call.tool.server,
                arguments=call.arguments,
                line=call.line,
                bound_to=bindings.get(call.number, ()) if call.error is None else (),
                ok=call.error is None and call.ended is not None,
                value=call.value,
                error=call.error if call.ended is not None else "No answer yet.",
                ms=round(((call.ended or time.perf_counter()) - call.started) * 1000, 3),
                read_only=call.decision.read_only,
                parallel=call.number in overlapping,
            )
            for position, call in enumerate(self._calls, start=1)
        )

    def _known(self, name: str) -> bool:
        found = self._catalog.resolve(name)
        if isinstance(found, CatalogServer):
            return not self._rights.toolbox.is_pending(found.raw_name)
        return found is not None

    async def _await_owners(self, names: Iterable[str]) -> None:
        """Wait for the servers that the names may belong to."""
        heads = {name.partition(".")[0] for name in names}
        servers = [self._catalog.servers[head].raw_name for head in heads if head in self._catalog.servers]
        # A bare name may belong to any server, so all of them have to answer first.
        await self._await_servers(servers, everything=len(servers) < len(heads))

    async def _await_servers(self, servers: Sequence[str], *, everything: bool) -> None:
        toolbox = self._rights.toolbox
        for server in servers:
            try:
                await toolbox.retry(server)
            except ToolError as error:
                logger.info("%s", error.message)
        await toolbox.settle(None if everything else servers, seconds=self._rights.start_seconds)
        self._catalog = toolbox.catalog

    def _resolution(self, name: str) -> Resolution:
        match self._catalog.resolve(name):
            case CatalogTool() as tool:
                return ResolvedTool(
                    server=tool.server,
                    tool=tool.name,
                    parameters=tuple(parameter.name for parameter in tool.parameters),
                    aliases=tuple(p.raw for p in tool.parameters if p.raw != p.name),
                    open_keywords=tool.open_keywords,
                )
            case CatalogServer() as server:
                return ResolvedServer(server=server.name)
            case None:
                return Unresolved(hint=self._hint(name))

    def _hint(self, name: str) -> str:
        if reason := self._why_without_tools(name.partition(".")[0]):
            return reason
        closest = self._catalog.closest(name)
        return f"Did you mean {closest!r}?" if closest else 'search_tools("words") finds tools by what they do.'

    def _why_without_tools(self, server: str) -> str | None:
        found = self._catalog.server(server)
        return self._rights.toolbox.error(found.raw_name) if found else self._rights.unusable.get(server)

    async def _find(self, request: ToolRequest) -> CatalogTool:
        if request.raw:
            return await self._find_raw(request.tool, request.server)
        name = f"{request.server}.{request.tool}" if request.server else request.tool
        found = self._catalog.resolve(name)
        if not isinstance(found, CatalogTool):
            raise PlanFault(f"There is no tool {name!r}.", type="NameError", function=name, hint=self._hint(name))
        return found

    async def _find_raw(self, tool: str, server: str | None) -> CatalogTool:
        """Find what `call_tool` names. Nobody looked it up before the plan ran: its server may be starting."""
        owner = self._catalog.server(server) if server is not None else None
        try:
            try:
                return self._catalog.by_raw(tool, server)
            except ToolNotFoundError:
                await self._await_servers([owner.raw_name] if owner else [], everything=server is None)
                return self._catalog.by_raw(tool, server)
        except (ToolNotFoundError, AmbiguousToolError) as error:
            hint = self._why_without_tools(server) if server is not None else None
            raise PlanFault(str(error), type="NameError", function=tool, hint=hint) from None

    def _bind(self, tool: CatalogTool, request: ToolRequest) -> dict[str, JSONValue]:
        try:
            arguments = bind(tool, request.positional, request.keywords, raw=request.raw)
        except ArgumentsError as error:
            raise PlanFault(
                error.message, type="TypeError", parameter=error.parameter, hint=error.hint, function=tool.function
            ) from None
        return arguments

    def _held_back(self, call: _Call) -> PlanFault:
        call.ended = time.perf_counter()
        decision = call.decision
        if decision.verdict == "deny":
            call.error = f"{call.tool.full_name} is denied: {decision.reason}"
            return self._fault(call, call.error)
        call.error = f"{call.tool.full_name} needs your approval: {decision.reason}"
        return self._fault(call, call.error, hint=f"To allow it, add to planact.toml:\n{decision.toml}")

    async def _carry_out(self, call: _Call) -> JSONValue:
        try:
            disclosed = {name: self._contents.disclose(value) for name, value in call.arguments.items()}
            result = await self._rights.toolbox.call(call.tool, disclosed, progress=self._report)
        except ContentError as error:
            call.error = str(error)
            raise self._fault(call, call.error) from None
        except ToolError as error:
            call.error = error.message
            raise self._fault(call, error.message) from None
        finally:
            call.ended = time.perf_counter()
            if call.error is None:
                call.error = "The call was cancelled."
        call.error = None
        value = self._contents.enclose(result)
        call.value = self._recorded(value)
        return value

    def _recorded(self, value: JSONValue) -> JSONValue:
        """Return what the record of a call shows: its value, as long as those of the run have room in memory."""
        size = size_of(value)
        if size > self._room:
            note = f"not kept: the calls of this run returned more than {RECORDED_CHARS:,} characters"
            return {"$type": type(value).__name__, "repr": note}
        self._room -= size
        return value

    def _fault(self, call: _Call, message: str, *, hint: str | None = None) -> PlanFault:
        return PlanFault(
            message,
            type="ToolError",
            hint=hint,
            server=call.tool.server,
            tool=call.tool.definition.name,
            function=call.tool.function,
            arguments=call.arguments,
        )

    async def _search(self, arguments: Mapping[str, JSONValue]) -> JSONValue:
        await self._settle_all()
        limit = arguments.get("limit")
        limit = min(limit, MOST_FOUND) if isinstance(limit, int) and limit > 0 else 10
        # The first search of a catalog builds its index, which takes a third of a second with its imports.
        found = await asyncio.to_thread(rank, self._catalog, str(arguments.get("words", "")), limit=limit)
        return [_line(tool) for tool in found]

    async def _describe(self, arguments: Mapping[str, JSONValue]) -> JSONValue:
        name = str(arguments.get("name", ""))
        if not self._known(name):
            await self._await_owners([name])
        match self._catalog.resolve(name):
            case CatalogTool() as tool:
                return describe(tool)
            case CatalogServer() as server:
                return "\n".join(_line(tool) for tool in server.tools.values())
            case None:
                raise PlanFault(f"There is no tool {name!r}.", type="NameError", hint=self._hint(name))

    async def _read_resource(self, uri: str, server: str | None) -> JSONValue:
        await self._settle_all()
        found = self._catalog.server(server) if server else None
        if server and found is None:
            raise PlanFault(f"There is no server {server!r}.", type="NameError", hint=self._hint(server))
        servers = [found] if found is not None else self._catalog.servers.values()
        candidates = [each for each in servers if self._rights.toolbox.has_resources(each.raw_name)]
        # Reading a resource is a read of its server, though no tool of it makes the call.
        decisions = {each.raw_name: self._rights.policy.decide(self._resource_facts(each)) for each in candidates}
        allowed = [name for name, decision in decisions.items() if decision.verdict == "allow"]
        if not allowed and decisions:
            name, decision = next(iter(decisions.items()))
            hint = f"To allow it, add to planact.toml:\n{decision.toml}" if decision.toml else None
            reason = f"Reading resources of {name!r} needs your approval: {decision.reason}."
            raise PlanFault(reason, type="ToolError", server=name, hint=hint)
        try:
            return self._contents.enclose(await self._rights.toolbox.read_resource(uri, servers=allowed))
        except ToolError as error:
            raise PlanFault(error.message, type="ToolError", server=error.server) from None

    def _resource_facts(self, server: CatalogServer) -> ToolFacts:
        return ToolFacts(
            server=server.raw_name,
            server_name=server.name,
            tool="read_resource",
            tool_name="read_resource",
            identity=self._rights.toolbox.toolset(server.raw_name).identity,
            read_only=True,
            shipped=server.raw_name in self._rights.shipped,
        )

    def _slice(self, arguments: Mapping[str, JSONValue]) -> JSONValue:
        start, stop = arguments.get("start"), arguments.get("stop")
        try:
            text = self._contents.text(str(arguments.get("id")))
        except ContentError as error:
            raise PlanFault(str(error), type="LookupError") from None
        if not isinstance(start, int) or not isinstance(stop, int):
            raise PlanFault("A slice of a text needs two whole numbers.", type="TypeError")
        return text[start : min(stop, start + SLICE_CHARS)]

    async def _settle_all(self) -> None:
        await self._rights.toolbox.settle(seconds=self._rights.start_seconds)
        self._catalog = self._rights.toolbox.catalog


def facts_of(rights: PlanRights, tool: CatalogTool) -> ToolFacts:
    """Return what the policy wants to know about a tool."""
    definition = tool.definition
    return ToolFacts(
        server=tool.raw_server,
        server_name=tool.server,
        tool=definition.name,
        tool_name=tool.name,
        identity=rights.toolbox.toolset(tool.raw_server).identity,
        read_only=definition.read_only,
        destructive=definition.destructive,
        open_world=definition.open_world,
        shipped=tool.raw_server in rights.shipped,
    )


def _line(tool: CatalogTool) -> str:
    summary = one_line(tool.definition.description.strip().partition("\n")[0])[:100]
    return f"{signature(tool)}  # {summary}" if summary else signature(tool)


def _fraction(value: JSONValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return min(1.0, max(0.0, float(value)))


def _overlapping(calls: Sequence[_Call]) -> set[int]:
    """Return the numbers of the calls that ran at the same time as another one."""
    found: set[int] = set()
    latest: _Call | None = None
    for call in sorted(calls, key=lambda call: call.started):
        if latest is not None and (latest.ended is None or call.started < latest.ended):
            found.update((latest.number, call.number))
        if latest is None or latest.ended is None or (call.ended or float("inf")) > latest.ended:
            latest = call
    return found
