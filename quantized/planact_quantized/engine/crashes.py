"""How often the child process may crash before it is left alone for a while."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from planact_quantized.backend import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 3
WITHIN_SECONDS = 60.0


class Crashes:
    """The recent ones. Starting again and again what crashes at once would only heat the room."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, str]] = deque(maxlen=MOST)

    def add(self, reason: str) -> None:
        self._recent.append((self._clock(), reason))

    def check(self) -> None:
        """Raise BackendError while there were too many."""
        if len(self._recent) < MOST:
            return
        pause = self._recent[0][0] + WITHIN_SECONDS - self._clock()
        if pause > 0:
            raise BackendError(
                f"The on-device model crashed {MOST} times within {WITHIN_SECONDS:.0f} seconds and is not started "
                f"again for {pause:.0f} seconds. The last time: {self._recent[-1][1]}",
                fault="crashed",
            )
