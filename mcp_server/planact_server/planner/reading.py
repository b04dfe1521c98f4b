"""What a model's text comes to: a plan, an answer in words, or nothing that can be used. Pure.

One rule for every backend, with the grammar and without: all blocks of Python together are the plan, in their order.
A text that is held to the grammar has one, for the grammar ends it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from planact_quantized.prompt import BrokenPlan, FencedPlan, extract
from planact_server.sandbox import PlanError

if TYPE_CHECKING:
    from planact_server.planner.writing import Text


@dataclass(frozen=True, slots=True)
class PlanText:
    """A plan."""

    source: str


@dataclass(frozen=True, slots=True)
class Prose:
    """The model's own answer: it found that no tool is needed."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Neither; the error says why, for the model and for people."""

    error: PlanError


Reading: TypeAlias = PlanText | Prose | Unreadable


def read(text: Text) -> Reading:
    """Tell what a text is; of several blocks one plan is made.

    A text that was cut off is never an answer, and half a plan is never run: it is not what was asked for.
    """
    if text.circle is not None:
        return _unreadable(f"The answer went round in circles and was stopped: {text.circle}.", "Write a short plan.")
    extracted = extract(text.text)
    if isinstance(extracted, FencedPlan):
        return PlanText(extracted.source) if _has_code(extracted.source) else _unreadable("The code block is empty.")
    if isinstance(extracted, BrokenPlan):
        return _unreadable(_BROKEN[extracted.reason, text.stop == "length"], "Write a short plan and close its block.")
    if text.stop == "length":
        return _unreadable("The answer was cut off at its greatest length before any code.", "Think less, write code.")
    return Prose(extracted.text) if extracted.text else _unreadable("The answer is empty.")


_BROKEN = {
    ("unterminated", False): "The code block was not closed.",
    ("unterminated", True): "The code block was not finished when the answer reached its greatest length.",
    ("empty", False): "The code block is empty.",
    ("empty", True): "The code block is empty.",
}


def no_plan(text: str) -> PlanError:
    """Return the error for an answer in words where a plan was asked for."""
    said = text if len(text) <= 200 else f"{text[:200]}…"
    return PlanError(type="NoPlanError", message=f"There is no code block in the answer: {said!r}.", hint=_HINT)


_HINT = "Answer with one ```python block that holds the whole plan."


def _unreadable(message: str, hint: str = "") -> Unreadable:
    return Unreadable(PlanError(type="NoPlanError", message=message, hint=f"{hint} {_HINT}".strip()))


def _has_code(source: str) -> bool:
    """Say whether there is more than comments. What Python cannot read may well be meant as code."""
    return any(line.strip() and not line.strip().startswith("#") for line in source.splitlines())
