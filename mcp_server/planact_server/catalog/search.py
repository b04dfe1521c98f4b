"""Ranking tools against what somebody wants to do. Pure: a catalog and some words in, tools out.

Lexical, without a model: `words` cuts text into stems, `related` knows other words for the same thing, `question`
reads a request, `index` scores, `suppliers` adds what the best tools cannot do without. What the whole request and
its parts find is added up here. docs/search.md has the figures.

The index of a catalog is built at the first search and lives as long as the catalog.
"""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from planact_server.catalog.index import Index
from planact_server.catalog.question import Question, read
from planact_server.catalog.ranking import Returns, nothing_learned
from planact_server.catalog.suppliers import suppliers
from planact_server.catalog.tool_text import returned_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_server.catalog.catalog import Catalog, CatalogTool

RESULT_SHARE = 0.4
"""What a tool is worth all of whose words it has returned as keys, where the best has one for what it says."""

SUPPLIER_SHARE = 0.25
"""How much of a tool's score those get that give what it asks for."""

BEHIND = 0.99
"""As much of a tool's score as one that supplies it can come to have by that."""

SUPPLIED = 10
"""How many of the best tools are given what they ask for."""


def rank(catalog: Catalog, words: str, *, limit: int = 10, returns: Returns = nothing_learned) -> list[CatalogTool]:
    """Return the tools that have to do with the words, best first. No words: the first tools by name.

    The same question to the same catalog always has the same answer, as long as nothing new is learned of results.
    """
    if catalog not in _searches:
        _searches[catalog] = _Search(sorted(catalog, key=lambda tool: tool.full_name))
    return _searches[catalog].rank(words, limit=max(0, limit), returns=returns)


class _Search:
    def __init__(self, tools: Sequence[CatalogTool]) -> None:
        self._tools = tools
        self._index = Index.of(tools)
        self._suppliers = suppliers(tools, self._index)
        self._named: dict[str, set[int]] = {}
        for position, tool in enumerate(tools):
            for name in (tool.full_name, tool.name, tool.definition.name):
                self._named.setdefault(name.casefold(), set()).add(position)

    def rank(self, words: str, *, limit: int, returns: Returns) -> list[CatalogTool]:
        if not words.strip():
            return list(self._tools[:limit])
        question = read(words)
        scores = self._scores(question)
        self._add_results(scores, question, returns)
        self._add_suppliers(scores)
        for tool in self._named.get(words.strip().casefold(), ()):
            scores[tool] += _ABOVE_ALL
        return [self._tools[position] for position in _places(scores)[:limit]]

    def _scores(self, question: Question) -> list[float]:
        """Return what the whole request says about each tool, and what the one part says that knows it best."""
        parts = [0.0] * len(self._tools)
        for part in question.parts:
            parts = list(map(max, parts, _up_to(part.weight, self._index.scores(part.words))))
        return list(map(add, _up_to(1.0, self._index.scores(question.words)), parts))

    def _add_results(self, scores: list[float], question: Question, returns: Returns) -> None:
        """Let a tool that has returned what is asked for come before one that says the same and has not."""
        whole = sum(question.words.values())
        for position, tool in enumerate(self._tools):
            learned = returns(tool)
            if learned is not None and whole:
                keys = returned_words(tool, learned)
                found = sum(weight for word, weight in question.words.items() if word in keys)
                scores[position] += RESULT_SHARE * found / whole

    def _add_suppliers(self, scores: list[float]) -> None:
        raised: dict[int, float] = {}
        for tool in _places(scores)[:SUPPLIED]:
            for supplier in self._suppliers[tool]:
                # Never above the tool that needs it: that one was asked for.
                worth = min(scores[supplier] + SUPPLIER_SHARE * scores[tool], BEHIND * scores[tool])
                raised[supplier] = max(raised.get(supplier, scores[supplier]), worth)
        for tool, worth in raised.items():
            scores[tool] = worth


_ABOVE_ALL = 1_000.0
"""More than any score: whoever writes a tool's name wants that tool."""

_searches: WeakKeyDictionary[Catalog, _Search] = WeakKeyDictionary()


def _up_to(highest: float, scores: Sequence[float]) -> list[float]:
    """Scale scores so that the best is the highest: those of different words compare by nothing else."""
    share = highest / (max(scores, default=0.0) or 1.0)
    return [score * share for score in scores]


def _places(scores: Sequence[float]) -> list[int]:
    """Return the positions that have a score, the best first. Equal scores keep the order of names."""
    found = [position for position, score in enumerate(scores) if score]
    return sorted(found, key=scores.__getitem__, reverse=True)
