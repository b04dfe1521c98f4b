"""`planact ask`: a local assistant. One task, or one after the other in one session."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli.entries import read_servers_config
from planact_server.cli.report import print_answer
from planact_server.cli.run import carry_out, exit_code, run_request
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
)
from planact_server.config import Config
from planact_server.request import LONGEST_SECONDS, PlanRequest, RequestError, read_request
from planact_tools import JSONObject

if TYPE_CHECKING:
    from collections.abc import Generator

    from planact_server.app import App

PROMPT = "ask> "

HELP = """\
Say what you want done. The planner writes a plan for it, the plan runs, and you see both. Variables stay for the
next task. Ctrl-C stops a task, not the program.

  /new    begin a new session, without the variables of this one
  /help   this text
  /quit   leave; Ctrl-D does the same"""


def register(app: typer.Typer) -> None:
    app.command(
        "ask",
        epilog=examples(
            'planact ask "Which of my meetings overlap next week?"',
            "planact ask                       # one task after the other, in one session",
            "planact ask --dry-run             # the same, and nothing is changed",
            'echo "add 2 and 3" | planact ask --json',
        ),
    )(ask)


def ask(
    task: Annotated[str | None, typer.Argument(metavar="TEXT", help="What is to be done.")] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="HANDLE", help="Go on with this session.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing: writes are only recorded.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="For one task, planning included.")
    ] = None,
    config: ConfigOption = None,
    as_json: JSONOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Have a task done: a plan is written here, run, and shown.

    Without TEXT, tasks are read from the terminal, one after the other, or one from standard input. With --json
    the answer is one object on standard output. Exit codes are those of `planact run`.
    """
    log_to_stderr(verbose=verbose)
    if task is None and not sys.stdin.isatty():
        task = sys.stdin.read()
    if task is not None and not task.strip():
        raise UsageError("Nothing to do: say the task as TEXT, or on standard input.")
    if task is None and as_json:
        raise UsageError("`--json` gives one answer: say the task as TEXT, or on standard input.")
    settings = read_servers_config(config)
    if task is None:
        return asyncio.run(_Conversation(settings, session=session, dry_run=dry_run, timeout=timeout).hold())
    answer = asyncio.run(run_request(settings, _request(task, session=session, dry_run=dry_run, timeout=timeout)))
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)
    return exit_code(answer)


def _request(task: str, *, session: str | None, dry_run: bool, timeout: float | None) -> PlanRequest:
    arguments: JSONObject = {
        "task": task,
        "session": session,
        "mode": "dry_run" if dry_run else None,
        "timeout_seconds": timeout,
        "wait_seconds": LONGEST_SECONDS,
    }
    try:
        return read_request({name: value for name, value in arguments.items() if value is not None})
    except RequestError as error:
        raise UsageError(f"{error.message} {error.hint or ''}".strip()) from None


class _Conversation:
    """One task after the other, on a terminal."""

    def __init__(self, settings: Config, *, session: str | None, dry_run: bool, timeout: float | None) -> None:
        self._settings = settings
        self._session = session
        self._dry_run = dry_run
        self._timeout = timeout
        self._busy = False
        self._cancelling: asyncio.Future[None] | None = None

    async def hold(self) -> int:
        """Read and carry out tasks until the user leaves; return the exit code."""
        from planact_server.app import open_app

        _edit_lines()
        async with open_app(self._settings) as opened:
            for problem in opened.problems:
                complain(problem)
            console().print("What is to be done? [dim]/help says more, Ctrl-D leaves.[/dim]")
            opened.warm_up()
            with self._interruptible(opened):
                while (line := await asyncio.to_thread(_read_line)) is not None:
                    if not await self._take(opened, line.strip()):
                        break
        return 0

    async def _take(self, opened: App, line: str) -> bool:
        """Carry out one line. False: the user wants to leave."""
        match line:
            case "":
                pass
            case "/quit" | "/exit":
                return False
            case "/help":
                console().print(HELP, markup=False)
            case "/new":
                self._session = None
                console().print("A new session.", style="dim")
            case _ if line.startswith("/"):
                complain(f"There is no command {line.split(maxsplit=1)[0]!r}. /help says which there are.")
            case _:
                await self._carry_out(opened, line)
        return True

    async def _carry_out(self, opened: App, task: str) -> None:
        request = _request(task, session=self._session, dry_run=self._dry_run, timeout=self._timeout)
        self._busy = True
        try:
            answer = await carry_out(opened, request)
        finally:
            self._busy = False
        print_answer(answer, handles=False)
        if isinstance(handle := answer.get("session"), str) and "run" in answer:
            self._session = handle

    @contextmanager
    def _interruptible(self, opened: App) -> Generator[None]:
        """Within the block Ctrl-C stops the running task; without one it says how to leave."""
        if sys.platform == "win32":  # the loop there has no signal handlers: Ctrl-C ends the process
            yield
            return
        loop = asyncio.get_running_loop()

        def interrupted() -> None:
            if self._busy:
                self._cancelling = asyncio.ensure_future(opened.runs.cancel_all())
            else:
                sys.stderr.write(f"\n/quit or Ctrl-D leaves.\n{PROMPT}")
                sys.stderr.flush()

        loop.add_signal_handler(signal.SIGINT, interrupted)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def _edit_lines() -> None:
    """Give the prompt line editing and history, where Python has them."""
    try:
        import readline  # noqa: F401 - importing it is what does it # pyright: ignore[reportUnusedImport]
    except ImportError:  # Windows has its own
        return


def _read_line() -> str | None:
    try:
        return input(PROMPT)
    except (EOFError, UnicodeDecodeError):
        return None
