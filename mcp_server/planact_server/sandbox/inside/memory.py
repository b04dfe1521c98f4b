"""Memory held back from plans, so that the end of a plan that used up its own can still be told."""

from __future__ import annotations

import contextlib
import sys

if sys.platform != "win32":
    import resource

RESERVE_BYTES = 32 * 1024 * 1024
"""What a plan may not have of the worker's memory. The host grants as much on top of what it promises to plans."""

STACK_BYTES = 64 * 1024 * 1024
"""Python counts its own recursion. This is for what it counts late or not at all, such as iterators in iterators."""

_ROOM_BYTES = 8 * 1024 * 1024
_MUCH_BYTES = 64 * 1024 * 1024

_whole: tuple[int, int] | None = None
"""The limit without the reserve."""

_peak_before = 0


def widen_stack() -> None:
    """Let the stack grow to its full size, whatever the server was started with. Before a jail closes."""
    if sys.platform != "win32":
        hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
        size = STACK_BYTES if hard == resource.RLIM_INFINITY else min(STACK_BYTES, hard)
        with contextlib.suppress(OSError, ValueError):  # a system that says no leaves what there is
            resource.setrlimit(resource.RLIMIT_STACK, (size, hard))


def hold_back() -> None:
    """Keep the reserve from whatever runs next."""
    global _whole, _peak_before  # noqa: PLW0603 - made now, because there may be no memory for a tuple later
    if sys.platform == "win32":
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    _whole = (hard, hard)
    _peak_before = _peak_bytes()
    if hard not in (resource.RLIM_INFINITY, -1):
        resource.setrlimit(resource.RLIMIT_AS, (max(0, hard - RESERVE_BYTES), hard))


def release() -> None:
    """Let the reserve be used. Allocates nothing: there may be nothing to allocate."""
    if sys.platform != "win32" and _whole is not None:
        resource.setrlimit(resource.RLIMIT_AS, _whole)


def was_filled() -> bool:
    """Say whether the memory was used up bit by bit; if not, too much was asked for at once."""
    try:
        # A table that doubles fails with a lot of room left: what counts then is how much was really in use.
        return not has_room() or _peak_bytes() > _peak_before + _MUCH_BYTES
    except MemoryError:
        return True


def has_room() -> bool:
    """Say whether there is some left for a plan."""
    try:
        bytearray(_ROOM_BYTES)
    except MemoryError:
        return False
    return True


def _peak_bytes() -> int:
    if sys.platform == "win32":
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
