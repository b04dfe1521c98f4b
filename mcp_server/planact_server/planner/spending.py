"""What writing for one request has cost, added up: plans, functions for them, answers about data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planact_quantized import BackendInfo, Completion
    from planact_tools import JSONObject


class Spending:
    """Adds up requests."""

    def __init__(self) -> None:
        self._info: BackendInfo | None = None
        self._requests = 0
        self._prompt = self._evaluated = self._generated = self._forced = self._drafted = 0
        self._seconds = 0.0
        self._estimated = False

    @property
    def warning(self) -> str | None:
        """Say where the data went, where that was not this machine."""
        return abroad(self._info) if self._info is not None else None

    def ask(self, info: BackendInfo) -> None:
        """Note who is asked, before anything is sent."""
        self._info = info

    def add(self, completion: Completion) -> None:
        """Add what was written by who was asked last."""
        usage = completion.usage
        self._requests += 1
        self._prompt += usage.prompt_tokens
        self._evaluated += usage.evaluated_tokens
        self._generated += usage.generated_tokens or sum(each.tokens for each in completion.candidates)
        self._forced += sum(each.forced_tokens for each in completion.candidates)
        self._drafted += sum(each.drafted_tokens for each in completion.candidates)
        self._seconds += usage.seconds
        self._estimated = self._estimated or usage.estimated

    def as_json(self) -> JSONObject | None:
        """Return the answer's `usage`; None where nothing was written. `estimated`: some tokens were not counted."""
        if not self._requests or self._info is None:
            return None
        return {
            "model": self._info.model,
            "requests": self._requests,
            "prompt_tokens": self._prompt,
            "evaluated_tokens": self._evaluated,
            "generated_tokens": self._generated,
            "forced_tokens": self._forced,
            "drafted_tokens": self._drafted,
            "seconds": round(self._seconds, 3),
            **({"estimated": True} if self._estimated else {}),
        }


def abroad(info: BackendInfo) -> str | None:
    """Return what a person should know of a backend on another host; None for one on this machine."""
    return None if info.local else f"The planner is on another host: {info.device or info.model}."
