"""`planact hosts install`, `uninstall` and `undo`: Planact into a host's file and out of it again."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli.hosts.place import (
    DryRunOption,
    HostArgument,
    ScopeOption,
    as_json,
    explained,
    host_named,
    journal_of,
    launch,
    make,
    named_config,
    own_servers_file,
    place_of,
    say,
    say_what_is_not_handed_on,
    show_diff,
    this_machine,
)
from planact_server.cli.terminal import ConfigOption, JSONOption, UsageError, complain, examples, print_json, print_out

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge.hosts import Host, Record


def register(app: typer.Typer) -> None:
    app.command(
        "install",
        epilog=examples(
            "planact hosts install cursor",
            "planact hosts install vscode --scope project --dry-run",
            "planact hosts install zed --print",
        ),
    )(install)
    app.command("uninstall", epilog=examples("planact hosts uninstall cursor"))(uninstall)
    app.command("undo", epilog=examples("planact hosts undo cursor", "planact hosts undo cursor --dry-run"))(undo)


def install(
    name: HostArgument,
    scope: ScopeOption = "user",
    show: Annotated[
        bool, typer.Option("--print", help="Print the entry to paste, and a link; change nothing.")
    ] = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    json_wanted: JSONOption = False,
) -> None:
    """Add Planact to a host.

    One entry is added to the host's file; comments, order and white space stay, and the old file is kept beside it.
    """
    from planact_bridge.hosts import ENTRY, installing, look, shown

    place = place_of(name, scope)
    named_config(config)
    host, wanted = place.host, launch(config=config)
    was_here = host.is_on(this_machine())
    link = host.link(ENTRY, json.dumps(place.dialect.write(wanted))) if host.link is not None else None
    if show:
        text = shown(place, wanted)
        if json_wanted:
            print_json({"host": host.name, "path": str(place.path), "entry": text, "link": link})
            return
        say(f"Into {place.path}:")
        print_out(text)
        if link is not None:
            say(f"Or open this link, which {host.title} asks you about: {link}")
        return
    with explained():
        change = installing(place, wanted)
        if not json_wanted and dry_run:
            show_diff(change)
            return
        applied = make(change, journal_of(config), dry_run=dry_run)
    if json_wanted:
        print_json({**as_json(change, applied), "link": link})
        return
    if not change.changed:
        complain(f"{host.title} has Planact already; nothing was changed.")
        return
    if not was_here and place.scope == "user":
        complain(f"{host.title} was not found on this machine; the file counts once it is there.")
    say(host.then)
    say_what_is_not_handed_on(config, host)
    if look(place, this_machine()).servers:
        say(f"Servers that it has already: planact hosts import {host.name}")


def uninstall(
    name: HostArgument,
    scope: ScopeOption = "user",
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    json_wanted: JSONOption = False,
) -> None:
    """Take Planact out of a host.

    A file that nobody has touched since `install` becomes what it was, byte for byte; of any other, our entry goes. One
    of that name that was there before does not come back: `planact hosts undo` brings it.
    """
    from planact_bridge.hosts import uninstalling

    place, journal = place_of(name, scope), journal_of(config)
    with explained():
        change = uninstalling(place, journal)
        if not json_wanted and dry_run:
            show_diff(change)
            return
        applied = make(change, journal, dry_run=dry_run)
        last = journal.last(place.host.name, place.path)
    if json_wanted:
        print_json(as_json(change, applied))
        return
    if not change.changed:
        complain(f"{place.host.title} has no Planact in {place.path}; nothing was changed.")
        return
    say(place.host.reread)
    if last is not None and last.action == "uninstall":
        complain(f"To have it back: planact hosts undo {place.host.name}")


def undo(
    name: HostArgument,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    json_wanted: JSONOption = False,
) -> None:
    """Take back the newest change to a host.

    What that changed in Planact's mcp.json goes back, too. A file that was changed since keeps those changes; only the
    entries are as they were.
    """
    from planact_bridge.hosts import undoing

    host, journal = host_named(name), journal_of(config)
    with explained():
        record = journal.last(host.name)
        if record is None:
            raise UsageError(f"Nothing was changed in {host.title} that could be undone.")
        change = undoing(record, journal.records())
        if not json_wanted and dry_run:
            show_diff(change)
            return
        applied = make(change, journal, dry_run=dry_run)
    if json_wanted:
        print_json(as_json(change, applied))
        return
    complain(f"Undone: {record.action} of {record.at}.")
    has_planact = change.leaves_planact()
    if record.action in ("import", "uninstall"):
        _say_where_servers_are(record, has_planact, host, own_servers_file(named_config(config)))
    if has_planact is not None:
        say(host.then if has_planact else host.reread)


def _say_where_servers_are(record: Record, has_planact: bool | None, host: Host, ours: Path) -> None:
    """Say which servers of a host are now with neither of the two, or with both."""
    from planact_bridge import read_mcp_json
    from planact_bridge.hosts import ENTRY

    given_up = {name for each in record.edits if ENTRY in each.names for name in each.names if name != ENTRY}
    file = read_mcp_json(ours, environ=os.environ) if ours.exists() else None
    known = (
        {spec.name for spec in file.servers} | {each.server for each in file.problems} if file else set[str | None]()
    )
    if has_planact and (nowhere := sorted(given_up - known)):
        say(
            f"{', '.join(nowhere)}: no longer in {host.title}, and not in {ours} either."
            " Once more `undo` brings it back."
        )
    elif not has_planact and (twice := sorted(name for name in given_up if name in known)):
        say(
            f"{', '.join(twice)}: in {host.title} again, and still in {ours}. Take it out of there if nothing needs it."
        )
