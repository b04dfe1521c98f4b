"""`planact eval`: how good the plans are, on benchmarks with known answers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    UsageError,
    VerboseOption,
    complain,
    console,
    examples,
    log_to_stderr,
    print_json,
    print_table,
    read_config,
)
from planact_tools import JSONObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from planact_server.config import Config
    from planact_server.evaluation.dpab import Item
    from planact_server.evaluation.plans import PlanSource
    from planact_server.evaluation.results import ItemResult

PLAN_SECONDS = 20.0
"""For one plan. The benchmark's functions answer at once."""

eval_app = typer.Typer(
    help="Measure how good the plans of a model are.",
    epilog=examples("planact eval dpab eval_alpha.jsonl --limit 10"),
)


class Protocol(StrEnum):
    """How a plan comes to be."""

    published = "published"
    planner = "planner"


def register(app: typer.Typer) -> None:
    app.add_typer(eval_app, name="eval")


@eval_app.callback()
def _eval() -> None:
    """Measure how good the plans of a model are."""


@eval_app.command(
    "dpab",
    epilog=examples(
        "planact eval dpab eval_alpha.jsonl --limit 10",
        "planact eval dpab eval_alpha.jsonl --protocol planner --out results.jsonl   # again: goes on",
        "planact eval dpab eval_alpha.jsonl --plans plans.jsonl --json",
    ),
)
def dpab(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The benchmark, one JSON object a line.")],
    plans: Annotated[
        Path | None, typer.Option("--plans", metavar="FILE", help='Ready plans: lines of {"row": 0, "plan": "…"}.')
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option("--protocol", help="`published`: one answer as it is; `planner`: with repair and candidates."),
    ] = Protocol.published,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N items.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Keep results here, and go on with what is there.")
    ] = None,
    config: ConfigOption = None,
    as_json: JSONOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Run DPAB, Dria's benchmark of plans in Python.

    The plans are those of the planner of your configuration, or ready ones.

    Every plan is judged twice: as published, and by what it called. The benchmark's functions are code of strangers
    and run in the jail only. Exit codes: 0 all items were judged, 1 it had to stop, 2 wrong usage, 130 Ctrl-C; with
    --out the same command goes on from there.
    """
    from planact_quantized import BackendError
    from planact_server.evaluation.dpab import DPABError, read_items
    from planact_server.evaluation.results import ResultsError
    from planact_server.sandbox import EngineError

    log_to_stderr(verbose=verbose)
    settings = read_config(config)
    try:
        items = read_items(file)
        results, what = asyncio.run(_run(settings, items, limit, plans, protocol, out))
    except (DPABError, ResultsError) as error:
        raise UsageError(str(error)) from None
    except (BackendError, EngineError) as error:
        complain(str(error))
        return 1
    if as_json:
        print_json({"summary": what, "results": [result.as_json() for result in results]})
    else:
        _print(results, what)
    return 0


async def _run(
    settings: Config,
    items: Sequence[Item],
    limit: int | None,
    plans: Path | None,
    protocol: Protocol,
    out: Path | None,
) -> tuple[list[ItemResult], JSONObject]:
    from planact_server.evaluation.evaluating import describe, evaluate
    from planact_server.evaluation.results import ResultFile, summary
    from planact_server.sandbox.host import open_engine

    async with AsyncExitStack() as stack:
        source = await _source(stack, settings, plans, protocol)
        what = await describe(items, source)
        limits = replace(settings.sandbox.limits, seconds=PLAN_SECONDS)
        engine = open_engine(
            settings.sandbox.engine, limits=limits, warm_workers=2, allow_weaker=settings.sandbox.allow_weaker
        )
        stack.push_async_callback(engine.aclose)
        kept = stack.enter_context(ResultFile(out, what=what))
        chosen = items[:limit]
        progress = stack.enter_context(_Progress(console(), total=len(chosen)))
        results: list[ItemResult] = []
        async for result in evaluate(chosen, source, engine=engine, limits=limits, known=kept.known):
            if result.item not in kept.known:
                kept.add(result)
            results.append(result)
            progress.advance(results)
        return results, summary(results, what=what)


async def _source(stack: AsyncExitStack, settings: Config, plans: Path | None, protocol: Protocol) -> PlanSource:
    from planact_server.evaluation.plans import PlannedPlans, ReadyPlans, SinglePlans

    if plans is not None:
        return ReadyPlans.read(plans)
    from planact_server.planner.opening import late_backend

    backend = late_backend(settings.planner, settings.model, state=settings.state)
    stack.push_async_callback(backend.aclose)
    if protocol is Protocol.published:
        return SinglePlans(backend)
    from planact_server.planner.options import PlannerOptions
    from planact_server.planner.planner import Planner

    switches = settings.planner.model_dump(include={field.name for field in fields(PlannerOptions)})
    # The benchmark's tasks are to be solved with its own functions.
    options = replace(PlannerOptions(**switches), expansion=False, ask_model=False)
    return PlannedPlans(Planner(backend, options), backend)


class _Progress:
    """A bar on a terminal, with the scores so far; nothing elsewhere."""

    def __init__(self, out: Console, *, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        shown = out.is_terminal and not out.is_dumb_terminal
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=out, transient=True, disable=not shown)
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> _Progress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, results: Sequence[ItemResult]) -> None:
        from planact_server.evaluation.scoring import accuracy

        right = accuracy(float(result.published.strict) for result in results)
        self._progress.update(self._task, completed=len(results), description=f"{right:g} % as published")


def _print(results: Sequence[ItemResult], what: JSONObject) -> None:
    """Show the items that were not solved, then the figures."""
    from planact_server.evaluation.scoring import accuracy

    missed = [result for result in results if not (result.published.strict and result.observed.strict)]
    if missed:
        rows = [
            [
                str(result.row),
                f"{result.published.total:.2f}",
                f"{result.observed.total:.2f}",
                result.status,
                result.errors[0] if result.errors else "",
            ]
            for result in missed
        ]
        print_table(["row", "published", "observed", "status", "why"], rows)
    solved = len(results) - len(missed)
    out = console()
    out.print(f"{len(results)} items, {solved} solved in both ways", markup=False)
    for name in ("published", "observed"):
        scores = [getattr(result, name) for result in results]
        strict = accuracy(float(score.strict) for score in scores)
        mean = accuracy(score.total for score in scores)
        out.print(f"  {name:10} strict {strict:6.2f} %   mean {mean:6.2f} %", markup=False)
    out.print(f"  plans that ended well {what['without_error']} %, {what['seconds']} s for the plans", markup=False)
