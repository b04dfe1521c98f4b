"""How far a long piece of work is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from planact_server.cli.terminal import complain, console, visible

if TYPE_CHECKING:
    from rich.console import Console

    from planact_quantized.models.large_files import Report

EVERY_SECONDS = 10.0
"""Between lines where there is no terminal: a log should not fill up."""


@contextmanager
def showing(title: str) -> Generator[tuple[Report, Callable[[str], None]]]:
    """Yield what reports bytes done, and what says a line meanwhile."""
    out = console()
    if out.is_terminal and not out.is_dumb_terminal:
        with _bar(out, title) as pair:
            yield pair
    else:
        yield _lines(title), complain


@contextmanager
def _bar(out: Console, title: str) -> Generator[tuple[Report, Callable[[str], None]]]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True, expand=True) as progress:
        task = progress.add_task(visible(title), total=None)

        def report(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield report, lambda line: progress.print(visible(line), markup=False)


def _lines(title: str) -> Report:
    from planact_quantized.models.large_files import megabytes

    said = time.monotonic()

    def report(done: int, total: int | None) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= EVERY_SECONDS:
            said = now
            share = f" of {megabytes(total)} ({100 * done // total} %)" if total else ""
            complain(f"{title}: {megabytes(done)}{share}")

    return report
