"""What writing for one request has cost, added up: plans, functions for them, answers about data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planact_quantized import Completion
    from planact_tools import JSONObject


class Spending:
    """Adds up requests."""

    def __init__(self) -> None:
        self._model = ""
        self._requests = 0
        self._prompt = self._evaluated = self._generated = self._forced = self._drafted = 0
        self._seconds = 0.0

    def add(self, completion: Completion, *, model: str) -> None:
        """Add what `model` wrote."""
        usage = completion.usage
        self._model = model
        self._requests += 1
        self._prompt += usage.prompt_tokens
        self._evaluated += usage.evaluated_tokens
        self._generated += usage.generated_tokens or sum(each.tokens for each in completion.candidates)
        self._forced += sum(each.forced_tokens for each in completion.candidates)
        self._drafted += sum(each.drafted_tokens for each in completion.candidates)
        self._seconds += usage.seconds

    def as_json(self) -> JSONObject | None:
        """Return the answer's `usage`; None where nothing was written."""
        if not self._requests:
            return None
        return {
            "model": self._model,
            "requests": self._requests,
            "prompt_tokens": self._prompt,
            "evaluated_tokens": self._evaluated,
            "generated_tokens": self._generated,
            "forced_tokens": self._forced,
            "drafted_tokens": self._drafted,
            "seconds": round(self._seconds, 3),
        }
