"""From a goal in plain words to a plan that has run: the seam between the executor and the planner.

The planner decides what to write and when to try again; it runs nothing itself. The executor gives it a
`Ground`: the session that the plan is for, where plans can be rehearsed without consequences and tried in earnest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_server.answer import Attempt, CallRecord
    from planact_server.catalog.catalog import Catalog
    from planact_server.planner.spending import Spending
    from planact_server.sandbox import Outcome, PlanError
    from planact_tools import JSONObject, JSONValue


PLACEHOLDER = "todo_"
"""What the name of a function begins with that a plan may call before it is written; the plan grammar has the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one plan came to, rehearsed or in earnest."""

    outcome: Outcome
    calls: tuple[CallRecord, ...] = ()
    """In program order; those that a stand-in answered are marked."""

    final: bool = False
    """Trying again cannot help or must not happen: cancelled, denied, waiting for a person."""


class Ground(Protocol):
    """Where plans are tried: one session of one client."""

    @property
    def catalog(self) -> Catalog:
        """The generation that this request is pinned to."""
        ...

    @property
    def variables(self) -> Mapping[str, JSONValue]:
        """The session's data as they were before the first attempt."""
        ...

    @property
    def functions(self) -> Sequence[str]:
        """Names of the functions, classes and modules that the session held before the first attempt."""
        ...

    @property
    def spending(self) -> Spending:
        """Where the cost of every text for this request is added up."""
        ...

    async def rehearse(self, plan: str) -> Trial:
        """Run a plan with every tool call answered by a typed stand-in; the session stays as it was."""
        ...

    async def attempt(self, plan: str) -> Trial:
        """Run a plan in earnest, from the session as it was before the first attempt.

        A call identical to a completed write of an earlier attempt gets that call's result and is not made again.
        """
        ...

    async def report(self, text: str, fraction: float | None = None) -> None:
        """Tell whoever waits how far the planning is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """How planning ended. Exactly one of `trial`, `text` and `error` says what there is to say."""

    plan: str | None = None
    """The plan that ran last."""

    trial: Trial | None = None
    """What it came to."""

    text: str | None = None
    """The model's own answer, where it found that no tool is needed."""

    error: PlanError | None = None
    """Why there is no plan: no model, no answer, nothing that could be read as a plan."""

    attempts: tuple[Attempt, ...] = ()
    """All plans in order, the one that ran last included."""

    warnings: tuple[str, ...] = ()
    """What a person should know: tools left out of the prompt, a model on another host."""


class TaskPlanner(Protocol):
    """Turns a task into a plan that has run."""

    async def carry_out(self, task: str, ground: Ground) -> Planned:
        """Write a plan, try it, repair it. Never raises for anything that the model or a plan does."""
        ...

    async def expand(
        self, name: str, arguments: Mapping[str, JSONValue], *, plan: str, depth: int, spending: Spending
    ) -> str:
        """Return the source of a function `name` that a plan called and did not define.

        What it cost is added to `spending`, of the request that the plan belongs to. Raises PlanningError when
        expansion is off, too deep, or the model has no usable answer.
        """
        ...

    async def ask_model(
        self, instruction: str, *, data: JSONValue, schema: JSONObject | None, spending: Spending
    ) -> JSONValue:
        """Return the model's answer about some data, held to a JSON schema. Raises PlanningError."""
        ...


class PlanningError(Exception):
    """The planner has no answer; the message says why and what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


__all__ = ["PLACEHOLDER", "Ground", "Planned", "PlanningError", "TaskPlanner", "Trial"]
