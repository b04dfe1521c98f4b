"""Text and identifiers as the words that a search compares. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff"  # kana and ideographs, which are written without spaces
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\W\d_{_UNSPACED}]+|\d+")
_RUN_UNSPACED = re.compile(f"[{_UNSPACED}]")
_FIRST_UNSPACED = "\u3040"
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_VOWEL = re.compile("[aeiouy]")

_SAYING_NOTHING = """
    a about all also am an and any are as at be been being but by can could do each for from give has have he help her
    here his how i if in into is it its just know let like me my need no not of on or our per please she should so some
    than that the their them then there these they this those to too use used using very want was we what when which
    who whom will with would you your
"""
_STOPWORDS = frozenset(_SAYING_NOTHING.split())

_PLURALS = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("zes", "z"))
_ENDINGS = (
    *(("ization", "iz"), ("ational", "at"), ("ation", "at"), ("ition", "it"), ("ution", "ut"), ("ction", "ct")),
    *(("sion", "s"), ("tion", "t"), ("ator", "at"), ("ility", "l")),
)
_LOOSE_ENDINGS = ("ment", "ness", "ly", "er", "or", "al")


def tokens(text: str) -> Iterator[str]:
    """Split text and identifiers (`camelCase`, `snake_case`) into stems, without the words that say nothing."""
    for run in _RUN.findall(unicodedata.normalize("NFKC", text)):
        yield from _split(run)


@lru_cache(maxsize=20_000)
def _split(run: str) -> tuple[str, ...]:
    if run[0] >= _FIRST_UNSPACED and _RUN_UNSPACED.match(run):
        # Pairs of characters come close to words.
        return tuple(run[index : index + 2] for index in range(max(1, len(run) - 1)))
    words = _CAMEL.findall(run) if run.isascii() and run.isalpha() else [run]
    return tuple(stem(folded) for word in words if (folded := word.casefold()) not in _STOPWORDS)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return what the forms of an English word have in common: `create`, `creates`, `creating` and `creation`.

    What comes out need not be a word. Rare forms may go their own way; both sides of a comparison go the same.
    """
    if not word.isascii() or len(word) < 4:
        return word
    word = _without_ending(_singular(word))
    if word.endswith("e") and len(word) > 3:
        return word[:-1]
    return f"{word[:-1]}i" if word.endswith("y") and len(word) > 3 else word


def _singular(word: str) -> str:
    for ending, instead in _PLURALS:
        if word.endswith(ending) and len(word) > 4:
            return word.removesuffix(ending) + instead
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is", "news")) else word


def _without_ending(word: str) -> str:
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and _VOWEL.search(rest):
            doubled = rest[-1] == rest[-2] and rest[-1] not in "lsz"
            return rest[:-1] if doubled else rest
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending) + instead
    for ending in _LOOSE_ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word.removesuffix(ending)
    return word
