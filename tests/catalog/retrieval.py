"""Requests whose right tools are known, and how well a ranking finds those.

The ranker was first tuned on the development half. Both have been seen since: docs/search.md says what that means.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from catalog.bfcl import SINGLE_TURN, definition
from catalog.recorded import livemcpbench
from planact_server.catalog.catalog import Catalog, CatalogTool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Ranking: TypeAlias = Callable[[str], Sequence[CatalogTool]]
Half: TypeAlias = Literal["development", "other", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody wants done, and the raw names of the tools that do it."""

    text: str
    tools: tuple[str, ...]

    @property
    def half(self) -> Half:
        return "other" if hashlib.sha256(self.text.encode()).digest()[0] % 2 else "development"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Requests to one catalog."""

    name: str
    catalog: Catalog
    requests: tuple[Request, ...]

    def part(self, half: Half) -> list[Request]:
        return [request for request in self.requests if half in ("all", request.half)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Means over requests."""

    requests: int
    recall: Mapping[int, float]
    """Of the tools that are needed, which part is among the first 5, 10, 20."""

    reciprocal_rank: float
    """1 where the first tool is one that is needed, 1/2 where only the second is, …"""


def live_requests(data: Path) -> Collection:
    """Daily tasks over 70 real servers. Of the tools named, a few are in no catalog; they do not count."""
    catalog = Catalog.build(livemcpbench(data))
    known = {tool.definition.name for tool in catalog}
    rows = json.loads((data / "livemcpbench" / "all_annotations.json").read_text("utf-8"))
    return _collection("livemcpbench", catalog, [(row["Question"], _listed(row) & known) for row in rows])


def bfcl_requests(data: Path) -> Collection:
    """Every single-turn question over the functions of all of them; of functions that share a name, the first."""
    functions: dict[str, Any] = {}
    asked: list[tuple[str, set[str]]] = []
    for category in SINGLE_TURN:
        answers = {
            each["id"]: each["ground_truth"] for each in _lines(data, f"possible_answer/BFCL_v4_{category}.json")
        }
        for question in _lines(data, f"BFCL_v4_{category}.json"):
            for function in question["function"]:
                functions.setdefault(function["name"], function)
            said = [turn["content"] for turns in question["question"] for turn in turns if turn["role"] == "user"]
            asked.append((" ".join(said), {name for call in answers[question["id"]] for name in call}))
    return _collection("bfcl", Catalog.build({"bfcl": [definition(each) for each in functions.values()]}), asked)


def quality(ranking: Ranking, requests: Sequence[Request]) -> Quality:
    """Rank for every request, and see where the tools are that it needs."""
    places = [_places(ranking(request.text), request) for request in requests]
    return Quality(
        requests=len(requests),
        recall={depth: mean(_part_within(depth, found) for found in places) for depth in (5, 10, 20)},
        reciprocal_rank=mean(1 / (1 + min(found)) for found in places),
    )


def _places(tools: Sequence[CatalogTool], request: Request) -> list[float]:
    first: dict[str, int] = {}
    for place, tool in enumerate(tools):
        first.setdefault(tool.definition.name, place)
    return [first.get(name, float("inf")) for name in request.tools]


def _part_within(depth: int, places: Sequence[float]) -> float:
    return sum(place < depth for place in places) / len(places)


def _collection(name: str, catalog: Catalog, asked: Sequence[tuple[str, set[str]]]) -> Collection:
    requests = tuple(Request(text=text, tools=tuple(sorted(tools))) for text, tools in asked if tools)
    return Collection(name=name, catalog=catalog, requests=requests)


def _listed(row: Any) -> set[str]:
    lines = row["Annotator Metadata"]["Tools"].splitlines()
    return {re.sub(r"^\s*\d+[.)]\s*", "", line).strip() for line in lines}


def _lines(data: Path, name: str) -> list[Any]:
    return [json.loads(line) for line in (data / "bfcl_v4" / name).read_text("utf-8").splitlines()]
