"""When a server that keeps failing is tried again.

The first failure costs no wait: servers are updated, killed and restarted. From the second in a row on, each
waits twice as long as the one before, a little less by chance, so that many servers do not come back at once.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_SECONDS = 1.0
MOST_SECONDS = 60.0


class BackOff:
    """Counts failures in a row; says how long to wait."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._next_try = 0.0
        self.failures = 0
        """How often the server failed since it last answered."""

    @property
    def seconds(self) -> float:
        """How long until the next try; zero where it is due."""
        return max(self._next_try - self._clock(), 0.0)

    def failed(self) -> None:
        """Count a start that failed, or a connection that was lost."""
        self.failures += 1
        if self.failures > 1:
            # Bounded before it is raised: a server may fail for weeks.
            doublings = min(self.failures - 2, 16)
            wait = min(FIRST_SECONDS * 2**doublings, MOST_SECONDS)
            self._next_try = self._clock() + wait * (1.0 - 0.25 * self._jitter())

    def forget(self) -> None:
        """Begin anew: the server has answered, or a person wants it tried now."""
        self.failures = 0
        self._next_try = 0.0
