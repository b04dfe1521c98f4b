"""`planact models rm`: models go."""

from __future__ import annotations

from typing import Annotated

import typer

from planact_server.cli.models.place import opened_store
from planact_server.cli.models.rows import model_row
from planact_server.cli.terminal import ConfigOption, JSONOption, complain, examples, print_json
from planact_tools import JSONValue


def register(app: typer.Typer) -> None:
    app.command(
        "rm",
        epilog=examples("planact models rm tiny-agent-a-0.5b:Q8_0", "planact models rm coder tiny-agent-a-1.5b"),
    )(remove)


def remove(
    names: Annotated[list[str], typer.Argument(help="Ids or file names of `planact models list`.", metavar="MODEL")],
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Delete models from this machine. A file that was added with --link is forgotten, not deleted.

    The file name of an interrupted download throws that away.
    """
    from planact_quantized.models.large_files import megabytes

    removed: list[JSONValue] = []
    with opened_store(config) as store:
        for name in names:
            arrived = store.discard_arriving(name)
            if arrived is not None:
                complain(f"Threw away {megabytes(arrived)} of {name}.")
                continue
            model = store.find(name)
            existed = model.path.exists()
            store.remove(model.id)
            removed.append(model_row(model))
            if not model.owned:
                complain(f"Forgot {model.id}; its file stays: {model.path}")
            else:
                complain(f"Removed {model.id}{f' ({megabytes(model.bytes)})' if existed else ', whose file was gone'}.")
    if as_json:
        print_json(removed)
