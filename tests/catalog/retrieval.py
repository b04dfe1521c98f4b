"""Requests whose right tools are known, and how well a ranking finds those.

`everyday_requests` is what the ranker was made with: 177 requests that were written for it by people's jobs and days,
then held against 716 tools. The other two are what it is judged by; nothing was taken from their requests.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, TypeAlias

from catalog.bfcl import SINGLE_TURN, definition
from catalog.recorded import livemcpbench, recorded_servers
from planact_server.catalog.catalog import Catalog, CatalogTool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Ranking: TypeAlias = Callable[[str], Sequence[CatalogTool]]
Names: TypeAlias = Callable[[CatalogTool], str]

DEPTHS = (5, 10, 20)
_OWN = Path(__file__).parent / "data"
_SAMPLES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody wants done, and the tools that do it: any one of each set."""

    text: str
    needed: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Requests to one catalog."""

    name: str
    catalog: Catalog
    requests: tuple[Request, ...]
    called: Names
    """What the requests call a tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Means over requests."""

    recall: Mapping[int, float]
    """Of the tools that are needed, which part is among the first 5, 10, 20."""

    interval: tuple[float, float]
    """Of recall at 10: where 95 of 100 samples of as many requests, drawn with replacement, lie."""

    reciprocal_rank: float
    """1 where the first tool is one that is needed, 1/2 where only the second is, …"""


def everyday_requests(data: Path) -> Collection:
    """Ordinary requests to 84 real servers, several of which often do the same."""
    rows = json.loads(f"[{','.join((_OWN / 'everyday_requests.jsonl').read_text('utf-8').splitlines())}]")
    catalog = Catalog.build({**livemcpbench(data), **recorded_servers(data)})
    asked = [(row["request"], [frozenset(tools) for tools in row["tools"]]) for row in rows]
    return _collection("everyday", catalog, asked, lambda tool: f"{tool.raw_server}/{tool.definition.name}")


def live_requests(data: Path) -> Collection:
    """Daily tasks over 70 real servers. Of the tools named, a few are in no catalog; they do not count."""
    catalog = Catalog.build(livemcpbench(data))
    known = {tool.definition.name for tool in catalog}
    rows = json.loads((data / "livemcpbench" / "all_annotations.json").read_text("utf-8"))
    asked = [(row["Question"], _each(_listed(row) & known)) for row in rows]
    return _collection("livemcpbench", catalog, asked, _raw_name)


def bfcl_requests(data: Path) -> Collection:
    """Every single-turn question over the functions of all of them; of functions that share a name, the first."""
    functions: dict[str, Any] = {}
    asked: list[tuple[str, list[frozenset[str]]]] = []
    for category in SINGLE_TURN:
        answers = {
            each["id"]: each["ground_truth"] for each in _lines(data, f"possible_answer/BFCL_v4_{category}.json")
        }
        for question in _lines(data, f"BFCL_v4_{category}.json"):
            for function in question["function"]:
                functions.setdefault(function["name"], function)
            said = [turn["content"] for turns in question["question"] for turn in turns if turn["role"] == "user"]
            asked.append((" ".join(said), _each({name for call in answers[question["id"]] for name in call})))
    catalog = Catalog.build({"bfcl": [definition(each) for each in functions.values()]})
    return _collection("bfcl", catalog, asked, _raw_name)


def quality(ranking: Ranking, collection: Collection) -> Quality:
    """Rank for every request, and see where the tools are that it needs."""
    places = [_places(ranking(request.text), request, collection.called) for request in collection.requests]
    parts = {depth: [_part_within(depth, found) for found in places] for depth in DEPTHS}
    return Quality(
        recall={depth: mean(found) for depth, found in parts.items()},
        interval=_interval(parts[10]),
        reciprocal_rank=mean(1 / (1 + min(found)) for found in places),
    )


def _interval(parts: Sequence[float]) -> tuple[float, float]:
    draw = random.Random(0)
    means = sorted(mean(draw.choices(parts, k=len(parts))) for _ in range(_SAMPLES))
    return means[_SAMPLES * 25 // 1000], means[_SAMPLES * 975 // 1000]


def _places(tools: Sequence[CatalogTool], request: Request, called: Names) -> list[float]:
    first: dict[str, int] = {}
    for place, tool in enumerate(tools):
        first.setdefault(called(tool), place)
    return [min(first.get(name, float("inf")) for name in names) for names in request.needed]


def _part_within(depth: int, places: Sequence[float]) -> float:
    return sum(place < depth for place in places) / len(places)


def _collection(
    name: str, catalog: Catalog, asked: Iterable[tuple[str, Sequence[frozenset[str]]]], called: Names
) -> Collection:
    requests = tuple(Request(text=text, needed=tuple(needed)) for text, needed in asked if needed)
    return Collection(name=name, catalog=catalog, requests=requests, called=called)


def _raw_name(tool: CatalogTool) -> str:
    return tool.definition.name


def _each(names: Iterable[str]) -> list[frozenset[str]]:
    return [frozenset({name}) for name in sorted(names)]


def _listed(row: Any) -> set[str]:
    lines = row["Annotator Metadata"]["Tools"].splitlines()
    return {re.sub(r"^\s*\d+[.)]\s*", "", line).strip() for line in lines}


def _lines(data: Path, name: str) -> list[Any]:
    return [json.loads(line) for line in (data / "bfcl_v4" / name).read_text("utf-8").splitlines()]
