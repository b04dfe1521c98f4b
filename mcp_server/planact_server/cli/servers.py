"""`planact servers`: the configured servers, how they stand, what they say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from planact_server.cli import logins
from planact_server.cli.entries import NameArgument, files_of, read_servers_config, running_folder, spec_of
from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    UsageError,
    complain,
    examples,
    log_to_stderr,
    print_json,
    print_out,
    print_table,
    read_config,
    refuse_options_before,
    visible,
)
from planact_server.cli.tools import with_app
from planact_server.running import running
from planact_tools import JSONObject, ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from planact_bridge import ServerSpec
    from planact_server.app import App
    from planact_server.config import Config

LOG_LINES = 100
FOLLOW_SECONDS = 0.25
"""How often a log is looked at for more."""

servers_app = typer.Typer(help="The configured servers: how they stand, and what they say.")


def register(app: typer.Typer) -> None:
    servers_app.callback(
        invoke_without_command=True,
        epilog=examples("planact servers", "planact servers --json", "planact servers logs git --follow"),
    )(list_servers)
    servers_app.command("logs", epilog=examples("planact servers logs git", "planact servers logs git --follow"))(logs)
    servers_app.command("restart", epilog=examples("planact servers restart git"))(restart)
    logins.register(servers_app)
    app.add_typer(servers_app, name="servers")


def list_servers(context: typer.Context, config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Start every configured server and show how it stands.

    Servers come from the `mcp.json` beside your planact.toml, in the shape that every MCP host uses.
    """
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    log_to_stderr(verbose=False)
    settings = read_servers_config(config)
    reports, problems = with_app(settings, _reports)
    elsewhere = running(running_folder(settings))
    for report in reports:
        report["running"] = [*elsewhere.get(str(report["name"]), [])]
    for problem in problems:
        complain(problem)
    if as_json:
        print_json([*reports])
    elif reports:
        print_table(
            ["server", "state", "tools", "trusted", "era", "about"], [_cells(report) for report in reports], folded=True
        )
        _print_running(elsewhere)
    else:
        complain("No server is configured. Put an mcp.json beside your planact.toml; `planact doctor` shows where.")


def logs(
    name: NameArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes; Ctrl-C ends it.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many of the newest lines.")] = LOG_LINES,
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Show what a server wrote on its standard error, and when it was started and ended.

    Kept for all starts of the server, whichever host made them; the newest megabyte or two.
    """
    from planact_bridge.log_file import last_lines

    if as_json and follow:
        raise UsageError("`--json` prints one value, so it does not go together with `--follow`.")
    settings = read_config(config)
    path = files_of(settings, name).log
    if not path.exists():
        spec_of(settings, name)  # it may be gone from the configuration and have a log all the same
    # Before anything is shown: what comes from here on is not missed, whatever happens to the file.
    following = _opened(path, at_end=True) if follow else None
    newest: list[str] = []
    try:
        newest = last_lines(path, lines)
    except FileNotFoundError:
        if not follow:
            raise UsageError(
                f"Server {name!r} has written nothing yet: it was not started since this is kept."
            ) from None
    if as_json:
        print_json([*newest])
    else:
        print_out("".join(f"{visible(line)}\n" for line in newest))
    if follow:
        _follow(path, following)


def restart(name: NameArgument, config: ConfigOption = None, as_json: JSONOption = False) -> int:
    """Start a server anew in every running Planact, at its next use there, and try here whether it starts.

    A server that keeps failing is left alone for longer and longer; this ends the wait.
    """
    log_to_stderr(verbose=False)
    settings = read_config(config)
    spec = spec_of(settings, name)
    files_of(settings, name).want_restart()
    report = asyncio.run(_try(settings, spec))
    if as_json:
        print_json(report)
    elif error := report["last_error"]:
        complain(str(error))
    else:
        complain(f"{name} starts here. A running Planact starts it anew when it next uses it.")
    return 1 if report["last_error"] else 0


async def _try(settings: Config, spec: ServerSpec) -> JSONObject:
    """Start one server, end it, and return how that went."""
    from planact_server.app import health, open_server

    async with open_server(settings, spec) as server:
        with contextlib.suppress(ToolError):
            await server.definitions()
        return {"name": spec.name, **health(server.status)}


def _print_running(elsewhere: Mapping[str, Sequence[JSONObject]]) -> None:
    if not elsewhere:
        return
    complain("in the Planacts that are serving now:")
    headers = ["server", "planact", "state", "process", "starts", "losses", "next try", "last error"]
    rows = [_running_cells(name, each) for name, all_of in elsewhere.items() for each in all_of]
    print_table(headers, rows, folded=True)


def _running_cells(name: str, health: JSONObject) -> list[str]:
    next_try = health.get("next_try_seconds")
    return [
        name,
        *(str(health.get(key) or "") for key in ("planact", "state", "pid")),
        *(str(health.get(key)) for key in ("starts", "losses")),
        "" if next_try is None else f"in {next_try} s",
        str(health.get("last_error") or ""),
    ]


async def _reports(app: App) -> tuple[list[JSONObject], tuple[str, ...]]:
    return app.server_reports(), app.problems


def _cells(report: JSONObject) -> list[str]:
    health = report["health"]
    return [
        str(report["name"]),
        str(report["state"]),
        str(report["tools"]),
        "" if report["state"] in ("failed", "unusable") else "yes" if report["trusted"] else "no",
        str(health["protocol"] or "") if isinstance(health, dict) else "",
        str(report["error"] or report["identity"]),
    ]


def _opened(path: Path, *, at_end: bool = False) -> BinaryIO | None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    if at_end:
        file.seek(0, os.SEEK_END)
    return file


def _follow(path: Path, file: BinaryIO | None) -> None:
    """Print what is added to an open file, and to each that takes its place when it is full."""
    while True:
        if file is not None:
            with file:
                while (added := file.read()) or _is_still(file.fileno(), path):
                    print_out(visible(added.decode("utf-8", "replace").replace("\r\n", "\n")))
                    time.sleep(FOLLOW_SECONDS)
        file = _opened(path)
        if file is None:
            time.sleep(FOLLOW_SECONDS)


def _is_still(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
