"""From a configuration to a generation that is in force: its servers, packs, policy, search and planner.

What an earlier generation has open and this one asks for in the same words is used again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Container
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from planact_bridge import Deadlines, Downstream, Eras, McpProblem, ServerFiles, ServerSpec, read_mcp_json
from planact_server.catalog.naming import server_names
from planact_server.catalog.ranking import Ranker, WordsRanker
from planact_server.generation import Generation, Part
from planact_server.late_planner import LatePlanner
from planact_server.learned import LearnedTypes
from planact_server.plans.rights import PlanRights
from planact_server.policy import Policy, matches
from planact_server.regular_file import FileUnreadableError, read_regular_file
from planact_server.store import Store, StoreError
from planact_server.toolbox import Toolbox
from planact_tools import Toolset, load_packs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
    from pathlib import Path

    from planact_server.config import Config
    from planact_server.config.schema import PackSpec, SearchSettings
    from planact_server.planner import TaskPlanner
    from planact_server.sandbox import Limits

logger = logging.getLogger(__name__)


MOST_READ_BYTES = 1024 * 1024
"""Of a file that is watched: a larger one is known by its size and age."""


class BrokenFileError(Exception):
    """A file as a whole cannot be used; the message names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What comes from whoever opens the program, and not from its files."""

    servers: tuple[ServerSpec, ...] = ()
    planner: TaskPlanner | None = None
    """Stands in for the one that is configured."""


def assemble(
    config: Config, store: Store, *, given: Given, limits: Limits, before: Generation | None = None
) -> Generation:
    """Return a generation that is not open yet; nothing is started. `limits` are those of the workers there are.

    What cannot be used (a server without its variable) is left out and listed in `problems`. Where there is one
    `before`, a file that cannot be read at all raises BrokenFileError instead.
    """
    shelf = _Shelf(before.parts if before is not None else {})
    packs, shipped, pack_problems = _packs(config, shelf)
    specs, unusable, spec_problems = _specs(config, given.servers)
    _refuse_broken([*pack_problems, *_of_whole_files(spec_problems)], before)
    eras = _eras(specs, store)
    for spec in specs:
        if not spec.disabled:
            _downstream(spec, config, shelf, eras=eras, store=store)
    toolsets, name_problems = _by_name([*packs, *shelf.downstreams])
    toolbox = Toolbox(toolsets, cache=store, before=before.toolbox if before is not None else None)
    ranker: Ranker = shelf.take(("ranker", config.search), lambda: ranker_of(config.search))
    rights = PlanRights(
        toolbox=toolbox,
        policy=Policy(config.policy),
        shipped=shipped,
        unusable=unusable,
        start_seconds=config.servers.start_timeout_seconds,
        learned=LearnedTypes(identity_of=lambda tool: toolbox.toolset(tool.raw_server).identity, store=store),
        ranker=ranker,
    )
    late = shelf.take(
        ("planner", config.planner, config.model, config.search),
        lambda: LatePlanner(config, ranker=ranker),
        close=lambda planner: planner.aclose(),
    )
    return Generation(
        config=config,
        rights=rights,
        limits=replace(config.sandbox.limits, memory_bytes=limits.memory_bytes),
        planner=given.planner or late,
        problems=(*pack_problems, *map(str, spec_problems), *name_problems),
        parts=shelf.parts,
    )


_Close: TypeAlias = "Callable[[Any], Coroutine[Any, Any, object]]"


class _Shelf:
    """Parts that are used again or made."""

    def __init__(self, earlier: Mapping[Hashable, Part]) -> None:
        self._earlier = earlier
        self.parts: dict[Hashable, Part] = {}
        self.downstreams: list[Downstream] = []

    def take(self, key: Hashable, make: Callable[[], Any], *, close: _Close | None = None) -> Any:
        """Return what was made from `key` before, or make it."""
        part = self._earlier.get(key)
        if part is None:
            value = make()
            part = Part(value, (lambda: close(value)) if close is not None else _nothing)
        self.parts[key] = part
        return part.value


async def _nothing() -> None:
    """There is nothing to close."""


def ranker_of(search: SearchSettings) -> Ranker:
    """Return what finds tools: their words, and what they mean where an embedding model is configured."""
    if not search.base_url:
        return WordsRanker()
    from planact_server.meaning.client import OpenAIEmbedder  # noqa: PLC0415 - most never have one
    from planact_server.meaning.ranker import FusedRanker, MeaningRanker  # noqa: PLC0415

    embedder = OpenAIEmbedder(search.base_url, model=search.model, api_key=search.api_key)
    return FusedRanker(WordsRanker(), MeaningRanker(embedder, seconds=search.seconds))


def configured_servers(config: Config) -> tuple[ServerSpec, ...]:
    """Return the servers of all mcp.json files, those that are switched off included."""
    return tuple(_specs(config, ())[0])


def unusable_servers(config: Config) -> Mapping[str, str]:
    """Return server → why its entry in an mcp.json cannot be used."""
    return _specs(config, ())[1]


def broken_server_files(config: Config) -> list[str]:
    """Return what is wrong with each mcp.json that cannot be used at all."""
    return [*map(str, _of_whole_files(_specs(config, ())[2]))]


def server_folder(config: Config) -> Path:
    """Return where logs of servers, logins and the like are kept."""
    return config.state / "servers"


def downstream(spec: ServerSpec, config: Config, store: Store) -> Downstream:
    """Return one server, by itself."""
    shelf = _Shelf({})
    _downstream(spec, config, shelf, eras=_eras([spec], store), store=store)
    return shelf.downstreams[0]


def _packs(config: Config, shelf: _Shelf) -> tuple[list[Toolset], frozenset[str], list[str]]:
    """Return the packs, which of them are shipped, and what was wrong with the others."""
    packs: list[Toolset] = []
    shipped: set[str] = set()
    problems: list[str] = []
    for spec in config.packs:
        loaded = shelf.take(
            ("packs", spec.spec, spec.base, pack_content(spec)),
            lambda spec=spec: load_packs(spec.spec, base=spec.base, state=config.state),
            close=_close_packs,
        )
        packs += loaded.packs
        problems += [f"{problem} (packs in {spec.origin})" for problem in loaded.problems]
        if spec.path is None:
            shipped.update(pack.name for pack in loaded.packs)
    return packs, frozenset(shipped), problems


async def _close_packs(loaded: Any) -> None:
    for pack in loaded.packs:
        await pack.aclose()


def pack_content(spec: PackSpec) -> str | None:
    """Return a fingerprint of the files of a pack, None for a shipped one: another one is another pack."""
    if spec.path is None:
        return None
    digest = hashlib.sha256()
    for path in pack_files(spec.path):
        digest.update(f"{path}\0{content_of(path)}\0".encode())
    return digest.hexdigest()


def pack_files(path: Path) -> list[Path]:
    """Return the files that a pack's path stands for."""
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def content_of(path: Path) -> str | None:
    """Return a fingerprint of a file, None where there is none that can be read."""
    try:
        content = read_regular_file(path, most_bytes=MOST_READ_BYTES)
        return None if content is None else hashlib.sha256(content).hexdigest()
    except FileUnreadableError:
        pass
    try:
        # Anybody's folder may bring a file of any size: it is watched, whether it is trusted or not.
        found = path.stat()
        return f"{found.st_size} bytes of {found.st_mtime_ns}"
    except OSError:
        return None


def _specs(config: Config, given: Sequence[ServerSpec]) -> tuple[list[ServerSpec], dict[str, str], list[McpProblem]]:
    """Return the servers of all mcp.json files, a later file winning; which others are unusable; all that is wrong."""
    specs = {spec.name: spec for spec in given}
    problems: list[McpProblem] = []
    for path in config.mcp_files:
        content = config.mcp_contents.get(path)
        read = read_mcp_json(path, environ=os.environ, workspace=config.cwd.absolute(), content=content)
        specs.update({spec.name: spec for spec in read.servers})
        problems += read.problems
    lost = {each.server: each.message for each in problems if each.lost and each.server and each.server not in specs}
    spelled = server_names(lost)
    unusable = {spelled[name]: message for name, message in lost.items()}
    return list(specs.values()), unusable, problems


def _of_whole_files(problems: Iterable[McpProblem]) -> list[McpProblem]:
    return [problem for problem in problems if problem.lost and not problem.server]


def _refuse_broken(problems: Iterable[object], before: Generation | None) -> None:
    """Raise BrokenFileError for a file that has only now become unusable."""
    if before is None:
        return
    fresh = [text for text in map(str, problems) if text not in before.problems]
    if fresh:
        raise BrokenFileError("\n".join(fresh))


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


def _downstream(spec: ServerSpec, config: Config, shelf: _Shelf, *, eras: Eras, store: Store) -> None:
    patience = config.servers
    raw = _RawTools(spec.name, config.results.raw)
    deadlines = Deadlines(start=patience.start_timeout_seconds, call=patience.call_timeout_seconds)

    def make() -> Downstream:
        return Downstream(
            spec,
            eras=eras,
            known=store.cached_definitions(spec.identity) or (),
            raw=raw,
            deadlines=deadlines,
            files=ServerFiles(server_folder(config), spec.name),
        )

    key = ("server", json.dumps(asdict(spec), sort_keys=True), raw, repr(deadlines))
    shelf.downstreams.append(shelf.take(key, make, close=lambda made: made.aclose()))


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
