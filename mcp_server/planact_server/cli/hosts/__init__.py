"""`planact hosts`: the programs that start Planact, and the servers that they have had until now."""

from __future__ import annotations

import typer

from planact_server.cli.hosts import changing, importing, listing

hosts_app = typer.Typer(help="Add Planact to chat clients, editors and agents.")


def register(app: typer.Typer) -> None:
    for room in (listing, changing, importing):
        room.register(hosts_app)
    app.add_typer(hosts_app, name="hosts")
