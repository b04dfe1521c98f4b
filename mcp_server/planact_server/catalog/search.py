"""Ranking tools against some words: BM25 over names, descriptions and parameters. Pure.

The index of a catalog is built at the first search and lives as long as the catalog. bm25s and NumPy load then
too: they take longer than everything else that a start needs.
"""

from __future__ import annotations

import importlib
import logging
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planact_server.catalog.catalog import Catalog, CatalogTool

NAME_WEIGHT = 3
"""How often a word of the tool's own name counts; the server's, the title's and the parameters' count once."""

DESCRIPTION_CHARS = 2_000
"""How much of a description is read. Some servers put a manual there."""

QUESTION_CHARS = 2_000
"""How much of a question is read."""

_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff"  # kana and ideographs, which are written without spaces
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\W\d_{_UNSPACED}]+|\d+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_STOPWORDS = frozenset(
    {
        *("a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "for", "from", "has", "have", "how", "i", "if"),
        *("in", "is", "it", "its", "me", "my", "of", "on", "or", "that", "the", "their", "them", "then", "this", "to"),
        *("use", "used", "using", "was", "what", "when", "which", "will", "with", "you", "your"),
    }
)


def rank(catalog: Catalog, words: str, *, limit: int = 10) -> list[CatalogTool]:
    """Return the tools that have some of the words in them, best first. No words: the first tools by name."""
    if catalog not in _indexes:
        _indexes[catalog] = _Index(sorted(catalog, key=lambda tool: tool.full_name))
    return _indexes[catalog].rank(words, limit=max(0, limit))


class _Index:
    def __init__(self, tools: Sequence[CatalogTool]) -> None:
        self._tools = tools
        self._bm25: Any = _indexed([list(_document(tool)) for tool in tools]) if tools else None

    def rank(self, words: str, *, limit: int) -> list[CatalogTool]:
        if not words.strip():
            return list(self._tools[:limit])
        query = list(dict.fromkeys(tokens(words[:QUESTION_CHARS])))
        if not query or self._bm25 is None:
            return []
        scores: list[float] = self._bm25.get_scores(query).tolist()
        found = [index for index, score in enumerate(scores) if score > 0]
        # Equal scores keep the order of names, so the same question always has the same answer.
        best = sorted(found, key=lambda index: -scores[index])
        return [self._tools[index] for index in best[:limit]]


_indexes: WeakKeyDictionary[Catalog, _Index] = WeakKeyDictionary()


def _indexed(documents: list[list[str]]) -> Any:
    # An index without a single word cannot be built.
    if not any(documents):
        return None
    bm25s: Any = importlib.import_module("bm25s")  # 150 ms, NumPy included: most processes never search
    logging.getLogger("bm25s").setLevel(logging.NOTSET)  # it chose DEBUG for itself
    index = bm25s.BM25(method="lucene")
    index.index(documents, show_progress=False)
    return index


def _document(tool: CatalogTool) -> Iterator[str]:
    for _ in range(NAME_WEIGHT):
        yield from tokens(tool.definition.name)
    yield from tokens(tool.raw_server)
    yield from tokens(tool.definition.title or "")
    yield from tokens(tool.definition.description[:DESCRIPTION_CHARS])
    for parameter in tool.parameters:
        yield from tokens(parameter.raw)


def tokens(text: str) -> Iterator[str]:
    """Split text and identifiers (`camelCase`, `snake_case`) into the words to compare, plurals folded."""
    for run in _RUN.findall(unicodedata.normalize("NFKC", text)):
        if re.match(f"[{_UNSPACED}]", run):
            # Pairs of characters come close to words.
            yield from (run[index : index + 2] for index in range(max(1, len(run) - 1)))
            continue
        for word in _CAMEL.findall(run) if run.isascii() and run.isalpha() else [run]:
            if (folded := word.casefold()) not in _STOPWORDS:
                yield _singular(folded)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
