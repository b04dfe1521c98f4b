"""Choosing a token: the likeliest, or one by chance, and always one that the grammar allows.

The choice is made without the grammar first, and the grammar is asked about that one token. Most of the time it
agrees. Only when it refuses are other tokens looked at, the likeliest first. Both ways give what masking the whole
vocabulary before choosing would give: exactly for the likeliest, and with the same chances otherwise.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from planact_quantized.llama.constraint import Constraint
    from planact_quantized.llama.vocabulary import Vocabulary

MIN_SHARE = 0.05
"""By chance, only tokens are drawn that are at least this likely, compared to the likeliest one (min-p)."""

MOST_CHOICES = 40
"""By chance, one of so many of the likeliest tokens is drawn (top-k)."""

_SAMPLED = 16
"""One value in so many tells where the greatest ones begin."""

_RUNS = (256, 1024, 4096, 16384)
"""About how many tokens are looked at first, and then, before all of them are."""


@dataclass(slots=True)
class GrammarCost:
    """What the grammar took, over all candidates of a request."""

    seconds: float = 0.0
    rejected: int = 0

    @contextmanager
    def timed(self) -> Generator[None]:
        """Count the time within as the grammar's."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Choice:
    token: int
    constraint: Constraint | None
    """Where the grammar stands behind it; None without one, and behind a token that ends the text."""


class DeadEnd(Exception):
    """The vocabulary has no token that the grammar would allow."""


class Sampler:
    """Chooses the tokens of one candidate; with the same seed and the same logits, the same ones."""

    def __init__(self, vocabulary: Vocabulary, cost: GrammarCost, *, temperature: float, seed: tuple[int, int]) -> None:
        self._vocabulary = vocabulary
        self.cost = cost
        self._temperature = temperature
        self._random = np.random.default_rng(seed)

    def choose(self, logits: NDArray[np.float32], constraint: Constraint | None) -> Choice:
        """Return the next token. Writes into `logits`. Raises DeadEnd."""
        logits[self._vocabulary.unwritable] = -np.inf
        token = self._draw(logits)
        if constraint is None:
            return Choice(token, None)
        with self.cost.timed():
            after = self._after(token, constraint)
            if after is not None:
                return after
            self.cost.rejected += 1
            return self._draw_allowed(logits, constraint)

    def _after(self, token: int, constraint: Constraint) -> Choice | None:
        """Return the choice of this token; None where the grammar does not allow it."""
        if token in self._vocabulary.ends:
            return Choice(token, None) if constraint.may_end else None
        after = constraint.step(self._vocabulary.pieces[token])
        return None if after is None else Choice(token, after)

    def _draw(self, logits: NDArray[np.float32]) -> int:
        best = int(logits.argmax())
        if self._temperature <= 0:
            return best
        near = np.flatnonzero(logits >= logits[best] + np.log(MIN_SHARE))
        return self._by_chance(near[likeliest(logits[near], MOST_CHOICES)], logits)

    def _draw_allowed(self, logits: NDArray[np.float32], constraint: Constraint) -> Choice:
        wanted = 1 if self._temperature <= 0 else MOST_CHOICES
        allowed = self._likeliest_allowed(logits, constraint, wanted)
        if not allowed:
            raise DeadEnd
        tokens = np.array([choice.token for choice in allowed])
        token = int(tokens[0]) if wanted == 1 else self._by_chance(tokens, logits)
        return next(choice for choice in allowed if choice.token == token)

    def _likeliest_allowed(self, logits: NDArray[np.float32], constraint: Constraint, wanted: int) -> list[Choice]:
        """Return up to `wanted` allowed tokens, likeliest first, none below MIN_SHARE of the first."""
        found: list[Choice] = []
        limit = -np.inf
        ends, pieces, step = self._vocabulary.ends, self._vocabulary.pieces, constraint.step
        for run in self._possible(logits, constraint):
            tokens: list[int] = run.tolist()
            for token, logit in zip(tokens, logits[run].tolist(), strict=True):
                if logit < limit:
                    return found
                # Most of them are refused, by the hundred: this is `_after` without the call.
                after = None if token in ends else step(pieces[token])
                if after is None and not (token in ends and constraint.may_end):
                    continue
                if not found:
                    limit = logits[token] + np.log(MIN_SHARE)
                found.append(Choice(token, after))
                if len(found) == wanted:
                    return found
        return found

    def _possible(self, logits: NDArray[np.float32], constraint: Constraint) -> Iterator[NDArray[np.intp]]:
        """Yield the tokens that could be allowed, as far as their first byte tells, the likeliest first."""
        first = constraint.first_bytes
        if first is None:
            yield from descending(logits)
            return
        starts = self._vocabulary.starts(first, or_ends=constraint.may_end)
        if starts.count <= _RUNS[-1]:
            few = starts.tokens()
            for run in descending(logits[few]):
                yield few[run]
            return
        for run in descending(logits):
            yield run[starts.among(run)]

    def _by_chance(self, tokens: NDArray[np.intp], logits: NDArray[np.float32]) -> int:
        weights = np.exp((logits[tokens].astype(np.float64) - float(logits[tokens].max())) / self._temperature)
        below = np.cumsum(weights) <= self._random.random() * weights.sum()
        return int(tokens[min(np.count_nonzero(below), len(tokens) - 1)])


def likeliest(logits: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return `count` of the likeliest tokens in order, or all that are possible where those are fewer."""
    found = np.empty(0, dtype=np.intp)
    for run in descending(logits):
        found = np.concatenate((found, run))
        if len(found) >= count:
            break
    return found[:count]


def descending(logits: NDArray[np.float32]) -> Iterator[NDArray[np.intp]]:
    """Yield all possible tokens by likelihood, equal ones by number, as argmax takes them.

    They come in runs, because hardly ever more than the first one is looked at.
    """
    rest = logits > -np.inf
    for count in (each for each in _RUNS if each < len(logits) / 2):
        sample = logits[::_SAMPLED]
        limit = np.partition(sample, -(count // _SAMPLED))[-(count // _SAMPLED)]
        # All that are as likely as the last one belong to the run: their order is that of their numbers.
        within = rest & (logits >= limit)
        yield _sorted(logits, np.flatnonzero(within))
        rest ^= within
    yield _sorted(logits, np.flatnonzero(rest))


def _sorted(logits: NDArray[np.float32], tokens: NDArray[np.intp]) -> NDArray[np.intp]:
    return tokens[np.argsort(-logits[tokens], kind="stable")]
