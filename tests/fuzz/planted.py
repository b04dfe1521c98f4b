"""Leaks that a mistake in a facade might make: the fuzzers must see them."""

from __future__ import annotations

import operator
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuzz.room import Room


def _raise_module(*_: object) -> None:
    raise ValueError("planted", sys)


def _call_with_frame(function: Any, *_: object) -> Any:
    return function(sys._getframe())


PLANTED: dict[str, Callable[..., Any]] = {
    "textwrap.dedent": lambda *_: [sys._getframe()],
    "operator.attrgetter": lambda name, *_: lambda target: getattr(target, str(name)),
    "operator.itemgetter": operator.attrgetter,
    "functools.reduce": _call_with_frame,
    "bisect.bisect": _raise_module,
    "string.capwords": lambda *_: iter([{"names": vars(operator)}]),
    "math.comb": lambda *_: type,
    "html.escape": lambda text="", *_: "{0.gi_frame}".format,
    "heapq.merge": lambda *_: Path(os.devnull).open(),  # noqa: SIM115 - the leak
}
"""By the names that they take the place of."""


def plant(room: Room) -> None:
    """Put all of them in."""
    for name, function in PLANTED.items():
        module, _, leaf = name.rpartition(".")
        vars(room.modules[module])[leaf] = function
