"""An executor over tools in memory, with a planner that writes what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from planact_quantized import BackendInfo, Candidate, Completion
from planact_server.answer import Attempt
from planact_server.config import Config, PlannerSettings, PolicySettings
from planact_server.executor import Executor
from planact_server.generation import Generation, Generations
from planact_server.planner import Ground, Planned, PlanningError
from planact_server.plans.rights import PlanRights
from planact_server.policy import Policy
from planact_server.request import PlanRequest
from planact_server.runs import Runs
from planact_server.sandbox import Limits
from planact_server.sandbox.host import PooledEngine, open_engine
from planact_server.sessions import Sessions
from planact_server.toolbox import Toolbox
from planact_tools import ToolDefinition
from planact_tools.testing import MemoryToolset

if TYPE_CHECKING:
    from planact_server.planner.spending import Spending
    from planact_tools import JSONObject, JSONValue

TEXT = Completion(candidates=(Candidate(text="…", stop="end", tokens=3),))
"""What one question to the model comes to, whatever it is."""

Step = Callable[[Ground], Awaitable[None]]


@dataclass
class ScriptedPlanner:
    """Writes the given plans one after the other until one works, as a model with repairs would."""

    plans: list[str | Step] = field(default_factory=list)
    """Plans, and between them whatever else the planner does on its ground."""

    functions: dict[str, str] = field(default_factory=dict)
    says: Any = None
    """What `ask_model` answers."""

    info: BackendInfo = field(default_factory=lambda: BackendInfo(kind="openai", model="scripted"))
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    text: str | None = None
    broken: Exception | None = None
    warnings: tuple[str, ...] = ()

    async def carry_out(self, task: str, ground: Ground) -> Planned:
        self.asked.append(("task", task))
        attempts: list[Attempt] = []
        trial = None
        await ground.report("writing plan")
        for plan in self.plans:
            if not isinstance(plan, str):
                await plan(ground)
                continue
            trial = await ground.attempt(plan)
            attempts.append(Attempt(plan=plan, errors=trial.outcome.errors))
            if trial.outcome.status == "ok" or trial.final:
                break
        if self.broken is not None:
            raise self.broken
        return Planned(trial=trial, text=self.text, attempts=tuple(attempts), warnings=self.warnings)

    async def expand(
        self, name: str, arguments: Mapping[str, JSONValue], *, plan: str, depth: int, spending: Spending
    ) -> str:
        spending.ask(self.info)
        spending.add(TEXT)
        self.asked.append(("expand", name, dict(arguments), depth))
        if name not in self.functions:
            raise PlanningError(f"nobody knows {name}", hint="Define it.")
        return self.functions[name]

    async def ask_model(
        self, instruction: str, *, data: JSONValue, schema: JSONObject | None, spending: Spending
    ) -> JSONValue:
        spending.ask(self.info)
        spending.add(TEXT)
        self.asked.append(("ask_model", instruction, data, schema))
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@dataclass(kw_only=True)
class Bench:
    """What a test works with."""

    executor: Executor
    runs: Runs
    sessions: Sessions
    shop: MemoryToolset
    planner: ScriptedPlanner

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and return its answer."""
        listener = request.pop("listener", None)
        with anyio.fail_after(60):
            reply = await self.executor.execute(PlanRequest(**request), client="me", listener=listener)
        return reply.answer

    async def task(self, *plans: str | Step, **request: Any) -> dict[str, Any]:
        """Carry out a task for which the planner writes these plans."""
        self.planner.plans = list(plans)
        return await self.ask(task="do it", **request)

    def called(self) -> list[tuple[str, Any]]:
        """Return the calls that reached the tools."""
        return [(call.name, next(iter(call.arguments.values()), None)) for call in self.shop.calls]


def _shop() -> MemoryToolset:
    shop = MemoryToolset("shop")
    text = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}
    number = {"type": "object", "properties": {"result": {"type": "integer"}}, "required": ["result"]}
    shop.add(ToolDefinition(name="price", input_schema=text, output_schema=number, read_only=True), 7)
    shop.add(ToolDefinition(name="order", input_schema=text), lambda arguments: f"ordered {arguments['item']}")
    shop.add(ToolDefinition(name="burn", input_schema=text), "burnt")
    return shop


@asynccontextmanager
async def bench(
    engine: PooledEngine | None = None, *, limits: Limits | None = None, open_names: bool = False, **policy: Any
) -> AsyncIterator[Bench]:
    """Open one, with a sandbox of its own unless there is one.

    Reads of the shop are trusted, `order` is allowed, `burn` is denied.
    """
    settings = {"trust": ("shop",), "allow": ("shop.order",), "deny": ("shop.burn",)} | policy
    limits, shop, planner = limits or Limits(), _shop(), ScriptedPlanner()
    async with AsyncExitStack() as stack:
        toolbox = await stack.enter_async_context(Toolbox([shop]))
        if engine is None:
            engine = open_engine(limits=limits)
            stack.push_async_callback(engine.aclose)
        sessions = await stack.enter_async_context(Sessions(engine, store=None, idle_seconds=900, most_workers=8))
        runs = await stack.enter_async_context(Runs(store=None))
        rights = PlanRights(toolbox=toolbox, policy=Policy(PolicySettings(**settings)))
        config = Config(state=Path(), planner=PlannerSettings(expansion=open_names))
        generation = Generation(config=config, rights=rights, limits=limits, planner=planner)
        executor = Executor(generations=Generations(generation), sessions=sessions, runs=runs)
        yield Bench(executor=executor, runs=runs, sessions=sessions, shop=shop, planner=planner)


class Pause:
    """A step of the planner that takes until it is told to go on: a model that writes."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = False

    async def __call__(self, ground: Ground) -> None:
        await ground.report("writing plan, 12 tokens", 0.5)
        self.reached.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
