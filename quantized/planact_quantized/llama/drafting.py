"""Guessing what comes next from what is already there, and whether guessing pays.

Plans repeat names, arguments and lines of the request. When the last few tokens have occurred before, what followed
them then is a guess for free; evaluating it together with the next token costs little more than that token alone,
and every token that was right saves a step. The text is the same with and without, as far as a device computes the
same: several tokens at once are added up in another order than one, so two tokens that are all but equally likely may
change places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_quantized.settings import Drafting

DRAFTS: tuple[int, ...] = (4, 15)
"""Lengths of a draft to choose between. With 15 guesses a step has 16 outputs, for which a context has room."""

_GRAMS = (3, 2)
_MEMORY = 0.15
"""Weight of the newest draft in the running average of what was right."""

_RETRY_AFTER = 24
"""Drafts that are let pass before one is tried again where they have not paid."""

_MARGIN = 1.05


class Lookup:
    """Where runs of tokens have occurred before, in one growing sequence."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        # What ends before the new token is filed only now: a run must not find itself.
        at = len(self._tokens)
        for size in _GRAMS:
            if at >= size:
                self._after[tuple(self._tokens[at - size : at])] = at
        self._tokens.append(token)

    def draft(self, most: int) -> list[int]:
        """Return `most` tokens that followed the last time, or none; the longest run that matches decides."""
        for size in _GRAMS:
            at = self._after.get(tuple(self._tokens[-size:])) if len(self._tokens) >= size else None
            if at is not None:
                known = self._tokens[at : at + most]
                # Where what followed reaches the end of the text, it was one round of something that goes round.
                return [known[index % len(known)] for index in range(most)]
        return []


class Policy:
    """Decides whether to draft, from what steps cost on this device and how many guesses were right lately."""

    def __init__(self, mode: Drafting, *, costs: Mapping[int, float] | None = None) -> None:
        """`costs`: the time of a step with so many guesses, for each of DRAFTS, as a multiple of one without."""
        self._mode: Drafting = mode
        self._costs = dict.fromkeys(DRAFTS, 1.0) if costs is None else costs
        self._right = {length: length / 2 for length in DRAFTS}
        """Running average of the guesses that are right in a draft of that length; hopeful at the start."""

        self._passed = 0

    def most(self) -> int:
        """Return how many tokens to guess now; 0 for none."""
        if self._mode == "off":
            return 0
        best = max(DRAFTS, key=self._gain)
        if self._mode == "on" or self._gain(best) > _MARGIN:
            return best
        self._passed += 1
        if self._passed < _RETRY_AFTER:
            return 0
        self._passed = 0
        return best

    def learn(self, right: int, most: int) -> None:
        """Take into account how many guesses of a draft were right, where there could have been so many at most."""
        for length in DRAFTS:
            # Where all were right, more might have been.
            known = length if right == most else min(right, length)
            self._right[length] += _MEMORY * (known - self._right[length])

    def _gain(self, length: int) -> float:
        """Return how many times faster tokens come with drafts of this length."""
        return (1 + self._right[length]) / self._costs[length]
