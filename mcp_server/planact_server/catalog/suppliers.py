"""Which tools give what another one asks for, read from their names and schemas. Pure.

A tool that takes an `order_id` is of no use without one that finds orders. Nobody asks for that one in words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from planact_server.catalog.words import tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.index import Index

MOST_SUPPLIERS = 4
"""With more candidates than that, the word is the server's subject and says nothing."""

_KEY = re.compile(r"[_\-]?(?:ids?|code|key)$", re.IGNORECASE)


def suppliers(tools: Sequence[CatalogTool], index: Index) -> tuple[tuple[int, ...], ...]:
    """Return, for each tool, the positions of those that give its required identifiers."""
    found: list[tuple[int, ...]] = [()] * len(tools)
    for siblings in index.servers:
        for position in siblings:
            found[position] = tuple(dict.fromkeys(_of(tools, position, siblings, index)))
    return tuple(found)


def _of(tools: Sequence[CatalogTool], position: int, siblings: Iterable[int], index: Index) -> Iterator[int]:
    for parameter in tools[position].parameters:
        subject = _KEY.sub("", parameter.raw) if parameter.required and _KEY.search(parameter.raw) else ""
        if not (words := set(tokens(subject))):
            continue
        named = frozenset[int].intersection(*(index.name_words(word) for word in words))
        others = [each for each in siblings if each in named and each != position]
        able = [each for each in others if not _requires(tools[each], parameter.raw)]
        if len(able) <= MOST_SUPPLIERS:
            yield from able


def _requires(tool: CatalogTool, name: str) -> bool:
    parameter = tool.parameter(name)
    return parameter is not None and parameter.required
