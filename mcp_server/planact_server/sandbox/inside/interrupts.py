"""Stopping a plan: deadline, limit, cancellation.

A stop arrives as a signal and is raised in the plan as `PlanStopped`. While the worker's own code holds half-written
state (`shielded`), the stop waits. A plan that swallows it (`finally: continue`, an `__exit__` that returns True) gets
it again and again, and then the worker reports what there is and ends itself.
"""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

_T = TypeVar("_T")

Stop: TypeAlias = Literal["timeout", "limit", "cancelled"]

_AGAIN_SECONDS = 0.02
_FOREVER = 1e8
"""Seconds; the system's timers take no number of any size."""

_PATIENCE = 25
"""How often a swallowed stop is raised again before the worker gives up on the plan."""


class PlanStopped(BaseException):
    """The plan must end now. Not an Exception: `except Exception` does not catch it."""


class Interrupts:
    """The stop of the plan that is running. One per worker; signal handlers are the process's."""

    def __init__(self) -> None:
        self.status: Stop | None = None
        self.message = ""
        self.cpu_spent = False
        """Whether the process has used up its CPU time: the kernel ends it a moment later."""

        self._cpu_message = ""
        self._running = False
        self._shields = 0
        self._waiting = False
        self._raised = 0
        self._in_foreign_code = False
        self._give_up: Callable[[], None] | None = None

    def listen(self) -> None:
        """Take the process's signals. Whoever is forked afterwards has to do it again."""
        if sys.platform != "win32":
            signal.signal(signal.SIGALRM, self._on_alarm)
            signal.signal(signal.SIGUSR1, self._on_cancel)
            signal.signal(signal.SIGPROF, self._on_cpu_budget)
            signal.signal(signal.SIGXCPU, self._on_cpu_spent)

    def begin(self, seconds: float, *, cpu_seconds: float, give_up: Callable[[], None]) -> None:
        """A plan starts. `give_up` reports the plan's end and does not return."""
        self.status = None
        self.message = f"The plan ran longer than {seconds:g} s."
        self._shields = self._raised = 0
        self._waiting = False
        self._give_up = give_up
        self._running = True
        self._cpu_message = f"The plan computed for longer than {cpu_seconds:g} s of CPU time."
        _set_timer(max(seconds, 0.001), _AGAIN_SECONDS)
        _set_cpu_timer(max(cpu_seconds, 0.001))

    def end(self) -> None:
        """The plan is over: from here on only `foreign` code is interrupted."""
        self._running = False
        _set_timer(0.0, 0.0)
        _set_cpu_timer(0.0)

    @contextmanager
    def clock_standing_still(self) -> Generator[None]:
        """Stop the plan's clock in the block."""
        left = _stop_timer() if self._running and self.status is None else None
        try:
            yield
        finally:
            if left is not None and self._running and self.status is None:
                _set_timer(max(left, 0.001), _AGAIN_SECONDS)

    def stop(self, status: Stop, message: str) -> None:
        """Stop the plan from the worker's own code. Raises PlanStopped."""
        if self.status is None:
            self.status, self.message = status, message
        _set_timer(_AGAIN_SECONDS, _AGAIN_SECONDS)
        raise PlanStopped

    def __enter__(self) -> None:
        """Shield: a stop waits until the block is left."""
        self._shields += 1

    def __exit__(self, *_: object) -> None:
        self._shields -= 1
        if self._waiting and not self._shields:
            self._waiting = False
            self._raise()

    def foreign(self, call: Callable[[], _T], *, seconds: float) -> _T:
        """Call a plan's own code (a `__repr__`) after the plan has ended. Raises PlanStopped when it takes too long.

        A call within such a call shares its time.
        """
        if self._in_foreign_code:
            return call()
        self._in_foreign_code = True
        self._raised = 0
        _set_timer(seconds, _AGAIN_SECONDS)
        try:
            return call()
        finally:
            self._in_foreign_code = False
            _set_timer(0.0, 0.0)

    def _on_alarm(self, _signal: int, _frame: FrameType | None) -> None:
        self._arrived("timeout", self.message)

    def _on_cancel(self, _signal: int, _frame: FrameType | None) -> None:
        if self._running:
            _set_timer(_AGAIN_SECONDS, _AGAIN_SECONDS)
        self._arrived("cancelled", "The plan was cancelled.")

    def _on_cpu_budget(self, _signal: int, _frame: FrameType | None) -> None:
        if self._running:
            _set_timer(_AGAIN_SECONDS, _AGAIN_SECONDS)
        self._arrived("limit", self._cpu_message)

    def _on_cpu_spent(self, _signal: int, _frame: FrameType | None) -> None:
        self.cpu_spent = True
        if self._running:
            _set_timer(_AGAIN_SECONDS, _AGAIN_SECONDS)
        self._arrived("limit", "The worker has used up its CPU time.")

    def _arrived(self, status: Stop, message: str) -> None:
        if self._in_foreign_code:
            self._raise()
        if not self._running:
            return
        if self.status is None:
            self.status, self.message = status, message
        if self._shields:
            self._waiting = True
            return
        self._raise()

    def _raise(self) -> None:
        self._raised += 1
        if self._raised > _PATIENCE and self._give_up is not None:
            self._running = False
            self._give_up()
        raise PlanStopped


def _set_timer(seconds: float, interval: float) -> None:
    if sys.platform != "win32":  # which has no timers: there the host ends the worker
        signal.setitimer(signal.ITIMER_REAL, min(seconds, _FOREVER), interval)


def _stop_timer() -> float | None:
    """Return the seconds that were left; None where there is no timer."""
    return None if sys.platform == "win32" else signal.setitimer(signal.ITIMER_REAL, 0.0)[0]


def _set_cpu_timer(seconds: float) -> None:
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, min(seconds, _FOREVER))
