"""How much work it is worth to check calls before they leave: the calls of all plans wait for it."""

from __future__ import annotations

MOST_STEPS = 5_000
"""Subschemas tried on the arguments of one call, a fiftieth of a millisecond each; a long enumeration counts as
several."""

PLAN_STEPS = 50_000
LEAST_STEPS = 50
"""What one plan's calls may take together, and what each has all the same once that is used up: enough for most."""


class Patience:
    """What is left for the calls of one plan. Beyond it, what is wrong deep inside is left to the server to find."""

    def __init__(self) -> None:
        self._left = PLAN_STEPS

    def for_one_call(self) -> int:
        """Return how many steps the next call may take."""
        return min(MOST_STEPS, max(LEAST_STEPS, self._left))

    def spend(self, steps: int) -> None:
        """Take note of the steps that a call took."""
        self._left -= steps
