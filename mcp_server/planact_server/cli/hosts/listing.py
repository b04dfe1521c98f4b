"""`planact hosts list`: which hosts there are, and what their files say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from planact_server.cli.hosts.place import launch, this_machine
from planact_server.cli.terminal import JSONOption, complain, examples, print_json, print_table, refuse_options_before
from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_bridge.hosts import Host, Seen


def register(app: typer.Typer) -> None:
    app.callback(
        invoke_without_command=True,
        epilog=examples("planact hosts", "planact hosts install cursor", "planact hosts import cursor --adopt"),
    )(list_alone)
    app.command("list", epilog=examples("planact hosts list", "planact hosts list --json"))(list_hosts)


def list_alone(context: typer.Context, as_json: JSONOption = False) -> None:
    """Add Planact to chat clients, editors and agents, and take the servers over that they have."""
    if context.invoked_subcommand is not None:
        refuse_options_before(context)
        return
    list_hosts(as_json=as_json)


def list_hosts(as_json: JSONOption = False) -> None:
    """List the hosts, and what their files say.

    Whether Planact is in them, and which other servers; the files of the current folder are looked at, too.
    """
    from planact_bridge.hosts import HOSTS

    seen = {host: look_at(host) for host in HOSTS}
    if as_json:
        print_json([_as_json(host, files) for host, files in seen.items()])
        return
    shown = [each for files in seen.values() for each in files if each.place.scope == "user" or each.exists]
    print_table(["host", "state", "other servers", "file"], [_row(each) for each in shown], folded=True)
    for each in shown:
        if each.problem is not None:
            complain(each.problem)


def look_at(host: Host) -> tuple[Seen, ...]:
    """Return how the files of a host stand: the user's, then that of the current folder."""
    from planact_bridge.hosts import look, places

    machine = this_machine()
    return tuple(look(place, machine) for place in places(host, machine, Path.cwd()))


def standing(seen: Seen) -> str:
    """Return in a few words how one file stands."""
    if seen.problem is not None:
        return "cannot be read"
    if seen.planact is None:
        return "without Planact" if seen.exists or seen.place.host.is_on(this_machine()) else "not found"
    return "has Planact" if is_this_planact(seen) else "has another Planact"


def is_this_planact(seen: Seen) -> bool:
    """Return whether the entry starts this very installation."""
    from planact_bridge.hosts import starts

    return seen.planact is not None and starts(seen.place, seen.planact, this_machine()) == launch().command


def _row(seen: Seen) -> list[str]:
    host = seen.place.host
    name = host.name if seen.place.scope == "user" else f"{host.name} (project)"
    return [name, standing(seen), ", ".join(seen.servers) or "-", _shortened(seen.place.path)]


def _shortened(path: Path) -> str:
    """Return a path as people write it: the home folder is a tilde."""
    home = this_machine().home
    return str(Path("~") / path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _as_json(host: Host, files: tuple[Seen, ...]) -> JSONObject:
    return {
        "host": host.name,
        "title": host.title,
        "found": host.is_on(this_machine()),
        "files": [
            {
                "scope": each.place.scope,
                "path": str(each.place.path),
                "exists": each.exists,
                "planact": each.planact is not None,
                "this_planact": is_this_planact(each),
                "servers": [*each.servers],
                "problem": each.problem,
            }
            for each in files
        ],
    }
