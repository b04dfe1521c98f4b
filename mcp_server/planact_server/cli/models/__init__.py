"""`planact models`: the models on this machine, and those that can be had."""

from __future__ import annotations

import typer

from planact_server.cli.terminal import examples

models_app = typer.Typer(
    help="List and keep the models that write plans on this machine.",
    epilog=examples("planact models"),
)


def register(app: typer.Typer) -> None:
    app.add_typer(models_app, name="models")
