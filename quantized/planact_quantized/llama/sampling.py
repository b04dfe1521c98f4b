"""Choosing a token: the likeliest, or one by chance, and always one that the grammar allows.

What is chosen is what masking the whole vocabulary before choosing would give: the very same token for the likeliest,
and exactly the same chances otherwise. But the grammar is asked about few tokens, the likeliest first; most of the
time about one.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from planact_quantized.llama.constraint import Constraint
    from planact_quantized.llama.vocabulary import Vocabulary

MIN_SHARE = 0.05
"""By chance, only tokens are drawn that are at least this likely, compared to the likeliest one (min-p)."""

MOST_CHOICES = 40
"""By chance, one of so many of the likeliest tokens is drawn (top-k)."""

_ROWS = 64
_RUNS = (256, 2048, 16_384)
"""About so many tokens are looked at first, and then, before all of them are."""

_FEW = 16_384
"""So many tokens that may come are put in order by themselves, not picked from the order of all."""


clock = time.perf_counter
"""What the cost of grammars is counted by; benchmarks count the processor's time instead."""


@dataclass(slots=True)
class GrammarCost:
    """What the grammar took, over all candidates of a request."""

    seconds: float = 0.0
    rejected: int = 0
    """How often the likeliest token was not allowed."""

    @contextmanager
    def timed(self) -> Generator[None]:
        """Count the time within as the grammar's."""
        started = clock()
        try:
            yield
        finally:
            self.seconds += clock() - started


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
        return self._likeliest(logits, constraint) if self._temperature <= 0 else self._by_chance(logits, constraint)

    def _likeliest(self, logits: NDArray[np.float32], constraint: Constraint | None) -> Choice:
        token = int(logits.argmax())
        if constraint is None:
            return Choice(token, None)
        with self.cost.timed():
            choice = next(self._allowed((token,), constraint), None)
            if choice is None:
                self.cost.rejected += 1
                choice, _ = self._first_allowed(self._possible(descending(logits), logits, constraint), constraint)
            return choice

    def _by_chance(self, logits: NDArray[np.float32], constraint: Constraint | None) -> Choice:
        runs = descending(logits)
        # The first run is needed without a grammar, too, and so is no part of its cost.
        first = next(runs)
        runs = chain((first,), runs)
        if constraint is None:
            tokens = list(islice(_from(int(first[0]), runs, logits), MOST_CHOICES))
            return Choice(tokens[self._pick(self._weights(tokens, logits))], None)
        with self.cost.timed():
            runs = self._possible(runs, logits, constraint)
            best, run = self._first_allowed(runs, constraint)
            self.cost.rejected += best.token != int(first[0])
            tokens = _from(best.token, chain((run,), runs), logits)
            ahead = list(islice(tokens, MOST_CHOICES))
            return self._draw(ahead, self._allowed(chain(ahead, tokens), constraint), logits)

    def _draw(self, ahead: Sequence[int], allowed: Iterator[Choice], logits: NDArray[np.float32]) -> Choice:
        """Return one of the first MOST_CHOICES allowed tokens; `ahead` are as many, of which some may be refused.

        What is drawn is a place among the allowed ones, so that only those before it have to be found. The token at a
        place is at most as likely as the one that would be there if none were refused: how much less, is how often the
        draw is thrown away.
        """
        most = self._weights(ahead, logits)
        found: list[Choice] = []
        while True:
            place = self._pick(most)
            found += islice(allowed, max(0, place + 1 - len(found)))
            weights = self._weights([choice.token for choice in found], logits)
            if place < len(found):
                if self._random.random() * most[place] <= weights[place]:
                    return found[place]
            else:
                del most[len(found) :]
            most[: len(found)] = weights

    def _weights(self, tokens: Sequence[int], logits: NDArray[np.float32]) -> list[float]:
        """Return how likely tokens are, as multiples of the first."""
        values = logits[tokens].astype(np.float64)
        weights: list[float] = np.exp((values - values[0]) / self._temperature).tolist()
        return weights

    def _pick(self, weights: Sequence[float]) -> int:
        """Return a place by chance."""
        sums = list(accumulate(weights))
        # Rounded, what is drawn may be the whole sum.
        return min(bisect_right(sums, self._random.random() * sums[-1]), len(sums) - 1)

    def _first_allowed(
        self, runs: Iterable[NDArray[np.intp]], constraint: Constraint
    ) -> tuple[Choice, NDArray[np.intp]]:
        """Return the first allowed token, and the run that it is in. Raises DeadEnd."""
        for run in runs:
            choice = next(self._allowed(run.tolist(), constraint), None)
            if choice is not None:
                return choice, run
        raise DeadEnd

    def _allowed(self, tokens: Iterable[int], constraint: Constraint) -> Iterator[Choice]:
        """Yield those of the tokens that the grammar allows."""
        ends, pieces, step = self._vocabulary.ends, self._vocabulary.pieces, constraint.step
        for token in tokens:
            if token in ends:
                if constraint.may_end:
                    yield Choice(token, None)
            elif (after := step(pieces[token])) is not None:
                yield Choice(token, after)

    def _possible(
        self, runs: Iterable[NDArray[np.intp]], logits: NDArray[np.float32], constraint: Constraint
    ) -> Iterator[NDArray[np.intp]]:
        """Yield the tokens that could be allowed, as far as their first byte tells, the likeliest first."""
        starts = self._vocabulary.starts(constraint)
        if starts is None:
            yield from runs
            return
        for run in runs:
            yield run[starts.among(run)]
            if starts.count <= _FEW and len(run):
                yield from descending(logits, starts.tokens(), below=float(logits[run[-1]]))
                return


def _from(token: int, runs: Iterable[NDArray[np.intp]], logits: NDArray[np.float32]) -> Iterator[int]:
    """Yield a token of the first run and those behind it, down to MIN_SHARE of how likely it is."""
    limit = logits[token] + np.log(MIN_SHARE)
    begun = False
    for run in runs:
        left = run if begun else run[np.flatnonzero(run == token)[0] :]
        begun = True
        within = left[logits[left] >= limit]
        yield from within.tolist()
        if len(within) < len(left):
            return


def descending(
    logits: NDArray[np.float32], tokens: NDArray[np.intp] | None = None, *, below: float = np.inf
) -> Iterator[NDArray[np.intp]]:
    """Yield all possible tokens, or those of some, by likelihood, equal ones by number, as argmax takes them.

    They come in runs, because hardly ever more than the first ones are looked at. `below`: only less likely ones.
    """
    values = logits if tokens is None else logits[tokens]
    for count in _RUNS:
        rows = min(_ROWS, len(values) // (2 * count))
        if rows < 2:
            break
        found, limit = _at_least(count, values, rows=rows, below=below)
        if -np.inf < limit < below:
            yield _sorted(logits, found if tokens is None else tokens[found])
            below = float(limit)
    found = np.flatnonzero((values < below) & (values > -np.inf))
    yield _sorted(logits, found if tokens is None else tokens[found])


def _at_least(
    count: int, values: NDArray[np.float32], *, rows: int, below: float
) -> tuple[NDArray[np.intp], np.float32]:
    """Return where the greatest values are, at least `count` and seldom many more, and the least of them.

    Those from `below` on are left out. Only columns whose peak is high enough are looked through.
    """
    columns = len(values) // rows
    table, rest = values[: rows * columns].reshape(rows, columns), values[rows * columns :]
    peaks = table.max(axis=0)
    limit = np.partition(peaks, -count)[-count]
    high = np.flatnonzero(peaks >= limit)
    part = table[:, high]
    row, column = np.nonzero((part >= limit) & (part < below))
    last = np.flatnonzero((rest >= limit) & (rest < below))
    return np.concatenate((row * columns + high[column], last + rows * columns)), limit


def _sorted(logits: NDArray[np.float32], tokens: NDArray[np.intp]) -> NDArray[np.intp]:
    return tokens[np.lexsort((tokens, -logits[tokens]))]
