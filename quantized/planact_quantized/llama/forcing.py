"""What a grammar leaves no choice about, as tokens.

The characters are the ones that would have come anyway. The tokens are the usual ones for them, where the model might
have spelled them otherwise; what it writes behind them may differ for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from planact_quantized.grammar.automaton import Automaton
    from planact_quantized.llama.constraint import Constraint
    from planact_quantized.llama.vocabulary import Vocabulary

ForcedTokens: TypeAlias = tuple[tuple[int, "Constraint"], ...]
"""Each token with where the text stands behind it."""


class Forcing:
    """Finds the forced tokens of one grammar under one vocabulary, and remembers them by state."""

    def __init__(self, automaton: Automaton, vocabulary: Vocabulary) -> None:
        self.automaton = automaton
        self._vocabulary = vocabulary
        self._known: dict[Constraint, ForcedTokens] = {}

    def tokens(self, constraint: Constraint) -> ForcedTokens:
        """Return the tokens that must follow, often none."""
        known = self._known.get(constraint)
        if known is None:
            known = self._tokens(constraint)
            # Only states are made once; the others come anew each time, and force nothing.
            if known:
                self._known[constraint] = known
        return known

    def _tokens(self, constraint: Constraint) -> ForcedTokens:
        run = constraint.forced
        behind = constraint.step(run) if run else None
        if behind is None:
            return ()
        pieces = self._vocabulary.pieces
        tokens = self._vocabulary.tokenize(run.decode())
        # A token that could be a longer one is left to the model: made to begin with "(" where it would write '("', it
        # has to spell the rest in a way that it has not learnt.
        if self._could_go_on(pieces[tokens[-1]], behind):
            tokens.pop()
        found: list[tuple[int, Constraint]] = []
        for token in tokens:
            after = constraint.step(pieces[token])
            if after is None:
                break
            constraint = after
            found.append((token, after))
        return tuple(found)

    def _could_go_on(self, piece: bytes, behind: Constraint) -> bool:
        return not behind.complete and any(behind.step(rest) is not None for rest in self._vocabulary.longer(piece))
