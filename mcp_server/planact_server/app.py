"""The composition root: opens everything in one stack; the only place that constructs things."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_bridge import Downstream, DownstreamStatus, ServerSpec
from planact_server.assembly import Given, assemble, downstream
from planact_server.description import describe_tool
from planact_server.executor import Executor
from planact_server.generation import Generation, Generations
from planact_server.heap import return_large_blocks
from planact_server.runs import Runs
from planact_server.sandbox import EngineError
from planact_server.sandbox.host import PooledEngine, open_engine
from planact_server.sessions import Sessions
from planact_server.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.config import Config
    from planact_server.planner import TaskPlanner
    from planact_server.plans.rights import PlanRights
    from planact_server.policy import UndecidedServer
    from planact_server.sandbox import Limits
    from planact_server.toolbox import Toolbox
    from planact_tools import JSONObject, Toolset

MOST_WORKERS = 64
"""Sessions with a worker of their own at the same time; the least used ones give theirs up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that one process of Planact has open."""

    generations: Generations
    engine: PooledEngine
    runs: Runs
    executor: Executor
    store: Store
    given: Given
    limits: Limits

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.generations.current.config

    @property
    def toolbox(self) -> Toolbox:
        return self.generations.current.toolbox

    @property
    def rights(self) -> PlanRights:
        return self.generations.current.rights

    @property
    def problems(self) -> tuple[str, ...]:
        """What of the configuration could not be used, each with what to do about it."""
        return (*self.store.notices, *self.generations.current.problems)

    def assemble(self, config: Config) -> Generation:
        """Return the generation that a changed configuration asks for, not open yet. Raises BrokenFileError."""
        before = self.generations.current
        return assemble(config, self.store, given=self.given, limits=self.limits, before=before)

    def describe_tool(self) -> str:
        """Return the description of `run_python_actions` for the catalog as it is now."""
        undecided = {server.server for server in self.undecided()}
        servers = self.toolbox.catalog.servers.values()
        return describe_tool(
            self.toolbox.catalog, trusted={server.name for server in servers if server.raw_name not in undecided}
        )

    def undecided(self) -> tuple[UndecidedServer, ...]:
        """Return the servers that the user has not decided on."""
        return self.generations.current.undecided()

    def unmatched_patterns(self) -> tuple[str, ...]:
        """Return the patterns of the policy that cover no tool: misspelt, or their server is gone."""
        return self.generations.current.unmatched_patterns()

    def warm_up(self) -> None:
        """Start in the background what the first plan will need: the servers and a worker. May be called often."""
        self.toolbox.connect()
        self.engine.warm_up()

    async def probe_layers(self) -> JSONObject:
        """Start one worker and return which isolation layers took."""
        try:
            worker = await self.engine.worker()
        except EngineError as error:
            return {**self.engine.layers, "worker": str(error)}
        await worker.aclose()
        return self.engine.layers

    def server_health(self) -> dict[str, JSONObject]:
        """Return how the connection of every server stands."""
        toolsets = (self.toolbox.toolset(name) for name in self.toolbox.names)
        return {toolset.name: health(toolset.status) for toolset in toolsets if isinstance(toolset, Downstream)}

    def server_reports(self) -> list[JSONObject]:
        """Return how every server stands, for `planact servers` and `planact doctor`."""
        undecided = {server.server for server in self.undecided()}
        tools = {server.raw_name: [*server.tools.values()] for server in self.toolbox.catalog.servers.values()}
        reports: list[JSONObject] = [
            {
                "name": state.name,
                "state": state.state,
                "tools": state.tools,
                "error": state.error,
                # Of one that has not answered there is nothing yet to be trusted.
                "trusted": state.name not in undecided and state.state in ("ready", "cached"),
                "identity": self.toolbox.toolset(state.name).identity,
                "skipped": list(_skipped(self.toolbox.toolset(state.name))),
                "defects": list(_defects(self.toolbox.toolset(state.name), tools.get(state.name, []))),
                "health": _health(self.toolbox.toolset(state.name)),
            }
            for state in self.toolbox.states()
        ]
        return reports + [_unusable(name, reason) for name, reason in self.rights.unusable.items()]


@asynccontextmanager
async def open_app(
    config: Config, *, servers: Sequence[ServerSpec] = (), planner: TaskPlanner | None = None
) -> AsyncGenerator[App]:
    """Open everything that a configuration asks for. `servers` are given beside those of the mcp.json files.

    `planner` stands in for the one that is configured. What cannot be used (a broken pack, a server without its
    variable) is left out and listed in `problems`.
    """
    return_large_blocks()
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Store.open(config.state))
        given = Given(servers=tuple(servers), planner=planner)
        limits = config.sandbox.limits
        first = assemble(config, store, given=given, limits=limits)
        await first.open()
        generations = await stack.enter_async_context(Generations(first))
        engine = open_engine(
            config.sandbox.engine,
            limits=limits,
            warm_workers=config.sandbox.warm_workers,
            idle_seconds=config.sandbox.pool_idle_seconds,
            allow_weaker=config.sandbox.allow_weaker,
        )
        stack.push_async_callback(engine.aclose)
        sessions = await stack.enter_async_context(
            Sessions(engine, store=store, idle_seconds=config.sandbox.idle_seconds, most_workers=MOST_WORKERS)
        )
        # Last, and so the first to end: runs end while all that they use is still there.
        runs = await stack.enter_async_context(Runs(store=store))
        yield App(
            generations=generations,
            engine=engine,
            runs=runs,
            executor=Executor(generations=generations, sessions=sessions, runs=runs),
            store=store,
            given=given,
            limits=limits,
        )


@asynccontextmanager
async def open_server(config: Config, spec: ServerSpec) -> AsyncGenerator[Downstream]:
    """Give one server, without anything else that `open_app` opens."""
    with Store.open(config.state) as store:
        server = downstream(spec, config, store)
        try:
            yield server
        finally:
            await server.aclose()


def _unusable(name: str, reason: str) -> JSONObject:
    nothing: JSONObject = {"identity": None, "skipped": [], "defects": [], "health": None}
    return {"name": name, "state": "unusable", "tools": 0, "error": reason, "trusted": False, **nothing}


def _skipped(toolset: Toolset) -> Iterable[str]:
    """Return the tools that a server lists in a way that cannot be read, each with the reason."""
    if isinstance(toolset, Downstream):
        for tool in toolset.status.skipped:
            yield f"{tool.name}: {tool.reason}"


def _defects(toolset: Toolset, tools: Iterable[CatalogTool]) -> Iterable[str]:
    """Return what a server says that cannot be read and costs no tool: nothing is checked there."""
    if isinstance(toolset, Downstream):
        yield from toolset.status.problems
    for tool in tools:
        for problem in tool.problems:
            yield f"{tool.definition.name}: {problem}"


def _health(toolset: Toolset) -> JSONObject | None:
    """Return how the connection of a server stands; None for a pack, which has none."""
    return health(toolset.status) if isinstance(toolset, Downstream) else None


def health(status: DownstreamStatus) -> JSONObject:
    """Return what of a connection people want to know when a server does not work."""
    return {
        "state": status.state,
        "era": status.era,
        "protocol": status.protocol_version,
        "server": status.server,
        "pid": status.pid,
        "start_ms": None if status.start_ms is None else round(status.start_ms),
        "starts": status.counters.starts,
        "losses": status.counters.lost,
        "calls": status.counters.calls,
        "failures": status.failures,
        "next_try_seconds": status.next_try_seconds,
        "last_error": status.last_error,
    }
