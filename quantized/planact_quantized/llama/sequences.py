"""What the model's memory holds, and how little of a new prompt has to be evaluated.

Sequence 0 holds the prompt; the others one candidate each. All of them stay as they are after a request, because the
next one often goes on from the prompt or from what a candidate wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_quantized.llama.context import Aborted, Run
from planact_quantized.llama.prefixes import prefix_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planact_quantized.llama.context import Context
    from planact_quantized.llama.prefixes import Prefixes

SHORTEST_KEPT = 32
"""Tokens. Less than this is evaluated as fast as it is read."""


class Sequences:
    """The sequences of one context."""

    def __init__(self, context: Context, prefixes: Prefixes, *, identity: str, count: int) -> None:
        self._context = context
        self._prefixes = prefixes
        self._identity = identity
        self._held: list[list[int]] = [[] for _ in range(count)]

    def prepare(self, prompt: Sequence[int], *, stable: int, between: Callable[[], None]) -> int:
        """Make sequence 0 hold all of the prompt but its last token, and the others nothing.

        Returns how many tokens were evaluated for it. The first `stable` ones are looked for and kept in the prefixes.
        Whatever is raised, by `between` as well, leaves the memory in order.
        """
        wanted = list(prompt[:-1])
        stable = min(stable, len(wanted))
        self._keep_best(wanted)
        if len(self._held[0]) < stable:
            self._restore(wanted[:stable])
        before = len(self._held[0])
        if before < stable:
            self._evaluate(wanted[:stable], between)
            if stable >= SHORTEST_KEPT:
                self._prefixes.save(prefix_key(self._identity, wanted[:stable]), self._context.state(0))
        self._evaluate(wanted, between)
        return len(wanted) - before

    def share(self, count: int) -> None:
        """Give the prompt to the sequences of `count` candidates."""
        for sequence in range(1, count + 1):
            self._context.share(0, sequence)

    def remember(self, sequence: int, tokens: Sequence[int]) -> None:
        """Note what a candidate's sequence holds in the end."""
        self._context.trim(sequence, len(tokens))
        self._held[sequence] = list(tokens)

    def forget(self) -> None:
        """Empty everything: after a failure nobody knows what is there."""
        self._context.forget()
        self._held = [[] for _ in self._held]

    def _keep_best(self, wanted: Sequence[int]) -> None:
        shared = [common_length(held, wanted) for held in self._held]
        best = shared.index(max(shared))
        if best != 0:
            self._context.trim(0, 0)
            self._context.share(best, 0)
        self._context.trim(0, shared[best])
        self._held[0] = list(wanted[: shared[best]])
        for sequence in range(1, len(self._held)):
            self._context.trim(sequence, 0)
            self._held[sequence] = []

    def _restore(self, tokens: Sequence[int]) -> None:
        key = prefix_key(self._identity, tokens)
        state = self._prefixes.load(key)
        if state is None:
            return
        self.forget()
        if self._context.restore(0, state):
            self._held[0] = list(tokens)
        else:
            self._prefixes.drop(key)
            self.forget()

    def _evaluate(self, wanted: Sequence[int], between: Callable[[], None]) -> None:
        held = self._held[0]
        while len(held) < len(wanted):
            between()
            tokens = wanted[len(held) : len(held) + self._context.batch_tokens]
            try:
                self._context.decode([Run(sequence=0, position=len(held), tokens=tokens, outputs=0)])
            except Aborted:
                self._context.trim(0, len(held))
                raise
            held.extend(tokens)


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
