"""`planact servers`: the configured servers and how they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    complain,
    examples,
    log_to_stderr,
    print_json,
    print_table,
    read_config,
)
from planact_server.cli.tools import with_app
from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_server.app import App


def register(app: typer.Typer) -> None:
    app.command("servers", epilog=examples("planact servers", "planact servers --json"))(servers)


def servers(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Start every configured server and show how it stands.

    Servers come from the `mcp.json` beside your planact.toml, in the shape that every MCP host uses.
    """
    log_to_stderr(verbose=False)

    async def take(app: App) -> tuple[list[JSONObject], tuple[str, ...]]:
        return app.server_reports(), app.problems

    reports, problems = with_app(read_config(config), take)
    for problem in problems:
        complain(problem)
    if as_json:
        print_json([*reports])
    elif reports:
        print_table(["server", "state", "tools", "trusted", "about"], [_cells(report) for report in reports])
    else:
        complain("No server is configured. Put an mcp.json beside your planact.toml; `planact doctor` shows where.")


def _cells(report: JSONObject) -> list[str]:
    return [
        str(report["name"]),
        str(report["state"]),
        str(report["tools"]),
        "yes" if report["trusted"] else "no",
        str(report["error"] or report["identity"]),
    ]
