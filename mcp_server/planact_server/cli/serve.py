"""`planact serve`: the MCP server, over stdio or streamable HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli import INTERRUPTED
from planact_server.cli.entries import running_folder
from planact_server.cli.interrupt import interruptible_stdio
from planact_server.cli.terminal import (
    ConfigOption,
    UsageError,
    VerboseOption,
    complain,
    examples,
    log_to_stderr,
    read_config,
)
from planact_server.config import Config, load_config
from planact_server.heap import hold_collections, settle
from planact_server.policy_text import trusting
from planact_server.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_server.app import App
    from planact_server.server import PlanactServer

PATIENCE_SECONDS = 2.0
"""After so long the servers are started even if nobody has asked for the tools."""

SETTLED_SECONDS = 5.0
"""After so long what a server is made of has been loaded."""


def register(app: typer.Typer) -> None:
    app.command("serve", epilog=examples("planact serve", "planact serve --http 127.0.0.1:8931"))(serve)


def serve(
    http: Annotated[
        str | None, typer.Option("--http", metavar="HOST:PORT", help="Serve streamable HTTP at /mcp instead of stdio.")
    ] = None,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Serve run_python_actions to an MCP host.

    Over stdio (what hosts start) standard output is the protocol and nothing else. With --http, only this
    machine can connect unless PLANACT_HTTP_TOKEN is set and clients send it as a bearer token.
    """
    hold_collections()
    log_to_stderr(verbose=verbose)
    _refuse_inside()
    settings = read_config(config)
    reread = partial(load_config, config_file=config, environ=os.environ, cwd=Path.cwd())
    # A state that cannot be used is told now: once the transport reads, leaving it waits for a line of input.
    Store.open(settings.state).close()
    if http is None:
        asyncio.run(_serve_stdio(settings, reread))
    elif asyncio.run(_serve_http(settings, reread, http)) == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _refuse_inside() -> None:
    """Raise UsageError where another Planact started this as its server: the two may have the same servers."""
    from planact_bridge import INSIDE

    if entry := os.environ.get(INSIDE):
        raise UsageError(
            f"This Planact was started by another one as its server {entry!r}: take that entry out of its mcp.json. "
            f'Where it is meant, the entry needs "env": {{"{INSIDE}": ""}}.'
        )


async def _serve_stdio(settings: Config, reread: Callable[[], Config]) -> None:
    from planact_server.app import open_app
    from planact_server.reload import reloading
    from planact_server.running import published

    if sys.stdin.isatty():
        complain("speaking MCP over standard input and output, for a host to start. Ctrl-C ends it.")
    # The transport takes standard output over before anything else may write there.
    async with interruptible_stdio() as (read, write), open_app(settings) as opened:
        server = _server(opened)
        async with (
            published(running_folder(settings), opened.server_health),
            reloading(opened, read=reread, say=complain),
        ):
            await server.mcp.run(read, write, server.initialization())


async def _serve_http(settings: Config, reread: Callable[[], Config], address: str) -> int | None:
    """Serve until a signal comes, close everything, and return its number."""
    from planact_server.app import open_app
    from planact_server.http import AddressError, parse_address, serve_http
    from planact_server.reload import reloading
    from planact_server.running import published

    try:
        host, port = parse_address(address)
        async with (
            open_app(settings) as opened,
            published(running_folder(settings), opened.server_health),
            reloading(opened, read=reread, say=complain),
        ):
            server = _server(opened)
            return await serve_http(
                server,
                host=host,
                port=port,
                token=os.environ.get("PLANACT_HTTP_TOKEN"),
                announce=lambda url: complain(f"serving {url}"),
                stop=opened.runs.cancel_all,
            )
    except AddressError as error:
        raise UsageError(str(error)) from None


def _server(app: App) -> PlanactServer:
    """Return the MCP server over an app, having said what a person should know."""
    from planact_server.server import PlanactServer

    server = PlanactServer(app.executor, app.runs, describe=app.describe_tool, warm_up=app.warm_up)
    app.generations.on_changed(server.tools_changed)
    app.generations.on_changed(_Undecided(app).announce)
    for problem in app.problems:
        complain(problem)
    # For hosts that do not ask for the tools first.
    asyncio.get_running_loop().call_later(PATIENCE_SECONDS, app.warm_up)
    asyncio.get_running_loop().call_later(SETTLED_SECONDS, settle)
    return server


class _Undecided:
    """Says once of every server that the user has not decided on it."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._said: set[str] = set()

    async def announce(self) -> None:
        undecided = self._app.undecided()
        fresh = [server for server in undecided if server.server not in self._said]
        self._said.update(server.server for server in fresh)
        for server in fresh:
            complain(f"undecided: {server}")
        if any(server.pattern for server in fresh):
            servers = [server.pattern for server in undecided if server.pattern]
            complain(f"to trust all that is undecided: {trusting(self._app.config.own_files, servers)}")
