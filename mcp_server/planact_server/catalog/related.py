"""Which other words mean about the same: a table of general English."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from planact_server.catalog.words import stem

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = Path(__file__).with_name("related.txt")

RELATED = 0.5
"""How much a related word counts beside the word itself."""

TRANSLATED = 0.5
"""How much the same word in another language counts."""


def related(word: str) -> Mapping[str, float]:
    """Return the words that stand in for this stem, each with how much it counts."""
    return _table().get(word, _NONE)


_NONE: Mapping[str, float] = MappingProxyType({})


@cache
def _table() -> Mapping[str, Mapping[str, float]]:
    return table_of(PATH.read_text(encoding="utf-8"))


def table_of(text: str) -> Mapping[str, Mapping[str, float]]:
    """Return stem → related stem → how much that one counts, from lines such as `word: others`."""
    table: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        head, _, others = line.partition("#")[0].partition(":")
        word = stem(head)
        for other in map(stem, others.split()):
            if other != word:
                weight = RELATED if other.isascii() else TRANSLATED
                table.setdefault(word, {})[other] = weight
                table.setdefault(other, {})[word] = weight
    return table
