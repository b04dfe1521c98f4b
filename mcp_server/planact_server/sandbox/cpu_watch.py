"""The CPU time of a worker as its host reads it, for one that does not keep to its budget by itself."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_SECONDS = 0.1
_MOST_SECONDS = 1.0
"""Between two looks. More than one thread may be running, so the CPU's clock may be faster than the wall's."""

_SCHEDULER_CLOCK = 2


class CPUClock:
    """What a process and its first child have used; a spawned worker is the child of a process that stands by."""

    def __init__(self, pid: int) -> None:
        """Before the process is known to have ended: later on the number may mean another one."""
        self._pids = (pid, *_children(pid))

    def seconds(self) -> float | None:
        """Return the CPU time so far, or nothing where the system does not tell or the process has ended."""
        if sys.platform != "linux":
            return None
        try:
            # What clock_getcpuclockid(3) returns. Unlike /proc, it is there for every user and in every container.
            return sum(time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK) for pid in self._pids)
        except OSError:
            return None


class CPUWatch:
    """Calls `exceeded` once when more than `seconds` were used since this was made."""

    def __init__(self, clock: CPUClock, seconds: float, *, exceeded: Callable[[], None]) -> None:
        self._clock = clock
        self._exceeded = exceeded
        self._alarm: asyncio.TimerHandle | None = None
        begun = clock.seconds()
        if begun is not None:
            self._end = begun + seconds
            self._look_after(seconds)

    def cancel(self) -> None:
        """Look no more. May be called twice."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look_after(self, seconds: float) -> None:
        seconds = min(max(seconds, _LEAST_SECONDS), _MOST_SECONDS)
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        used = self._clock.seconds()
        if used is None:
            return
        if used < self._end:
            self._look_after(self._end - used)
        else:
            self._exceeded()


def _children(pid: int) -> tuple[int, ...]:
    if sys.platform != "linux":
        return ()
    try:
        return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:  # a kernel without that file, or a /proc that hides it: the worker's own limits remain
        return ()
