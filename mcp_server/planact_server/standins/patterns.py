"""Short texts that match a regular expression. Pure; gives up quietly on what it does not understand."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from planact_server.catalog.patterns import matcher

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_REPEATS = 1_000
LONGEST_TEXT = 10_000
"""Characters. Repetitions multiply: three of them, one in another, would be a text of a billion."""

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_- .,:;/@#+%&!?=()[]{}<>|~^*'\"$\\`"


@lru_cache(maxsize=256)
def matching(pattern: str, *, least: int = 0) -> tuple[str, ...]:
    """Return texts that the pattern is found in, the shortest first, then one of about `least` characters."""
    check = matcher(pattern)
    if check is None:
        return ()
    try:
        parsed: Any = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return ()
    made = [text for more in dict.fromkeys((0, 1, least)) if (text := _text(parsed, more)) is not None]
    padded = [text + "a" * (least - len(text)) for text in made if len(text) < least]
    return tuple(text for text in dict.fromkeys([*made, *padded]) if check(text))


# Python reads expressions in a module that it keeps for itself; there is no public way to the tree.
_parser: Any = importlib.import_module("re._parser")


class _UnknownError(Exception):
    """The expression has a part that we do not write texts for."""


def _text(parsed: Any, more: int) -> str | None:
    """Return one text; `more` is how often what may repeat does so beyond its least number. None: none of a size."""
    try:
        return _Writer(more).sequence(parsed)
    except (RecursionError, OverflowError, _UnknownError):
        return None


class _Writer:
    """Writes one text."""

    def __init__(self, more: int) -> None:
        self._more = more

    def sequence(self, items: Iterable[Any]) -> str:
        return "".join(self._item(str(kind), value) for kind, value in items)

    def _item(self, kind: str, value: Any) -> str:
        match kind:
            case "LITERAL":
                return chr(value)
            case "NOT_LITERAL":
                return _first(letter for letter in _LETTERS if letter != chr(value))
            case "ANY":
                return "a"
            case "AT":
                return ""
            case "IN":
                return self._one_of(value)
            case "BRANCH":
                return self.sequence(value[1][0])
            case "SUBPATTERN":
                return self.sequence(value[3])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                least, most, items = value
                times = min(int(least) + self._more, int(most), MOST_REPEATS)
                once = self.sequence(items) if times else ""
                if len(once) * times > LONGEST_TEXT:
                    raise _UnknownError("a text that is too long")
                return once * times
            case _:
                raise _UnknownError(kind)

    def _one_of(self, members: list[Any]) -> str:
        negated = str(members[0][0]) == "NEGATE"
        if negated:
            return _first(letter for letter in _LETTERS if not any(_holds(member, letter) for member in members[1:]))
        kind, value = str(members[0][0]), members[0][1]
        if kind == "LITERAL":
            return chr(value)
        if kind == "RANGE":
            return chr(value[0])
        return _first(letter for letter in _LETTERS if _holds(members[0], letter))


def _holds(member: Any, letter: str) -> bool:
    kind, value = str(member[0]), member[1]
    match kind:
        case "LITERAL":
            return letter == chr(value)
        case "RANGE":
            return value[0] <= ord(letter) <= value[1]
        case "CATEGORY":
            name = str(value)
            if name.startswith("CATEGORY_NOT_"):
                return not _in_category(name.replace("NOT_", ""), letter)
            return _in_category(name, letter)
        case _:
            raise _UnknownError(kind)


def _in_category(name: str, letter: str) -> bool:
    match name:
        case "CATEGORY_DIGIT":
            return letter.isdecimal()
        case "CATEGORY_WORD":
            return letter.isalnum() or letter == "_"
        case "CATEGORY_SPACE":
            return letter.isspace()
        case _:
            raise _UnknownError(name)


def _first(letters: Iterable[str]) -> str:
    for letter in letters:
        return letter
    raise _UnknownError("a set that holds none of the usual characters")
