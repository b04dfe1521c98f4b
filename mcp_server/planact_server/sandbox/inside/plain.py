"""Values that are JSON as they are: told and copied without a look at each in Python.

Only values whose class is exactly a built-in one: none of a plan's code runs here.
"""

# A plan's values may be anything; narrowing them by their class leaves their contents unknown, which is the truth.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any

_CONTAINERS = frozenset({list, dict})
_PLAIN = frozenset({list, dict, str, int, float, bool, type(None)})
_ONLY_TEXT = frozenset({str})


@dataclass(frozen=True, slots=True)
class Copy:
    """A value made anew, and the length of its JSON text in bytes."""

    value: Any
    size: int


def count(value: object, *, most_nodes: int, most_levels: int, most_bits: int, most_characters: int) -> int | None:
    """Return how many values a list or object of plain JSON holds; nothing where it is anything else, or larger."""
    if type(value) not in _CONTAINERS:
        return None
    nodes = characters = 0
    level: list[Any] = [value]
    for _ in range(most_levels):
        nodes += len(level)
        kinds = set(map(type, level))
        if nodes > most_nodes or not kinds <= _PLAIN:
            return None
        characters += sum(len(each) for each in level if type(each) is str) if str in kinds else 0
        if characters > most_characters:
            return None
        if int in kinds and any(each.bit_length() > most_bits for each in level if type(each) is int):
            return None
        objects = [each for each in level if type(each) is dict]
        if not set(map(type, chain.from_iterable(objects))) <= _ONLY_TEXT:
            return None
        lists = [each for each in level if type(each) is list]
        if nodes + sum(map(len, objects)) + sum(map(len, lists)) > most_nodes:
            return None
        level = [*chain.from_iterable(each.values() for each in objects), *chain.from_iterable(lists)]
        if not level:
            return nodes
    return None


def copy(value: object, *, most_bytes: int) -> Copy | None:
    """Copy plain JSON that `count` has looked at; nothing where it is too large, or holds NaN or infinity."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, MemoryError):  # a plan that has filled the memory leaves no room for a text of it all
        return None
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return Copy(json.loads(text), size) if size <= most_bytes else None
