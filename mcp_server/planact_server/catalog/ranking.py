"""The seam of searching tools, light enough for every start: what ranks loads at the first search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_server.catalog.catalog import Catalog, CatalogTool
    from planact_server.catalog.signatures import Learned

Returns: TypeAlias = "Callable[[CatalogTool], Learned | None]"
"""What the results of a tool have looked like, where that was learned."""


def nothing_learned(_: CatalogTool) -> None:
    """Know of no results."""


class Ranker(Protocol):
    """Says which tools have to do with what somebody wants. May be used from several threads."""

    def rank(
        self, catalog: Catalog, words: str, *, limit: int = 10, returns: Returns = nothing_learned
    ) -> list[CatalogTool]:
        """Return at most `limit` tools, best first. It may take a while, so call it in a thread."""
        ...


class WordsRanker:
    """The `Ranker` of `search`, by words alone."""

    def rank(
        self, catalog: Catalog, words: str, *, limit: int = 10, returns: Returns = nothing_learned
    ) -> list[CatalogTool]:
        """Return the tools that have to do with the words, best first. No words: the first tools by name."""
        from planact_server.catalog.search import rank  # noqa: PLC0415 - 20 ms that most starts never need

        return rank(catalog, words, limit=limit, returns=returns)
