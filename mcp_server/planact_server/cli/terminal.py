"""What commands share: options, tables for people on standard error, JSON for programs on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, cast

import typer

from planact_server.cli.place import as_usable
from planact_server.config import Config, ConfigError, load_config
from planact_tools import JSONValue

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="A planact.toml to use besides your own; PLANACT_CONFIG does the same.", metavar="FILE"
    ),
]
JSONOption = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens on standard error.")]


GAP = 2
"""Spaces between the columns of a table."""

NARROWEST = 12
"""What the last column of a table keeps at least, in characters."""

NARROW = 60
"""Columns of a screen below which what would stand beside each other stands below each other."""

NOTICEABLE_SECONDS = 0.5
"""What takes longer should say what it waits for."""

if TYPE_CHECKING:
    from rich.console import Console

_TERMINAL_IN, _TERMINAL_OUT = ("CONIN$", "CONOUT$") if sys.platform == "win32" else ("/dev/tty", "/dev/tty")


def examples(*commands: str) -> str:
    """Return the end of a command's help: lines that can be pasted."""
    # The first character keeps the help's writer from joining the lines.
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])


class UsageError(Exception):
    """Wrong usage or configuration: exit code 2. The message says what to do."""


def refuse_options_before(context: typer.Context) -> None:
    """Complain about options that were given to a group and would be lost on its subcommand."""
    given = [name for name, value in context.params.items() if value]
    if given:
        option = {"as_json": "json"}.get(given[0], given[0])
        command = f"{context.command_path} {context.invoked_subcommand}"
        raise UsageError(f"`--{option}` belongs behind the subcommand: `{command} … --{option}`.")


def console() -> Console:
    """Return the console for people, on standard error."""
    from rich.console import Console  # 50 ms that `serve` need not spend

    return Console(stderr=True, highlight=False, emoji=False)


def complain(message: str) -> None:
    """Say something on standard error, if anybody can hear it; commands in it can be pasted."""
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: standard error was closed from the start
        sys.stderr.write(f"planact: {visible(as_usable(message))}\n")
        sys.stderr.flush()


def print_out(text: str) -> None:
    """Write on standard output. Raises UsageError where that cannot be; ends quietly where nobody reads on."""
    out = cast("TextIO | None", sys.stdout)
    if out is None:
        raise UsageError("Standard output is closed, so nothing can be printed there.")
    try:
        out.write(text)
        out.flush()
    except OSError as error:
        # What is still in the buffer would be written again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(1) from None
        raise UsageError(f"Standard output cannot be written: {error.strerror or error}.") from None


def print_json(value: JSONValue) -> None:
    """Print a value on standard output, in letters that its encoding has."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(getattr(sys.stdout, "encoding", "utf-8"))
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print_out(f"{text}\n")


def visible(text: str) -> str:
    """Spell out control characters, which could rewrite what a person sees on the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, folded: bool = False) -> None:
    """Show rows on standard error, one line each; the last column gives way first, and is `folded` or cut.

    On a narrow screen that has no room for them a row is its first cell, and the others below. Where there is no
    screen at all, nothing gives way.
    """
    from rich.text import Text

    out = console()
    lines = [headers, *([visible(cell).replace("\n", " ") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    room = out.width - GAP * (len(widths) - 1)
    if out.is_terminal or "COLUMNS" in os.environ:
        if out.width < NARROW and sum(widths) > room:
            _print_below_each_other(out, lines)
            return
        widths = _fitted(widths, room)
    shape = _fold if folded else _cut
    for number, line in enumerate(lines):
        cells = [shape(cell, width) for cell, width in zip(line, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            shown = (" " * GAP).join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
            # Not as markup: values may hold square brackets.
            out.print(Text(shown.rstrip(), style="" if number else "bold"), soft_wrap=True)


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns that fit into so much room."""
    *others, last = widths
    fitted = [*others, min(last, max(room - sum(others), NARROWEST))]
    while sum(fitted) > room and max(fitted) > 1:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _fold(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False) or [""]


def _cut(text: str, width: int) -> list[str]:
    return [cut(text, width)]


def _print_below_each_other(out: Console, lines: Sequence[Sequence[str]]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    (_, *headers), *rows = lines
    for first, *cells in rows:
        out.print(Text(first, style="bold"), overflow="fold")
        told = [f"{header} {cell}" for header, cell in zip(headers, cells, strict=True) if cell]
        out.print(Padding(Text(" · ".join(told), overflow="fold"), (0, 0, 0, 2), expand=False))


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


@asynccontextmanager
async def waiting(describe: Callable[[], str]) -> AsyncGenerator[None]:
    """Show on a terminal what the block waits for, once it takes noticeably long, and for how long already."""
    out = console()
    if not out.is_terminal or out.is_dumb_terminal:
        yield
        return
    task = asyncio.create_task(_show_waiting(out, describe))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _show_waiting(out: Console, describe: Callable[[], str]) -> None:
    from rich.text import Text

    started = time.monotonic()
    await asyncio.sleep(NOTICEABLE_SECONDS)
    with out.status("") as status:
        while True:
            # Its width less the spinner: a line that wraps would be left behind on the screen.
            text = Text(f"{visible(describe())} · {time.monotonic() - started:.0f} s", style="dim")
            text.truncate(out.width - 4, overflow="ellipsis")
            status.update(text)
            await asyncio.sleep(NOTICEABLE_SECONDS)


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
        # Two files: one that is both read and written would have to be seekable.
        with (
            Path(_TERMINAL_IN).open(encoding="utf-8", errors="replace") as answers,
            Path(_TERMINAL_OUT).open("w", encoding="utf-8", errors="replace") as questions,
        ):
            questions.write(f"{visible(question)} [y/N] ")
            questions.flush()
            return answers.readline().strip().lower() in ("y", "yes")
    except OSError:
        return None


def log_to_stderr(*, verbose: bool) -> None:
    """Send the log to standard error: warnings, or everything."""
    level = logging.INFO if verbose else logging.WARNING
    handler = _StandardError()
    # Libraries that set a level of their own do not ask the root's.
    handler.setLevel(level)
    logging.basicConfig(handlers=[handler], level=level, format="planact: %(message)s", force=True)


class _StandardError(logging.Handler):
    """Writes to what standard error is at the moment: above the line of `waiting`, not into it."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{visible(self.format(record))}\n")
        sys.stderr.flush()
