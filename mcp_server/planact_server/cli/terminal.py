"""What commands share: options, tables for people on standard error, JSON for programs on standard output."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.config import Config, ConfigError, load_config
from planact_tools import JSONValue

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="A planact.toml of your own to use as well (or PLANACT_CONFIG).", metavar="FILE"
    ),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens on standard error.")]


SHORT_COLUMN = 12
"""Widths up to this are never cut, in characters."""

if TYPE_CHECKING:
    from rich.console import Console

_TERMINAL = "CON" if sys.platform == "win32" else "/dev/tty"


class UsageError(Exception):
    """Wrong usage or configuration: exit code 2. The message says what to do."""


def console() -> Console:
    """Return the console for people, on standard error."""
    from rich.console import Console  # 50 ms that `serve` need not spend

    return Console(stderr=True, highlight=False, emoji=False)


def complain(message: str) -> None:
    sys.stderr.write(f"planact: {message}\n")


def print_json(value: JSONValue) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


def print_table(title: str | None, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", collapse_padding=True
    )
    for header, column in zip(headers, zip(*cells, strict=True), strict=True):
        longest = max(map(len, (header, *column)))
        # Short columns stay whole; the long ones share what is left.
        table.add_column(header, overflow="ellipsis", no_wrap=True, min_width=min(longest, SHORT_COLUMN))
    for row in cells:
        # Not as markup: values may hold square brackets.
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def read_config(path: Path | None, *, quietly: bool = False) -> Config:
    """Read the configuration in force. Raises UsageError; prints what was left out and why, unless `quietly`."""
    try:
        config = load_config(config_file=path, environ=os.environ, cwd=Path.cwd())
    except ConfigError as error:
        raise UsageError(str(error)) from None
    for notice in () if quietly else config.notices:
        complain(notice)
    return config


def ask_person(question: str) -> bool | None:
    """Ask yes or no on the controlling terminal, whatever standard input is; None where there is no terminal."""
    try:
        with Path(_TERMINAL).open("r+", encoding="utf-8", buffering=1) as terminal:  # line by line
            terminal.write(f"{question} [y/N] ")
            terminal.flush()
            return terminal.readline().strip().lower() in ("y", "yes")
    except (OSError, UnicodeDecodeError):
        return None


def log_to_stderr(*, verbose: bool) -> None:
    """Send the log to standard error: warnings, or everything."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="planact: %(message)s",
        force=True,
    )


@contextmanager
def on_interrupt(stop: Callable[[], Awaitable[None]]) -> Generator[None]:
    """Within the block, the first Ctrl-C awaits `stop`; a second one ends the process as usual."""
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Future[None]] = []

    def interrupted() -> None:
        restore()
        stopping.append(asyncio.ensure_future(stop()))

    def restore() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, previous)

    previous = signal.getsignal(signal.SIGINT)
    if sys.platform == "win32":  # the loop there has no signal handlers: Ctrl-C ends the process
        yield
        return
    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        if not stopping:
            restore()
