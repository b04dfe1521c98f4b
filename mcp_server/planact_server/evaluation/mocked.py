"""A benchmark's functions as tools: the plan in one worker, the functions in another, a catalog in between.

That is how Planact runs everybody's plans, so what it records about calls is what a user would get. The functions'
source stays in the jail: calling one is a small plan for the second worker.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planact_server.answer import CallRecord
from planact_server.catalog.catalog import Catalog, CatalogTool
from planact_server.catalog.validation import ArgumentsError, bind
from planact_server.evaluation.published import TYPING
from planact_server.planner import Trial
from planact_server.planner.spending import Spending
from planact_server.plans.resolving import resolve
from planact_server.sandbox import PlanFault, Unresolved
from planact_server.standins.making import stand_in
from planact_tools import ToolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from planact_server.evaluation.dpab import Item
    from planact_server.sandbox import Engine, Limits, Outcome, Resolution, ToolRequest, Worker
    from planact_tools import JSONValue

SERVER = "dpab"


@dataclass(slots=True)
class MockWorker:
    """The functions of one item, in a worker of their own. Calls wait for one another: a worker runs one plan."""

    engine: Engine
    limits: Limits
    mocks: str
    _worker: Worker | None = field(default=None, init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def call(self, tool: CatalogTool, arguments: Mapping[str, JSONValue]) -> JSONValue:
        """Call a function. Raises ToolError with what it raised."""
        async with self._turn:
            worker = await self._ready(tool)
            source = f"{tool.definition.name}(**_dpab_json.loads({json.dumps(arguments)!r}))"
            outcome = await worker.run(source, host=_Nobody(), limits=self.limits)
            if not worker.alive:
                await self.aclose()
        if outcome.status == "ok" and not outcome.truncated:
            return outcome.result
        raise ToolError(_why(outcome), server=SERVER, tool=tool.definition.name, arguments=arguments)

    async def aclose(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.aclose()

    async def _ready(self, tool: CatalogTool) -> Worker:
        if self._worker is None:
            self._worker = await self.engine.worker()
            source = f"{TYPING}\n{self.mocks}\nimport json as _dpab_json"
            outcome = await self._worker.run(source, host=_Nobody(), limits=self.limits)
            if outcome.status != "ok":
                await self.aclose()
                raise ToolError(_why(outcome), server=SERVER, tool=tool.definition.name)
        return self._worker


class MockHost:
    """What one plan may ask for: the item's functions, and nothing else."""

    def __init__(self, catalog: Catalog, answer: Callable[..., Awaitable[JSONValue]]) -> None:
        self._catalog = catalog
        self._answer = answer
        self._calls: list[CallRecord] = []

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        return {name: self._resolution(name) for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        """Run one call: known function, valid arguments, then the answer, then the record."""
        tool = self._find(request)
        try:
            arguments = bind(tool, request.positional, request.keywords, raw=request.raw)
        except ArgumentsError as error:
            raise PlanFault(
                error.message, type="TypeError", parameter=error.parameter, hint=error.hint, function=tool.function
            ) from None
        started = time.perf_counter()
        try:
            value, failure = await self._answer(tool, arguments), None
        except ToolError as error:
            value, failure = None, error.message
        record = CallRecord(
            call=request.call,
            function=tool.function,
            server=tool.server,
            arguments=arguments,
            line=request.line,
            ok=failure is None,
            value=value,
            error=failure,
            ms=(time.perf_counter() - started) * 1000,
            read_only=True,
        )
        self._calls.append(record)
        if failure is not None:
            raise PlanFault(failure, type="ToolError", server=SERVER, tool=tool.name, function=tool.function)
        return value

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        del arguments
        if helper == "progress":
            return None
        raise PlanFault(f"{helper}() is not part of this benchmark.", type="ToolError", function=helper)

    @property
    def calls(self) -> tuple[CallRecord, ...]:
        """The calls in program order."""
        return tuple(sorted(self._calls, key=lambda record: record.call))

    def _find(self, request: ToolRequest) -> CatalogTool:
        name = f"{request.server}.{request.tool}" if request.server else request.tool
        found = self._catalog.resolve(name)
        if not isinstance(found, CatalogTool):
            raise PlanFault(f"There is no tool {name!r}.", type="NameError", function=name)
        return found

    def _resolution(self, name: str) -> Resolution:
        if (found := resolve(self._catalog, name)) is not None:
            return found
        close = self._catalog.closest(name)
        return Unresolved(hint=f"Did you mean {close!r}?" if close else "")


class MockGround:
    """One item as a planner's `Ground`: every plan starts from an empty session."""

    def __init__(self, item: Item, *, engine: Engine, limits: Limits, mocks: MockWorker) -> None:
        self._catalog = Catalog.build({SERVER: item.tools})
        self._engine = engine
        self._limits = limits
        self._mocks = mocks
        self._spending = Spending()

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    @property
    def variables(self) -> Mapping[str, JSONValue]:
        return {}

    @property
    def functions(self) -> Sequence[str]:
        return ()

    @property
    def spending(self) -> Spending:
        return self._spending

    async def rehearse(self, plan: str) -> Trial:
        """Run a plan with every call answered by a typed stand-in."""

        async def make_up(tool: CatalogTool, arguments: Mapping[str, JSONValue]) -> JSONValue:
            return stand_in(tool, arguments)

        return await self._run(plan, make_up)

    async def attempt(self, plan: str) -> Trial:
        """Run a plan with the benchmark's own functions."""
        return await self._run(plan, self._mocks.call)

    async def report(self, text: str, fraction: float | None = None) -> None:
        """Nobody waits for this."""

    async def _run(self, plan: str, answer: Callable[..., Awaitable[JSONValue]]) -> Trial:
        host = MockHost(self._catalog, answer)
        worker = await self._engine.worker()
        try:
            outcome = await worker.run(plan, host=host, limits=self._limits)
        finally:
            await worker.aclose()
        return Trial(outcome=outcome, calls=host.calls)


@asynccontextmanager
async def mock_ground(item: Item, *, engine: Engine, limits: Limits) -> AsyncGenerator[MockGround]:
    """Give a ground for one item; its functions' worker is ended with the block."""
    mocks = MockWorker(engine, limits, item.mocks)
    try:
        yield MockGround(item, engine=engine, limits=limits, mocks=mocks)
    finally:
        await mocks.aclose()


class _Nobody:
    """A host for the functions themselves: they have no tools."""

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        return {name: Unresolved() for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        raise PlanFault(f"There is no tool {request.tool!r}.", type="NameError")

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        del arguments
        raise PlanFault(f"There is no helper {helper!r}.", type="NameError")


def _why(outcome: Outcome) -> str:
    if outcome.truncated:
        return "The function's result is too large."
    first = next(iter(outcome.errors), None)
    return f"{first.type}: {first.message}" if first is not None else f"The function ended with {outcome.status}."
