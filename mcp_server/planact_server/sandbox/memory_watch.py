"""The memory of a worker as its host reads it, for systems whose kernel does not keep the worker within a limit."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WATCHED = sys.platform == "darwin"
"""Whether this system needs it: elsewhere the worker's own limit holds."""

LOOK_SECONDS = 0.05
"""Between two looks: a process can touch some 100 MB meanwhile."""


def held_bytes(pid: int) -> int | None:
    """Return the memory that a process holds, or nothing where the system does not tell or it has ended."""
    if sys.platform == "darwin":
        return _footprint(pid)
    if sys.platform == "win32":
        return None
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGESIZE")


class MemoryWatch:
    """Calls `exceeded` once when a process holds more than `most_bytes`; does nothing where nobody has to watch."""

    def __init__(self, pid: int, most_bytes: int, *, exceeded: Callable[[], None]) -> None:
        self._pid = pid
        self._most_bytes = most_bytes
        self._exceeded = exceeded
        self._alarm: asyncio.TimerHandle | None = None
        if WATCHED:
            self._look()

    def cancel(self) -> None:
        """Look no more. May be called twice."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        held = held_bytes(self._pid)
        if held is not None and held > self._most_bytes:
            self._exceeded()
        elif held is not None:
            self._alarm = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


class _Usage(ctypes.Structure):
    """`struct rusage_info_v0` of macOS's <sys/resource.h>."""

    _fields_ = (
        ("uuid", ctypes.c_uint8 * 16),
        ("user_time", ctypes.c_uint64),
        ("system_time", ctypes.c_uint64),
        ("idle_wakeups", ctypes.c_uint64),
        ("interrupt_wakeups", ctypes.c_uint64),
        ("page_ins", ctypes.c_uint64),
        ("wired_size", ctypes.c_uint64),
        ("resident_size", ctypes.c_uint64),
        ("physical_footprint", ctypes.c_uint64),
        ("start", ctypes.c_uint64),
        ("exit", ctypes.c_uint64),
    )


def _footprint(pid: int) -> int | None:
    usage = _Usage()
    try:
        failed = ctypes.CDLL("/usr/lib/libproc.dylib").proc_pid_rusage(pid, 0, ctypes.byref(usage))
    except (OSError, AttributeError):
        return None
    return None if failed else int(usage.physical_footprint)
