"""`planact packs`: the tool packs that ship, and serving one as an MCP server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from planact_server.cli.interrupt import interruptible_stdio
from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    UsageError,
    examples,
    log_to_stderr,
    print_json,
    print_table,
    read_config,
    refuse_options_before,
)
from planact_tools import PackError, load_pack, shipped_packs

packs_app = typer.Typer(help="List the tool packs that ship, or serve one as an MCP server.")


def register(app: typer.Typer) -> None:
    packs_app.callback(invoke_without_command=True, epilog=examples("planact packs", "planact packs serve calendar"))(
        list_packs
    )
    packs_app.command(
        "serve",
        epilog=examples(
            "planact packs serve calendar",
            "planact packs serve files --root ~/notes",
            "planact packs serve ./my_pack.py",
        ),
    )(serve)
    app.add_typer(packs_app, name="packs")


def list_packs(context: typer.Context, as_json: JSONOption = False) -> None:
    """List the packs that ship with Planact. Your own: packs = ["calendar", "./my_pack.py"] in planact.toml."""
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    shipped = shipped_packs()
    if as_json:
        print_json([{"name": pack.name, "summary": pack.summary} for pack in shipped])
        return
    print_table(["pack", "what it does"], [[pack.name, pack.summary] for pack in shipped])


def serve(
    pack: Annotated[str, typer.Argument(help="A shipped pack's name, or the path of a .py file.", metavar="PACK")],
    root: Annotated[
        Path | None, typer.Option("--root", help="The folder that the files pack may use.", metavar="FOLDER")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Serve one pack as an MCP server over stdio.

    Any MCP host can use it, without Planact in between.
    """
    log_to_stderr(verbose=False)
    settings = read_config(config)
    options = {"root": str(root)} if root is not None else {}
    try:
        toolset = load_pack(pack, base=Path.cwd(), state=settings.state, options=options)
    except PackError as error:
        raise UsageError(str(error)) from None
    # The SDK takes half a second to load: only the commands that speak MCP pay for it.
    from planact_server.serve_pack import serve_pack

    async def serving() -> None:
        async with interruptible_stdio() as (read, write):
            await serve_pack(toolset, read, write)

    asyncio.run(serving())
