"""JSON as hosts and editors write it: comments, trailing commas, a byte order mark.

Pure: text in, values out.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from planact_tools import JSONValue

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_STRING_OR_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING_OR_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])")


def parse(text: str) -> tuple[JSONValue, tuple[str, ...]]:
    """Return the value, and the keys that appear twice in one object (the last one counts).

    Raises json.JSONDecodeError with the line and column of the original text.
    """
    twice: list[str] = []

    def build(pairs: list[tuple[str, JSONValue]]) -> dict[str, JSONValue]:
        built = dict(pairs)
        if len(built) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(key for key in built if keys.count(key) > 1)
        return built

    text = text.removeprefix("\ufeff")
    try:
        # Most files are JSON in the strict sense, some of them of megabytes: blanking takes a hundred times as long.
        value = json.loads(text, object_pairs_hook=build)
    except json.JSONDecodeError:
        twice.clear()
        value = json.loads(without_trailing_commas(without_comments(text)), object_pairs_hook=build)
    return cast("JSONValue", value), tuple(twice)


def without_comments(text: str) -> str:
    """Return a text of the same length and lines, with blanks for its comments."""
    return _STRING_OR_COMMENT.sub(_blank, text)


def without_trailing_commas(text: str) -> str:
    """Return a text without comments of the same length and lines, with blanks for its trailing commas."""
    return _STRING_OR_TRAILING_COMMA.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    # Blanks of the same shape: positions in error messages stay true.
    found = match[0]
    return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)
