"""One candidate while it is being written: its tokens, its text, where its grammar stands, why it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_quantized.backend import BackendError, Candidate
from planact_quantized.llama.drafting import Lookup
from planact_quantized.llama.sampling import DeadEnd
from planact_quantized.llama.text_stream import TextStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from planact_quantized.backend import StopReason
    from planact_quantized.llama.constraint import Constraint
    from planact_quantized.llama.forcing import Forcing
    from planact_quantized.llama.sampling import Sampler
    from planact_quantized.llama.vocabulary import Vocabulary


class Writing:
    """A candidate. `pending` is what has been decided and not been evaluated yet; never empty while it goes on."""

    def __init__(
        self,
        index: int,
        *,
        prompt: Sequence[int],
        vocabulary: Vocabulary,
        sampler: Sampler,
        constraint: Constraint | None,
        stops: Sequence[str],
        max_tokens: int,
        forcing: Forcing | None,
        on_text: Callable[[int, str], None],
    ) -> None:
        self.index = index
        self.sequence = index + 1
        self.tokens = list(prompt)
        """Prompt and text."""

        self.evaluated = len(prompt) - 1
        """How many of them the model's memory holds."""

        self._lookup = Lookup(prompt)
        self.stop: StopReason | None = None
        self.drafted = 0
        self._forced = 0
        self._prompt_tokens = len(prompt)
        self._vocabulary = vocabulary
        self._sampler = sampler
        self._constraint = constraint
        self._stream = TextStream(stops)
        self._text: list[str] = []
        self._max_tokens = max_tokens
        self._forcing = forcing
        self._on_text = on_text
        if max_tokens < 1:
            self.stop = "length"

    @property
    def pending(self) -> list[int]:
        return self.tokens[self.evaluated :]

    @property
    def written(self) -> int:
        return len(self.tokens) - self._prompt_tokens

    def draft(self, most: int) -> list[int]:
        """Return up to `most` tokens that may come next: those that came last time, as far as the grammar allows."""
        guess = self._lookup.draft(most) if most > 0 else []
        constraint = self._constraint
        if constraint is None:
            return guess
        with self._sampler.cost.timed():
            for count, token in enumerate(guess):
                piece = self._vocabulary.pieces[token]
                constraint = constraint.step(piece) if piece else None
                if constraint is None:
                    return guess[:count]
        return guess

    def choose(self, logits: NDArray[np.float32]) -> None:
        """Take the next token from the logits behind the last one, and what the grammar forces after it."""
        try:
            choice = self._sampler.choose(logits, self._constraint)
        except DeadEnd:
            raise BackendError(
                "The grammar asks for characters that no token of this model spells. Allow others in it.",
                fault="grammar",
            ) from None
        if choice.token in self._vocabulary.ends:
            self.end("end")
            return
        self._constraint = choice.constraint
        self._append(choice.token)
        self.force()

    def force(self) -> None:
        """Append what the grammar leaves no choice about."""
        constraint = self._constraint
        if constraint is None or self.stop is not None:
            return
        if self._forcing is not None:
            with self._sampler.cost.timed():
                forced = self._forcing.tokens(constraint)
            for token, after in forced:
                self._constraint = constraint = after
                self._append(token)
                self._forced += 1
                if self.stop is not None:
                    return
        if constraint.complete:
            self.end("end")

    def _append(self, token: int) -> None:
        self.tokens.append(token)
        self._lookup.add(token)
        self._show(self._stream.push(self._vocabulary.pieces[token]))
        if self._stream.stopped:
            self.end("end")
        elif self.written >= self._max_tokens:
            self.end("length")

    def end(self, reason: StopReason) -> None:
        """Write no more. Only the first reason counts."""
        if self.stop is None:
            self.stop = reason
            self._show(self._stream.finish())

    def _show(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._on_text(self.index, text)

    def result(self) -> Candidate:
        return Candidate(
            text="".join(self._text),
            stop=self.stop or "length",
            tokens=self.written,
            forced_tokens=self._forced,
            drafted_tokens=self.drafted,
        )
