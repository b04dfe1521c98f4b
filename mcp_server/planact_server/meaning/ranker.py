"""Ranking by meaning, and together with the ranking by words.

Vectors of tools are asked for once, at the first searches, and kept as long as the process lives. A server that is
slow, wrong or gone costs a search `seconds` at most and is then left alone for a while: the words still find tools.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from array import array
from operator import mul
from typing import TYPE_CHECKING, Protocol

from planact_server.catalog.ranking import nothing_learned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planact_server.catalog.catalog import Catalog, CatalogTool
    from planact_server.catalog.ranking import Ranker, Returns

logger = logging.getLogger(__name__)

BATCH = 32
"""Texts in one request."""

REST_SECONDS = 60.0
"""How long a server is left alone after a failure."""

TEXT_CHARS = 1_000
"""Of one tool: small embedding models read a few hundred tokens."""

QUESTION_CHARS = 2_000
MOST_RANKED = 100
"""Places of a ranking that count when two are fused."""

RANK_OFFSET = 10
"""Reciprocal rank fusion's k."""


class EmbeddingError(Exception):
    """There are no vectors; the message names the server and says why."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    def embed(self, texts: Sequence[str], *, seconds: float) -> list[array[float]]:
        """Return one vector per text, all of one length, within `seconds`. Raises EmbeddingError."""
        ...


class MeaningRanker:
    """A `Ranker` by the cosine between a question and what a tool says about itself. May be used from several threads.

    It finds nothing while it does not have the vectors of all tools.
    """

    def __init__(
        self, embedder: Embedder, *, seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`seconds`: how long one search may take."""
        self._embedder = embedder
        self._seconds = seconds
        self._clock = clock
        self._known: dict[str, array[float]] = {}
        """What a tool says → its vector, of length 1."""

        self._resting_until = -math.inf
        self._asking = threading.Lock()

    def rank(
        self, catalog: Catalog, words: str, *, limit: int = 10, returns: Returns = nothing_learned
    ) -> list[CatalogTool]:
        """Return the tools closest to the words, the closest first; none where there are no vectors."""
        del returns  # a vector of what has been seen would have to be asked for with every result
        if not words.strip() or not self._asking.acquire(timeout=self._seconds):
            return []
        try:
            if self._clock() < self._resting_until:
                return []
            return self._closest(sorted(catalog, key=lambda tool: tool.full_name), words, limit=max(0, limit))
        except EmbeddingError as error:
            self._resting_until = self._clock() + REST_SECONDS
            logger.warning("searching by words alone for a minute: %s", error)
            return []
        finally:
            self._asking.release()

    def _closest(self, tools: Sequence[CatalogTool], words: str, *, limit: int) -> list[CatalogTool]:
        until = self._clock() + self._seconds
        texts = [_text(tool) for tool in tools]
        self._forget_all_but(texts)
        if not self._learn(texts, until=until):
            return []
        (asked,) = self._vectors([words[:QUESTION_CHARS]], until=until)
        vectors = [self._known[text] for text in texts]
        if any(len(vector) != len(asked) for vector in vectors):
            self._known.clear()
            raise EmbeddingError("The vectors have another length than before: the model is another one now.")
        closeness = [sum(map(mul, asked, vector)) for vector in vectors]
        places = sorted(range(len(tools)), key=closeness.__getitem__, reverse=True)
        return [tools[place] for place in places[:limit]]

    def _learn(self, texts: Sequence[str], *, until: float) -> bool:
        """Ask for vectors that are missing; False when time was up before all were there."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(missing), BATCH):
            if self._clock() >= until:
                logger.info("%d tools have no vector yet; the next search goes on", len(missing) - start)
                return False
            batch = missing[start : start + BATCH]
            self._known.update(zip(batch, self._vectors(batch, until=until), strict=True))
        return True

    def _vectors(self, texts: Sequence[str], *, until: float) -> list[array[float]]:
        left = max(0.1, until - self._clock())
        return [_unit(vector) for vector in self._embedder.embed(texts, seconds=left)]

    def _forget_all_but(self, texts: Sequence[str]) -> None:
        if len(self._known) > 2 * len(texts) + BATCH:
            self._known = {text: self._known[text] for text in texts if text in self._known}


class FusedRanker:
    """A `Ranker` of two that count the same: what both place high is first."""

    def __init__(self, by_words: Ranker, by_meaning: Ranker) -> None:
        self._by_words = by_words
        self._by_meaning = by_meaning

    def rank(
        self, catalog: Catalog, words: str, *, limit: int = 10, returns: Returns = nothing_learned
    ) -> list[CatalogTool]:
        """Return the tools that either finds, best first; those by words alone where the other finds none."""
        deep = max(limit, MOST_RANKED)
        found = self._by_words.rank(catalog, words, limit=deep, returns=returns)
        meant = self._by_meaning.rank(catalog, words, limit=MOST_RANKED)
        if not meant:
            return found[: max(0, limit)]
        scores: dict[CatalogTool, float] = {}
        for tools in (found, meant):
            for place, tool in enumerate(tools):
                scores[tool] = scores.get(tool, 0.0) + RANK_OFFSET / (RANK_OFFSET + place)
        return sorted(scores, key=scores.__getitem__, reverse=True)[: max(0, limit)]


def _text(tool: CatalogTool) -> str:
    said = f"{tool.raw_server} {tool.definition.name}: {tool.definition.description}"
    return f"{said[:TEXT_CHARS]}\n{', '.join(parameter.raw for parameter in tool.parameters)}"[: 2 * TEXT_CHARS]


def _unit(vector: array[float]) -> array[float]:
    length = math.sqrt(sum(map(mul, vector, vector)))
    return array("f", (number / length for number in vector)) if length else vector
