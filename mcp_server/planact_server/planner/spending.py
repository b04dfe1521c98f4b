"""What writing for one task has cost, added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planact_quantized import BackendInfo, Completion
    from planact_tools import JSONObject


class Spending:
    """Adds up requests."""

    def __init__(self) -> None:
        self._requests = 0
        self._prompt = self._evaluated = self._generated = self._forced = self._drafted = 0
        self._seconds = 0.0

    def add(self, completion: Completion) -> None:
        usage = completion.usage
        self._requests += 1
        self._prompt += usage.prompt_tokens
        self._evaluated += usage.evaluated_tokens
        self._generated += usage.generated_tokens or sum(each.tokens for each in completion.candidates)
        self._forced += sum(each.forced_tokens for each in completion.candidates)
        self._drafted += sum(each.drafted_tokens for each in completion.candidates)
        self._seconds += usage.seconds

    def as_json(self, info: BackendInfo | None) -> JSONObject | None:
        """Return the answer's `usage`; None where nothing was written."""
        if not self._requests or info is None:
            return None
        return {
            "model": info.model,
            "requests": self._requests,
            "prompt_tokens": self._prompt,
            "evaluated_tokens": self._evaluated,
            "generated_tokens": self._generated,
            "forced_tokens": self._forced,
            "drafted_tokens": self._drafted,
            "seconds": round(self._seconds, 3),
        }
