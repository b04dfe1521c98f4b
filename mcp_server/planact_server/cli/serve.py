"""`planact serve`: the MCP server, over stdio or streamable HTTP."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from planact_server.cli.terminal import ConfigOption, UsageError, VerboseOption, complain, log_to_stderr, read_config
from planact_server.config import Config


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


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

    Examples: planact serve · planact serve --http 127.0.0.1:8931
    """
    log_to_stderr(verbose=verbose)
    settings = read_config(config)
    asyncio.run(_serve_stdio(settings) if http is None else _serve_http(settings, http))


async def _serve_stdio(settings: Config) -> None:
    from mcp.server.stdio import stdio_server

    from planact_server.app import open_app
    from planact_server.server import PlanactServer

    # The transport takes standard output over before anything else may write there.
    async with stdio_server() as (read, write), open_app(settings) as opened:
        server = PlanactServer(opened.executor, opened.runs, opened.describe_tool)
        opened.toolbox.on_changed(server.tools_changed)
        _announce(opened.problems)
        await server.mcp.run(read, write, server.initialization())


async def _serve_http(settings: Config, address: str) -> None:
    from planact_server.app import open_app
    from planact_server.http import PATH, AddressError, parse_address, serve_http
    from planact_server.server import PlanactServer

    try:
        host, port = parse_address(address)
        async with open_app(settings) as opened:
            server = PlanactServer(opened.executor, opened.runs, opened.describe_tool)
            opened.toolbox.on_changed(server.tools_changed)
            _announce(opened.problems)
            complain(f"serving http://{host}:{port}{PATH}")
            await serve_http(server, host=host, port=port, token=os.environ.get("PLANACT_HTTP_TOKEN"))
    except AddressError as error:
        raise UsageError(str(error)) from None


def _announce(problems: tuple[str, ...]) -> None:
    for problem in problems:
        complain(problem)
