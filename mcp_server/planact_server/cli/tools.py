"""`planact tools`: what plans can call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from planact_server.cli.entries import read_servers_config
from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    UsageError,
    complain,
    console,
    examples,
    log_to_stderr,
    print_json,
    print_table,
    refuse_options_before,
    visible,
    waiting,
)
from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_server.app import App
    from planact_server.catalog.catalog import Catalog, CatalogTool
    from planact_server.catalog.ranking import Ranker
    from planact_server.catalog.signatures import Learned
    from planact_server.config import Config

ResultT = TypeVar("ResultT")

tools_app = typer.Typer(help="List, search and show the tools that plans can call.")


def register(app: typer.Typer) -> None:
    tools_app.callback(
        invoke_without_command=True,
        epilog=examples("planact tools", 'planact tools search "commit history"', "planact tools show git.git_log"),
    )(list_tools)
    tools_app.command("search", epilog=examples("planact tools search book a meeting --limit 3"))(search)
    tools_app.command("show", epilog=examples("planact tools show calendar.make_appointment"))(show)
    app.add_typer(tools_app, name="tools")


def list_tools(context: typer.Context, config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """List every tool of every server, as plans call them."""
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    known = _known(config)
    _print(list(known.catalog), known, as_json=as_json)


def search(
    words: Annotated[list[str], typer.Argument(help="What the tool should do.", metavar="WORDS")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 10,
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Rank the tools against some words."""
    known = _known(config)
    _print(
        known.ranker.rank(known.catalog, " ".join(words), limit=limit, returns=known.learned.get),
        known,
        as_json=as_json,
    )


def show(
    name: Annotated[str, typer.Argument(help="server.tool, or tool where the name is unique.", metavar="NAME")],
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Show one tool in full: signature, description, notes."""
    from planact_server.catalog.catalog import CatalogServer, CatalogTool
    from planact_server.catalog.signatures import describe

    known = _known(config)
    tool = known.catalog.resolve(name)
    if isinstance(tool, CatalogServer):
        some = ", ".join(f"{tool.name}.{each}" for each in [*tool.tools][:5])
        raise UsageError(f"{name!r} is a server; name one of its tools: {some or 'it has none yet'}.")
    if not isinstance(tool, CatalogTool):
        closest = known.catalog.closest(name)
        raise UsageError(f"There is no tool {name!r}." + (f" Did you mean {closest!r}?" if closest else ""))
    if as_json:
        definition = tool.definition
        output = dict(definition.output_schema) if definition.output_schema is not None else None
        row = _row(tool, known)
        row["input_schema"], row["output_schema"] = dict(definition.input_schema), output
        print_json(row)
    else:
        # As it is: somebody may paste it.
        console().print(visible(describe(tool, known.learned.get(tool))), markup=False, soft_wrap=True)


def with_app(config: Config, use: Callable[[App], Awaitable[ResultT]]) -> ResultT:
    """Open everything, wait until every server has answered or failed, use it, close it."""

    async def opened() -> ResultT:
        from planact_server.app import open_app

        async with open_app(config) as app, waiting(lambda: _who_starts(app)):
            await app.toolbox.refresh(seconds=config.servers.start_timeout_seconds)
            return await use(app)

    return asyncio.run(opened())


def _who_starts(app: App) -> str:
    starting = app.toolbox.unheard
    return f"Waiting for {', '.join(starting)}" if starting else "Looking"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    catalog: Catalog
    learned: Mapping[CatalogTool, Learned]
    """What tools return that do not say so."""

    ranker: Ranker


def _known(path: ConfigOption) -> _Known:
    async def take(app: App) -> _Known:
        for problem in app.problems:
            complain(problem)
        catalog = app.toolbox.catalog
        learned = {tool: seen for tool in catalog if (seen := app.rights.returns(tool)) is not None}
        return _Known(catalog=catalog, learned=learned, ranker=app.rights.ranker)

    log_to_stderr(verbose=False)
    return with_app(read_servers_config(path), take)


def _print(tools: list[CatalogTool], known: _Known, *, as_json: bool) -> None:
    if as_json:
        print_json([_row(tool, known) for tool in tools])
    elif tools:
        print_table(["tool", "read-only", "what it does"], [_cells(tool) for tool in tools])
    else:
        complain("No tool found. `planact servers` shows what is connected.")


def _row(tool: CatalogTool, known: _Known) -> JSONObject:
    from planact_server.catalog.signatures import signature

    return {
        "name": tool.full_name,
        "function": tool.function,
        "server": tool.server,
        "raw_name": tool.definition.name,
        "signature": signature(tool, known.learned.get(tool)),
        "description": tool.definition.description,
        "title": tool.definition.title,
        "read_only": tool.definition.read_only,
        "destructive": tool.definition.destructive,
        "idempotent": tool.definition.idempotent,
        "open_world": tool.definition.open_world,
        "icons": [dict(icon) for icon in tool.definition.icons],
        "problems": list(tool.problems),
    }


def _cells(tool: CatalogTool) -> list[str]:
    marks = {True: "yes", False: "no", None: "?"}
    summary = tool.definition.description.strip().partition("\n")[0]
    return [tool.full_name, marks[tool.definition.read_only], summary]
