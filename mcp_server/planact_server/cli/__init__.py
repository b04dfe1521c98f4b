"""The command line. `main(argv) -> int` is what tests call; each command parses, calls one thing, prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from planact_server.cli import demo, doctor, packs, run, serve, servers, tools, trust
from planact_server.cli.terminal import UsageError, complain

OK, FAILED, WRONG, APPROVAL = 0, 1, 2, 3
INTERRUPTED = 130

app = typer.Typer(
    name="planact",
    help="One MCP tool that runs Python plans over all your other MCP tools, in a process of their own.",
    epilog="Try it: planact demo · Add it to a host: planact serve · Check it: planact doctor",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from planact_server import __version__

        sys.stdout.write(f"planact {__version__}\n")
        raise typer.Exit


@app.callback()
def _planact(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    del version


demo.register(app)
serve.register(app)
run.register(app)
tools.register(app)
servers.register(app)
packs.register(app)
trust.register(app)
doctor.register(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 ok, 1 the plan failed, 2 wrong usage, 3 approval needed."""
    try:
        code = app(args=list(sys.argv[1:] if argv is None else argv), prog_name="planact", standalone_mode=False)
    except UsageError as error:
        complain(str(error))
        return WRONG
    except typer.Exit as stop:
        return stop.exit_code
    except typer.TyperException as error:
        complain(
            f"{error.format_message()} `planact --help` lists the commands, `planact COMMAND --help` their options."
        )
        return WRONG
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return code if isinstance(code, int) else OK


def entry_point() -> None:
    """The `planact` command."""
    sys.exit(main())
