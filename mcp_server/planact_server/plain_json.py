"""JSON that every parser takes: no NaN, no lone surrogates, no numbers of thousands of digits, bounded nesting.

Values come from plans and from other people's servers; Python's own `json` accepts more than hosts do.
"""

from __future__ import annotations

import json
import math
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planact_tools import JSONValue

MOST_LEVELS = 100
"""Nesting that hosts can be expected to parse; several stop at 128."""

LARGE_NODES = 10_000
LARGE_CHARS = 1_000_000

TOO_DEEP = "… nested too deeply"

_MOST_BITS = 4_096
_BATCH = 500
_LEVELS_IN_PIECES = 8
"""Deeper down a value is written whole: looking for what is large in many chains costs more than it gains."""
_NESTING = (list, dict, tuple)
Nested: TypeAlias = "list[object] | dict[object, object] | tuple[object, ...]"


def json_text(value: JSONValue) -> str:
    """Return `value` as JSON, with anything unsound in it replaced as `plain` does."""
    return plain_text(value)[1]


def plain_text(value: JSONValue) -> tuple[JSONValue, str]:
    """Return a sound form of `value`, usually itself, and its JSON text.

    Walks the value in Python only where its text shows that there is something to replace.
    """
    try:
        text = "".join(text_in_pieces(value))
        text.encode()
        if text.count("[") + text.count("{") <= MOST_LEVELS or _is_shallow(value):
            return value, text
    except (ValueError, TypeError, RecursionError):
        pass  # NaN, a lone surrogate, a huge number, a key that is no string, endless nesting
    sound = plain(value)
    return sound, "".join(text_in_pieces(sound))


def is_large(value: object, *, levels: float = math.inf) -> bool:
    """Say whether looking through a value, so many levels deep, takes long enough to be felt by others who wait."""
    nodes = characters = 0
    level: list[object] = [value]
    while level and levels >= 0:
        levels -= 1
        nodes += len(level)
        characters += sum(len(each) for each in level if isinstance(each, str))
        if nodes > LARGE_NODES or characters > LARGE_CHARS:
            return True
        nested = cast("list[Nested]", [each for each in level if isinstance(each, _NESTING)])
        level = list(chain.from_iterable(each.values() if isinstance(each, dict) else each for each in nested))
    return False


def text_in_pieces(value: object, *, levels: int = _LEVELS_IN_PIECES) -> Iterator[str]:
    """Yield the JSON text of `value`. Raises what `json.dumps` does.

    Python's encoder lets no other thread run from its first character to its last; between the pieces one can.
    """
    if levels == 0 or not isinstance(value, _NESTING) or not is_large(cast("object", value), levels=levels):
        yield _dumps(cast("object", value))
        return
    nested = cast("Nested", value)
    opening, closing = "{}" if isinstance(nested, dict) else "[]"
    separator = opening
    for batch in _batches(nested):
        if not is_large(batch, levels=levels):
            yield separator + _dumps(batch)[1:-1]
            separator = ", "
            continue
        for key, item in batch.items() if isinstance(batch, dict) else enumerate(batch):
            yield separator + (_dumps({key: 0})[1:-2] if isinstance(batch, dict) else "")
            yield from text_in_pieces(item, levels=levels - 1)
            separator = ", "
    yield closing


def _batches(value: Nested) -> Iterator[Nested]:
    if isinstance(value, dict):
        pairs = iter(value.items())
        while some := dict(islice(pairs, _BATCH)):
            yield some
    else:
        for start in range(0, len(value), _BATCH):
            yield value[start : start + _BATCH]


def size_of(value: JSONValue) -> int:
    """Return about how many characters the JSON text of `value` has, without making it."""
    size = 0
    for level in levels_of(value):
        kinds = set(map(type, level))
        size += 2 * len(level)
        if str in kinds:
            texts = [each for each in level if isinstance(each, str)]
            size += 2 * len(texts) + sum(map(len, texts))
        if int in kinds:
            bits = [each.bit_length() for each in level if type(each) is int]
            size += len(bits) + sum(bits) // 3
        if dict in kinds:
            tables = cast("list[dict[str, object]]", [each for each in level if isinstance(each, dict)])
            size += sum(4 * len(each) + sum(map(len, each)) for each in tables)
        if kinds - {str, int, dict, list}:
            size += 6 * sum(not isinstance(each, str | int | dict | list) for each in level)
    return size


def levels_of(value: object) -> Iterator[list[object]]:
    """Yield the value, then what is in it, then what is in that: deep ones need no stack, and wide ones little time."""
    level: list[object] = [value]
    while level:
        yield level
        if not any(issubclass(kind, _NESTING) for kind in set(map(type, level))):
            return
        nested = cast("list[Nested]", [each for each in level if isinstance(each, _NESTING)])
        level = list(chain.from_iterable(each.values() if isinstance(each, dict) else each for each in nested))


def plain(value: object, *, levels: int = MOST_LEVELS) -> JSONValue:
    """Return `value` with everything replaced by text that JSON cannot carry or hosts cannot parse."""
    match value:
        case None | bool():
            return value
        case str():
            return _sound(value)
        case int():
            return value if value.bit_length() <= _MOST_BITS else hex(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case list() | tuple():
            if levels == 0:
                return TOO_DEEP
            return [plain(item, levels=levels - 1) for item in cast("list[object]", value)]
        case dict():
            if levels == 0:
                return TOO_DEEP
            table = cast("dict[object, object]", value)
            return {_sound(str(key)): plain(item, levels=levels - 1) for key, item in table.items()}
        case _:
            return _sound(str(value))


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _sound(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text


def _is_shallow(value: object) -> bool:
    """Say whether a value nests at most `MOST_LEVELS` deep. Level by level: no text of any kind makes it slow."""
    level: list[object] = [value]
    for _ in range(MOST_LEVELS + 1):
        nested = cast("list[Nested]", [each for each in level if isinstance(each, _NESTING)])
        if not nested:
            return True
        level = list(chain.from_iterable(each.values() if isinstance(each, dict) else each for each in nested))
    return False
