"""Planact among its own servers: recognised by its command, and by what it finds in its environment.

One that connects itself starts itself, which connects itself, without end.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

INSIDE = "PLANACT_INSIDE"
"""A variable that every server over stdio gets: the name of its entry."""

_PLANACT = re.compile(r"planact(?:[-_]server)?(?:\[[^\]]*\])?(?:[=<>~!@].*)?")
"""The command, the module, or the package as `uvx` takes it: `planact[monty]`, `planact@latest`."""

_LAUNCHER = re.compile(r"uvx?|pipx|py|python[\d.]*w?|env|cmd")


def serves_planact(command: str, args: Sequence[str]) -> bool:
    """Return whether a command line is `planact serve`, started directly or by what starts Python programs."""
    words = [_bare(command), *map(_bare, args)]
    if not (_PLANACT.fullmatch(words[0]) or _LAUNCHER.fullmatch(words[0])):
        return False
    return any(_PLANACT.fullmatch(word) and after == "serve" for word, after in pairwise(words))


def _bare(word: str) -> str:
    """Return a program's name without its folder."""
    return re.split(r"[\\/]", word)[-1].lower().removesuffix(".exe")
