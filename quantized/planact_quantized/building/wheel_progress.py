"""Showing how far a build is: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from planact_quantized.building.wheel_build import Step, StepReport

LINES = 10
"""Of compiling, where there is no bar."""


@contextmanager
def showing() -> Generator[StepReport]:
    """Show steps on standard error while the block runs."""
    from rich.console import Console  # noqa: PLC0415 - nobody who builds nothing should wait for it

    console = Console(stderr=True, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        with _bar(console) as report:
            yield report
    else:
        yield _Lines().report


@contextmanager
def _bar(console: object) -> Generator[StepReport]:
    from rich import progress  # noqa: PLC0415 - as above

    columns = (
        progress.TextColumn("llama.cpp: {task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:  # pyright: ignore[reportArgumentType]
        task = bar.add_task("preparing", total=None)

        def report(step: Step) -> None:
            bar.update(task, description=step.phase, completed=step.done, total=step.total or None)

        yield report


class _Lines:
    def __init__(self) -> None:
        self._said: tuple[str, int] | None = None

    def report(self, step: Step) -> None:
        tenth = step.done * LINES // step.total if step.total else 0
        if (step.phase, tenth) == self._said:
            return
        self._said = (step.phase, tenth)
        count = f" {step.done}/{step.total}" if step.total else ""
        sys.stderr.write(f"llama.cpp: {step.phase}{count}\n")
        sys.stderr.flush()
