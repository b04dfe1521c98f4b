"""`planact models`: the models on this machine, and those that can be had."""

from __future__ import annotations

import typer

from planact_server.cli.models import fetching, fit, listing, quantizing, removing, setup

models_app = typer.Typer(help="List and keep the models that write plans on this machine.")


def register(app: typer.Typer) -> None:
    for room in (setup, listing, fetching, fit, quantizing, removing):
        room.register(models_app)
    app.add_typer(models_app, name="models")
