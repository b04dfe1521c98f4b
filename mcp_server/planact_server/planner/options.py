"""What the planner may do: one switch for each of its pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planact_quantized.prompt import PromptVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerOptions:
    """How a task becomes a plan. Every default can be switched off on its own."""

    attempts: int = 3
    """Plans written one after the other, each with the error of the one before. 1: nothing is repaired."""

    candidates: int = 4
    """Plans written side by side once all attempts have failed; the one that agrees most with the others is run.
    0 or 1: none. Never more than the backend writes at once."""

    temperature: float = 0.7
    """Of the candidates. Everything else is written greedily: the same request gives the same plan."""

    grammar: bool = True
    """Hold plans to known functions, their parameters and the plan language, where the backend can."""

    repetition: bool = True
    """Stop a text that goes round in circles."""

    expansion: bool = False
    """A plan may call functions `todo_…` that do not exist; each is written when it is called. Dria's prompt does
    not tell a model so: worth it with models that know."""

    expansion_depth: int = 2
    """How deep functions written so may call others written so."""

    ask_model: bool = True
    """A plan may ask the model about data, with `ask_model(instruction, data, schema)`."""

    tools: int = 40
    """Most tools in the prompt; also fewer, where they would not fit."""

    max_tokens: int = 1024
    """Longest text, in tokens."""

    seconds: float = 300.0
    """Longest time for one text, waiting and reading the prompt included."""

    prompt: PromptVersion = "evaluation"
    """Dria's prompt as it came with the benchmark, or with the package `dria_agent`."""
