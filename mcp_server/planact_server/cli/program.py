"""All commands together, and what the program makes of their outcome; each command parses, calls one thing, prints."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import typer
import typer.core

from planact_server.cli import INTERRUPTED
from planact_server.cli.terminal import UsageError, complain, print_out
from planact_server.database import StoreError

OK, FAILED, WRONG, APPROVAL = 0, 1, 2, 3

EPILOG = """\
\b
Begin with:
  planact demo                   two plans at work, in a throw-away folder
  planact hosts install cursor   Planact in your chat client, editor or agent
  planact doctor                 what is in force, and what to do about it
  planact run --code plan.py     a plan of your own
  planact models setup           a model on this machine, so that it writes the plans

\b
Exit codes: 0 ok, 1 the plan failed or something is broken, 2 wrong usage or
configuration, 3 approval needed, 130 stopped by Ctrl-C."""

COMMANDS = {
    **{name: name for name in ("demo", "run", "ask", "serve", "tools", "servers", "hosts", "packs", "models")},
    "eval": "evaluate",
    "trust": "trust",
    "init": "trust",
    "doctor": "doctor",
}
"""Command → its module, in the order of the help: as a newcomer meets them."""


class _InOrder(typer.core.TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: self.commands[name] for name in COMMANDS if name in self.commands}


@functools.cache
def program(*commands: str) -> typer.Typer:
    """Return the program with these commands, all if none is named: reading all modules takes longer than most do."""
    app = typer.Typer(
        name="planact",
        help="One MCP tool that runs Python plans over all your other MCP tools, in a process of their own.",
        epilog=EPILOG,
        cls=_InOrder,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_planact)
    for module in dict.fromkeys(COMMANDS[name] for name in commands or COMMANDS):
        importlib.import_module(f"planact_server.cli.{module}").register(app)
    return app


def _version(value: bool) -> None:
    if value:
        from planact_server import __version__

        print_out(f"planact {__version__}\n")
        raise typer.Exit


def _planact(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    del version


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        app = program(*(name for name in arguments[:1] if name in COMMANDS))
        code = app(args=list(arguments) or ["--help"], prog_name="planact", standalone_mode=False)
    except (UsageError, StoreError) as error:
        complain(str(error))
        return WRONG
    except typer.Exit as stop:
        return stop.exit_code
    except typer.TyperException as error:
        complain(_explained(error))
        return WRONG
    except typer.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else OK


def _explained(error: typer.TyperException) -> str:
    """Return what was wrong with the command line, and whose help to read."""
    context = getattr(error, "ctx", None)  # only usage errors have one
    command = getattr(context, "command_path", "planact")
    message = error.format_message()
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} `{command} --help` shows what there is."
