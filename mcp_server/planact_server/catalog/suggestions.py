"""What was probably meant by a name that nothing has. Pure; names may come from a plan and be of any length."""

from __future__ import annotations

import difflib
import heapq
import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PUNCTUATION = re.compile(r"[\W_]+")

CLOSE_ENOUGH = 0.6
"""Similarity from which a name is worth suggesting, as difflib measures it."""

LONGEST = 200
"""Longer names are nobody's typing error, and comparing them takes long."""

MOST_COMPARED = 20
"""So many candidates, those that share the most pairs of letters with a name, are compared with it in earnest: a few
hundred comparisons of similar names take a tenth of a second."""

MOST_STRANGE = 200
"""So many of the names that a plan gives are looked through for a misspelt one."""


def closest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most like the name: first one that differs in case and punctuation only."""
    if len(name) > LONGEST:
        return None
    ordered = sorted(each for each in candidates if len(each) <= LONGEST)
    folded = _folded(name)
    same = next((each for each in ordered if folded and _folded(each) == folded), None)
    if same is not None:
        return same
    lowered = {each.casefold(): each for each in reversed(ordered)}
    likely = _most_alike(name.casefold(), lowered) if len(lowered) > MOST_COMPARED else lowered
    found = difflib.get_close_matches(name.casefold(), likely, n=1, cutoff=CLOSE_ENOUGH)
    return lowered[found[0]] if found else None


def _most_alike(name: str, candidates: Iterable[str]) -> list[str]:
    pairs = _pairs(name)
    # Of two that share as many, the shorter one is more like it.
    return heapq.nlargest(MOST_COMPARED, candidates, key=lambda each: (len(pairs & _pairs(each)), -len(each)))


def _pairs(name: str) -> set[tuple[str, str]]:
    return set(itertools.pairwise(name))


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return a sentence with a leading space, or nothing."""
    close = closest(name, candidates)
    return f" Did you mean {close!r}?" if close is not None else ""


def quoted(name: str) -> str:
    """Return a name as messages show it."""
    return repr(name) if len(name) <= LONGEST else f"{name[:LONGEST]!r}…"


def _folded(name: str) -> str:
    return _PUNCTUATION.sub("", name.casefold())
