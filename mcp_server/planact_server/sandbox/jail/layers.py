"""What the jail is told and what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Layers: TypeAlias = "dict[str, bool | str]"
"""Name of a layer → True where it took, else a sentence why not."""


class Rights(NamedTuple):
    """What is left to a worker."""

    memory_bytes: int
    """Address space beyond what the interpreter holds before any plan."""

    cpu_seconds: int
    """Over the worker's whole life. The wall clock is the host's; this holds when the host is gone."""

    descriptors: int
    """How many file descriptors it may have: those that it has."""


def took(layer: Callable[[], None]) -> bool | str:
    """Put one layer on: True, or why it could not be had."""
    try:
        layer()
    except (OSError, ValueError) as error:
        return f"not available: {error}"
    return True
