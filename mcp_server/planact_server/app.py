"""The composition root: opens everything in one stack; the only place that constructs things."""

from __future__ import annotations

import logging
import os
from collections.abc import Container
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planact_bridge import (
    Deadlines,
    Downstream,
    DownstreamStatus,
    Eras,
    McpProblem,
    ServerFiles,
    ServerSpec,
    read_mcp_json,
)
from planact_server.catalog.naming import server_names
from planact_server.catalog.ranking import Ranker, WordsRanker
from planact_server.description import describe_tool
from planact_server.executor import Executor
from planact_server.heap import return_large_blocks
from planact_server.late_planner import LatePlanner
from planact_server.learned import LearnedTypes
from planact_server.plans.rights import PlanRights, facts_of
from planact_server.policy import Policy, ToolFacts, UndecidedServer, matches
from planact_server.runs import Runs
from planact_server.sandbox import EngineError
from planact_server.sandbox.host import PooledEngine, open_engine
from planact_server.sessions import Sessions
from planact_server.store import Store, StoreError
from planact_server.toolbox import Toolbox
from planact_tools import JSONObject, Toolset, load_packs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from planact_server.config import Config
    from planact_server.config.schema import SearchSettings
    from planact_server.planner import TaskPlanner

logger = logging.getLogger(__name__)

MOST_WORKERS = 64
"""Sessions with a worker of their own at the same time; the least used ones give theirs up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that one process of Planact has open."""

    config: Config
    toolbox: Toolbox
    engine: PooledEngine
    runs: Runs
    executor: Executor
    rights: PlanRights
    problems: tuple[str, ...]
    """What of the configuration could not be used, each with what to do about it."""

    def describe_tool(self) -> str:
        """Return the description of `run_python_actions` for the catalog as it is now."""
        undecided = {server.server for server in self.undecided()}
        servers = self.toolbox.catalog.servers.values()
        return describe_tool(
            self.toolbox.catalog, trusted={server.name for server in servers if server.raw_name not in undecided}
        )

    def undecided(self) -> tuple[UndecidedServer, ...]:
        """Return the servers that the user has not decided on."""
        return self.rights.policy.undecided(self._facts())

    def _facts(self) -> list[ToolFacts]:
        return [facts_of(self.rights, tool) for tool in self.toolbox.catalog]

    def unmatched_patterns(self) -> tuple[str, ...]:
        """Return the patterns of the policy that cover no tool: misspelt, or their server is gone."""
        return self.rights.policy.unmatched(self._facts())

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
        return [
            {
                "name": state.name,
                "state": state.state,
                "tools": state.tools,
                "error": state.error,
                "trusted": state.name not in undecided and state.error is None,
                "identity": self.toolbox.toolset(state.name).identity,
                "skipped": list(_skipped(self.toolbox.toolset(state.name))),
                "health": _health(self.toolbox.toolset(state.name)),
            }
            for state in self.toolbox.states()
        ]


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
        packs, shipped, pack_problems = _packs(config)
        specs, unusable, spec_problems = _specs(config, servers)
        eras = _eras(specs, store)
        downstreams = [_downstream(spec, config, eras=eras, store=store) for spec in specs if not spec.disabled]
        toolsets, name_problems = _by_name([*packs, *downstreams])
        toolbox = await stack.enter_async_context(Toolbox(toolsets, cache=store))
        engine = open_engine(
            config.sandbox.engine,
            limits=config.sandbox.limits,
            warm_workers=config.sandbox.warm_workers,
            idle_seconds=config.sandbox.pool_idle_seconds,
            allow_weaker=config.sandbox.allow_weaker,
        )
        stack.push_async_callback(engine.aclose)
        sessions = await stack.enter_async_context(
            Sessions(engine, store=store, idle_seconds=config.sandbox.idle_seconds, most_workers=MOST_WORKERS)
        )
        ranker = ranker_of(config.search)
        rights = PlanRights(
            toolbox=toolbox,
            policy=Policy(config.policy),
            shipped=shipped,
            unusable=unusable,
            start_seconds=config.servers.start_timeout_seconds,
            learned=LearnedTypes(identity_of=lambda tool: toolbox.toolset(tool.raw_server).identity, store=store),
            ranker=ranker,
        )
        late = await stack.enter_async_context(LatePlanner(config, ranker=ranker))
        # Last, and so the first to end: runs end while all that they use is still there.
        runs = await stack.enter_async_context(Runs(store=store))
        executor = Executor(
            rights=rights,
            sessions=sessions,
            runs=runs,
            limits=config.sandbox.limits,
            planner=planner or late,
            open_names=config.planner.expansion,
        )
        yield App(
            config=config,
            toolbox=toolbox,
            engine=engine,
            runs=runs,
            executor=executor,
            rights=rights,
            problems=(*store.notices, *pack_problems, *spec_problems, *name_problems),
        )


def ranker_of(search: SearchSettings) -> Ranker:
    """Return what finds tools: their words, and what they mean where an embedding model is configured."""
    if not search.base_url:
        return WordsRanker()
    from planact_server.meaning.client import OpenAIEmbedder  # noqa: PLC0415 - most never have one
    from planact_server.meaning.ranker import FusedRanker, MeaningRanker  # noqa: PLC0415

    embedder = OpenAIEmbedder(search.base_url, model=search.model, api_key=search.api_key)
    return FusedRanker(WordsRanker(), MeaningRanker(embedder, seconds=search.seconds))


def _packs(config: Config) -> tuple[list[Toolset], frozenset[str], list[str]]:
    """Return the packs, which of them are shipped, and what was wrong with the others."""
    packs: list[Toolset] = []
    shipped: set[str] = set()
    problems: list[str] = []
    for spec in config.packs:
        loaded = load_packs(spec.spec, base=spec.base, state=config.state)
        packs += loaded.packs
        problems += [f"{problem} (packs in {spec.origin})" for problem in loaded.problems]
        if spec.path is None:
            shipped.update(pack.name for pack in loaded.packs)
    return packs, frozenset(shipped), problems


def configured_servers(config: Config) -> tuple[ServerSpec, ...]:
    """Return the servers of all mcp.json files, those that are switched off included."""
    return tuple(_specs(config, ())[0])


@asynccontextmanager
async def open_server(config: Config, spec: ServerSpec) -> AsyncGenerator[Downstream]:
    """Give one server, without anything else that `open_app` opens."""
    with Store.open(config.state) as store:
        downstream = _downstream(spec, config, eras=_eras([spec], store), store=store)
        try:
            yield downstream
        finally:
            await downstream.aclose()


def _specs(config: Config, given: Sequence[ServerSpec]) -> tuple[list[ServerSpec], dict[str, str], list[str]]:
    """Return the servers of all mcp.json files, a later file winning; which others are unusable; all that is wrong."""
    specs = {spec.name: spec for spec in given}
    problems: list[McpProblem] = []
    for path in config.mcp_files:
        read = read_mcp_json(path, environ=os.environ, workspace=Path.cwd())
        specs.update({spec.name: spec for spec in read.servers})
        problems += read.problems
    lost = {each.server: each.message for each in problems if each.lost and each.server and each.server not in specs}
    spelled = server_names(lost)
    unusable = {spelled[name]: message for name, message in lost.items()}
    return list(specs.values()), unusable, [str(problem) for problem in problems]


def _by_name(toolsets: Iterable[Toolset]) -> tuple[list[Toolset], list[str]]:
    """Return the toolsets, the first of each name, and what was left out."""
    named: dict[str, Toolset] = {}
    problems: list[str] = []
    for toolset in toolsets:
        if toolset.name in named:
            other = named[toolset.name].identity
            problems.append(f"{toolset.identity!r} is left out: {other!r} is called {toolset.name!r} too. Rename one.")
        else:
            named[toolset.name] = toolset
    return list(named.values()), problems


def _downstream(spec: ServerSpec, config: Config, *, eras: Eras, store: Store) -> Downstream:
    patience = config.servers
    return Downstream(
        spec,
        eras=eras,
        known=store.cached_definitions(spec.identity) or (),
        raw=_RawTools(spec.name, config.results.raw),
        deadlines=Deadlines(start=patience.start_timeout_seconds, call=patience.call_timeout_seconds),
        files=ServerFiles(server_folder(config), spec.name),
    )


def server_folder(config: Config) -> Path:
    """Return where logs of servers, logins and the like are kept."""
    return config.state / "servers"


@dataclass(frozen=True, slots=True)
class _RawTools(Container[str]):
    """The tools of one server whose text stays text: those that `[results] raw` covers."""

    server: str
    patterns: Sequence[str]

    def __contains__(self, tool: object) -> bool:
        return any(matches(pattern, f"{self.server}.{tool}") for pattern in self.patterns)


def _eras(specs: Iterable[ServerSpec], store: Store) -> Eras:
    """Return what is remembered of the protocol eras of these servers; what is learned is kept."""
    found = {spec.identity: store.cached_era(spec.identity) for spec in specs}

    def keep(identity: str, era: str) -> None:
        try:
            store.save_era(identity, era)
        except StoreError as error:  # a full disk: the next start probes again
            logger.warning("the protocol era of %r is not kept: %s", identity, error)

    return Eras({identity: era for identity, era in found.items() if era in ("handshake", "stateless")}, learned=keep)


def _skipped(toolset: Toolset) -> Iterable[str]:
    """Return the tools that a server lists in a way that cannot be read, each with the reason."""
    if isinstance(toolset, Downstream):
        for tool in toolset.status.skipped:
            yield f"{tool.name}: {tool.reason}"


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
