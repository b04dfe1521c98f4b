"""The heap of this process: when it is searched for cycles, and how the C library treats large blocks."""

from __future__ import annotations

import contextlib
import gc
import sys

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
ARENAS = 1
"""Heaps for all threads together: the interpreter's lock lets one of them allocate at a time anyway."""

LARGE_BYTES = 128 * 1024


def return_large_blocks() -> None:
    """Have each large block be memory of its own, which goes back to the system when it is freed.

    glibc begins like that, but raises its threshold with every large block that is freed, up to 32 MB: from then on
    the answers and frames of a long-lived server leave holes in one heap for each thread, and tens of MB are never
    returned. Setting the threshold keeps it where it is, and one heap for all threads has its holes once. Elsewhere
    than on Linux with glibc this does nothing.
    """
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 - only here, and not needed for the first answer

    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(_M_ARENA_MAX, ARENAS)


def hold_collections() -> None:
    """Search for no cycles while a server starts: importing makes much that stays, and each search goes over it."""
    gc.disable()


def settle() -> None:
    """Take what there is for good, and search only what comes after it from now on.

    Without it every full search goes over all modules again, some 50 ms in which nothing is answered; calls that are
    made at once bring one every few hundred. The cycles that starting leaves behind, half a megabyte, are kept:
    finding them would be one more such pause.
    """
    gc.freeze()
    gc.enable()
