"""An inverted index of a catalog: which tools have a word, and how much it says about each. Pure.

BM25F: a word counts by the field that it stands in, less in a long field than in a short one, less the more tools
have it, and little more for being repeated. What a field's length is compared with is the catalog's own average.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import log
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from planact_server.catalog.related import related
from planact_server.catalog.tool_text import read_tool
from planact_server.catalog.words import stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.tool_text import ToolText

SATURATION = 1.2
"""BM25's k1."""

NAME_SHARE = 1.0
"""By which part the score of a tool grows whose whole name is in the question."""

SERVER_SHARE = 0.5
"""How much of the score of its server's best tool a tool gets: who asks about trains wants the tools of the railway."""

COMPOUND_WEIGHT = 0.5
"""How much a word counts that is written together here and in two words there."""

_WORDS_KEPT = 4_096


BY_LENGTH = 0.375
"""BM25's b: 0, the length of a field does not matter; 1, a word counts for its share of the field."""

_FIELDS = {
    "name": 4.0,
    "server": 4.0,
    "summary": 4.0,
    "details": 0.5,
    "parameters": 1.0,
    "explanations": 0.5,
    "values": 1.0,
}


class _Hits(NamedTuple):
    """What one word of a question says: tool and score."""

    scores: tuple[tuple[int, float], ...]
    names: tuple[tuple[int, float], ...]
    """Which part of the tool's name the word is."""


@dataclass(frozen=True, slots=True)
class Index:
    """The words of some tools. Tools are known by their position."""

    servers: tuple[Sequence[int], ...]
    """Which tools belong together."""

    _scores: Mapping[str, Mapping[int, float]]
    _names: Mapping[str, Mapping[int, float]]
    _size: int
    _hits: dict[str, _Hits] = field(default_factory=dict[str, _Hits])
    """Of words that were asked for; dropped when there are many."""

    @classmethod
    def of(cls, tools: Sequence[CatalogTool]) -> Index:
        """Index tools. What was read of a tool for an earlier catalog is not read again."""
        texts = [read_tool(tool) for tool in tools]
        servers: dict[str, list[int]] = {}
        for position, tool in enumerate(tools):
            servers.setdefault(tool.server, []).append(position)
        rarity, scores = _scored(texts)
        return cls(tuple(servers.values()), scores, _name_shares(texts, rarity), len(tools))

    def scores(self, words: Mapping[str, float]) -> list[float]:
        """Return what these words, or related ones, say about each tool; 0 where it has none of them."""
        found = [0.0] * self._size
        named: dict[int, float] = {}
        for word, weight in self._known(words).items():
            hits = self._hits_of(word)
            for tool, score in hits.scores:
                found[tool] += score * weight
            for tool, share in hits.names:
                named[tool] = named.get(tool, 0.0) + share * weight
        for tool, share in named.items():
            found[tool] *= 1 + NAME_SHARE * min(1.0, share)
        if len(self.servers) > 1:
            self._add_servers(found)
        return found

    def name_words(self, word: str) -> frozenset[int]:
        """Return the tools that have a word in their own name."""
        return frozenset(self._names.get(word, _NOWHERE))

    def _add_servers(self, found: list[float]) -> None:
        for tools in self.servers:
            share = SERVER_SHARE * max(map(found.__getitem__, tools))
            for tool in tools:
                if found[tool]:
                    found[tool] += share

    def _known(self, words: Mapping[str, float]) -> Mapping[str, float]:
        """Add words that the tools write together or apart: `mind map` and `mindmap`."""
        added = {joined: COMPOUND_WEIGHT for a, b in pairwise(words) if (joined := a + b) in self._scores}
        for word in words:
            if word not in self._scores and len(word) >= 6 and word.isascii():
                added.update(dict.fromkeys(self._halves(word), COMPOUND_WEIGHT))
        return {**added, **words}

    def _halves(self, word: str) -> Iterator[str]:
        for cut in range(3, len(word) - 2):
            halves = stem(word[:cut]), stem(word[cut:])
            if all(half in self._scores for half in halves):
                yield from halves

    def _hits_of(self, word: str) -> _Hits:
        hits = self._hits.get(word)
        if hits is None:
            if len(self._hits) >= _WORDS_KEPT:
                self._hits.clear()
            hits = self._hits[word] = self._found(word)
        return hits

    def _found(self, word: str) -> _Hits:
        """Return the best that the word or one of its relatives says about each tool."""
        scores = dict(self._scores.get(word, _NOWHERE))
        names = dict(self._names.get(word, _NOWHERE))
        for other, weight in related(word).items():
            _raise(scores, self._scores.get(other, _NOWHERE), weight)
            _raise(names, self._names.get(other, _NOWHERE), weight)
        return _Hits(tuple(scores.items()), tuple(names.items()))


_NOWHERE: Mapping[int, float] = MappingProxyType({})


def _raise(best: dict[int, float], others: Mapping[int, float], weight: float) -> None:
    for tool, score in others.items():
        if score * weight > best.get(tool, 0.0):
            best[tool] = score * weight


def _scored(texts: Sequence[ToolText]) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    """Return word → how rare it is, and word → tool → BM25F."""
    weighted: dict[str, dict[int, float]] = {}
    for name, weight in _FIELDS.items():
        lengths = [text[name].total() for text in texts]
        average = sum(lengths) / max(1, sum(1 for length in lengths if length))
        for tool, (text, length) in enumerate(zip(texts, lengths, strict=True)):
            for word, count in text[name].items():
                tools = weighted.setdefault(word, {})
                worth = weight * count / (1 - BY_LENGTH + BY_LENGTH * length / average)
                tools[tool] = tools.get(tool, 0.0) + worth
    rarity = {word: log(1 + (len(texts) - len(tools) + 0.5) / (len(tools) + 0.5)) for word, tools in weighted.items()}
    for word, tools in weighted.items():
        most = rarity[word] * (1 + SATURATION)
        for tool, worth in tools.items():
            tools[tool] = most * worth / (worth + SATURATION)
    return rarity, weighted


def _name_shares(texts: Sequence[ToolText], rarity: Mapping[str, float]) -> dict[str, dict[int, float]]:
    """Return word → tool → which part of the tool's name the word is, rare words being more of it."""
    shares: dict[str, dict[int, float]] = {}
    for tool, text in enumerate(texts):
        whole = sum(rarity[word] for word in text["name"])
        for word in text["name"]:
            shares.setdefault(word, {})[tool] = rarity[word] / whole if whole else 0.0
    return shares
