"""`planact run`: one plan, or one task for the planner, without a host."""

from __future__ import annotations

import asyncio
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli.entries import read_servers_config
from planact_server.cli.interrupt import on_interrupt
from planact_server.cli.report import print_answer
from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    UsageError,
    VerboseOption,
    complain,
    examples,
    log_to_stderr,
    print_json,
    waiting,
)
from planact_server.config import Config
from planact_server.request import PlanRequest, RequestError, read_request
from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_server.app import App

USAGE_ERRORS = ("RequestError", "SessionError")


def register(app: typer.Typer) -> None:
    app.command(
        "run",
        epilog=examples(
            "planact run --code plan.py",
            "echo '2 + 2' | planact run --code - --json",
            "planact run --code next.py --session s_…   # goes on with the variables of an earlier plan",
            "planact run --code plan.py --dry-run       # which calls it would make; nothing is changed",
            'planact run --task "Which of my meetings overlap next week?"',
        ),
    )(run)


def run(
    code: Annotated[
        str | None, typer.Option("--code", metavar="FILE|-", help="The plan: a file, or - for standard input.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TEXT", help="A goal for the on-device planner.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="HANDLE", help="Go on with this session.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing: writes are only recorded.")] = False,
    timeout: Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Deadline of the plan.")] = None,
    max_chars: Annotated[int | None, typer.Option("--max-chars", metavar="N", help="Budget of the answer.")] = None,
    config: ConfigOption = None,
    as_json: JSONOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Run one plan and show what it did.

    With --task the on-device planner (or the server that [planner] names) writes the plan first. With --dry-run
    reads are real, and every other call is answered by a made-up value and only shown.

    What it did is shown on standard error; with --json it is one object on standard output. Ctrl-C stops the
    plan and shows what it had done. Exit codes: 0 ok, 1 the plan failed, 2 wrong usage, 3 approval needed,
    130 stopped by Ctrl-C.
    """
    log_to_stderr(verbose=verbose)
    arguments: JSONObject = {
        "code": _read_plan(code) if code is not None else None,
        "task": task,
        "session": session,
        "mode": "dry_run" if dry_run else None,
        "timeout_seconds": timeout,
        "max_chars": max_chars,
        "wait_seconds": 86_400,
    }
    if code is None and task is None:
        raise UsageError("Nothing to run: give --code FILE, --code - for standard input, or --task TEXT.")
    try:
        request = read_request({name: value for name, value in arguments.items() if value is not None})
    except RequestError as error:
        raise UsageError(f"{error.message} {error.hint or ''}".strip()) from None
    answer = asyncio.run(run_request(read_servers_config(config), request))
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)
    return exit_code(answer)


def exit_code(answer: JSONObject) -> int:
    """Return the exit code for an answer."""
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if isinstance(first, dict) and first.get("type") in USAGE_ERRORS:
        return 2
    match answer["status"]:
        case "ok":
            return 0
        case "approval_required":
            return 3
        case "cancelled":
            return 130
        case _:
            return 1


def _read_plan(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the plan {source!r}: {error}") from None


async def run_request(settings: Config, request: PlanRequest) -> JSONObject:
    """Carry out one request without a host; Ctrl-C stops it, and what it had done is in the answer."""
    from planact_server.app import open_app

    # A pack may print. Standard output is for the answer alone.
    with redirect_stdout(sys.stderr):
        async with open_app(settings) as opened:
            for problem in opened.problems:
                complain(problem)
            with on_interrupt(opened.runs.cancel_all):
                return await carry_out(opened, request)


async def carry_out(opened: App, request: PlanRequest) -> JSONObject:
    """Carry out a request of the user's own, and show on a terminal what is being done; return the answer."""
    from planact_server.answer import shrink
    from planact_server.server import LOCAL_CLIENT

    said = "Running the plan" if request.task is None else "Planning"

    async def reported(text: str, fraction: float | None) -> None:
        nonlocal said
        said = text if fraction is None else f"{text} ({fraction:.0%})"

    async with waiting(lambda: f"{said}{_still_starting(opened)}"):
        reply = await opened.executor.execute(request, client=LOCAL_CLIENT, listener=reported)
    run = reply.answer.get("run")
    return shrink(reply.answer, request.max_chars, link=lambda path: f"planact://runs/{run}/{path}")


def _still_starting(app: App) -> str:
    names = ", ".join(app.toolbox.unheard)
    return f" (starting: {names})" if names else ""
