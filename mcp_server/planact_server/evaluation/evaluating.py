"""All items of a benchmark, one after the other: write a plan, run it both ways, keep the result."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from planact_server.evaluation.mocked import mock_ground
from planact_server.evaluation.published import published_score
from planact_server.evaluation.results import ItemResult
from planact_server.evaluation.scoring import Score, is_found, nothing_found, score

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from planact_server.evaluation.dpab import Item
    from planact_server.evaluation.plans import PlanSource, Written
    from planact_server.planner import Trial
    from planact_server.sandbox import Engine, Limits
    from planact_tools import JSONObject

NO_PLAN = "no_plan"


async def evaluate(
    items: Sequence[Item],
    source: PlanSource,
    *,
    engine: Engine,
    limits: Limits,
    known: Mapping[str, ItemResult] | None = None,
) -> AsyncGenerator[ItemResult]:
    """Give the result of every item in order; those that are known are not made again.

    Raises BackendError where plans cannot be had at all, and EngineError where none can be run.
    """
    for item in items:
        yield (known or {}).get(item.digest) or await _evaluate(item, source, engine, limits)


async def describe(items: Sequence[Item], source: PlanSource) -> JSONObject:
    """Say what is evaluated, so that results of two evaluations are not mixed. Raises BackendError."""
    digest = hashlib.sha256("".join(item.digest for item in items).encode()).hexdigest()[:16]
    return {"benchmark": "dpab", "file": digest, "plans": await source.describe()}


async def _evaluate(item: Item, source: PlanSource, engine: Engine, limits: Limits) -> ItemResult:
    async with mock_ground(item, engine=engine, limits=limits) as ground:
        started = time.perf_counter()
        written = await source.plan(item, ground)
        seconds = time.perf_counter() - started
        if written.plan is None:
            return _without_plan(item, written, seconds)
        published, _ = await published_score(item, written.plan, engine=engine, limits=limits)
        trial = written.trial or await ground.attempt(written.plan)
    return ItemResult(
        row=item.row,
        item=item.digest,
        published=published,
        observed=observed_score(item, trial),
        status=trial.outcome.status,
        plan=written.plan,
        errors=tuple(f"{error.type}: {error.message}" for error in trial.outcome.errors),
        attempts=written.attempts,
        seconds=seconds,
        usage=written.usage,
    )


def observed_score(item: Item, trial: Trial) -> Score:
    """Return the score of a plan as Planact saw it: its variables, and the calls that gave a result."""
    variables = list(trial.outcome.variables.values())
    return score(
        item.checklist,
        values_found=[is_found(value, variables) for value in item.checklist.values],
        functions={record.function for record in trial.calls if record.ok},
    )


def _without_plan(item: Item, written: Written, seconds: float) -> ItemResult:
    nothing = nothing_found(item.checklist)
    return ItemResult(
        row=item.row,
        item=item.digest,
        published=nothing,
        observed=nothing,
        status=NO_PLAN,
        plan=None,
        errors=(written.error or "There is no plan.",),
        attempts=written.attempts,
        seconds=seconds,
        usage=written.usage,
    )
