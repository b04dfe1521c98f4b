"""`planact hosts import`: a host's servers become Planact's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli.hosts.place import (
    DryRunOption,
    HostArgument,
    ScopeOption,
    as_json,
    command_line,
    explained,
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
from planact_server.cli.terminal import ConfigOption, JSONOption, complain, examples, print_json, print_table
from planact_tools import JSONObject

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from planact_bridge.hosts import Host, Import

FATES = {"added": "added", "present": "there already", "other": "left in the host", "unusable": "left in the host"}


def register(app: typer.Typer) -> None:
    app.command(
        "import",
        epilog=examples(
            "planact hosts import claude-desktop",
            "planact hosts import cursor --adopt",
            "planact hosts import vscode --scope project --dry-run",
        ),
    )(import_servers)


def import_servers(
    name: HostArgument,
    scope: ScopeOption = "user",
    adopt: Annotated[bool, typer.Option("--adopt", help="Replace them in the host by Planact's one entry.")] = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    json_wanted: JSONOption = False,
) -> None:
    """Write a host's servers into Planact's mcp.json.

    With --adopt, Planact takes their place in the host. What the host looks up when it starts a server, such as a
    secret, stays looked up. A server of the same name that Planact has already is not overwritten.
    `planact hosts undo` takes all of it back.
    """
    from planact_bridge.hosts import importing

    place, named = place_of(name, scope), named_config(config)
    target = own_servers_file(named)
    with explained():
        done = importing(place, target, this_machine(), adopt=partial(launch, config=config) if adopt else None)
        if not json_wanted and dry_run:
            show_diff(done.change)
            applied = None
        else:
            applied = make(done.change, journal_of(config), dry_run=dry_run)
    if json_wanted:
        report = as_json(done.change, applied)
        print_json({**report, "into": str(target), "servers": [_as_json(each) for each in done.imports]})
        return
    if not done.imports:
        complain(f"{place.host.title} has no servers in {place.path}; nothing was changed.")
        return
    rows = [[each.name, FATES[each.fate], command_line(each.entry) if each.entry else ""] for each in done.imports]
    print_table(["server", "is", "about"], rows, folded=True)
    _explain(done.imports, place.host, adopted=adopt)
    if not dry_run:
        _what_next(done.imports, place.host, adopted=adopt, target=target)
        if adopt:
            say_what_is_not_handed_on(config, place.host)


def _explain(imports: Sequence[Import], host: Host, *, adopted: bool) -> None:
    """Say what is different with Planact, and where values come from that were looked up."""
    taken = [each for each in imports if each.fate in ("added", "present")]
    for each in imports:
        if each.reason:
            say(f"{each.name} stays in {host.title}: {each.reason}.")
    for each in taken:
        for notice in each.notices:
            say(f"{each.name}: {notice}.")
    passes = {variable: spelled for each in taken for variable, spelled in each.passes.items()}
    for variable, spelled in passes.items():
        if adopted:
            say(f"${{{variable}}}: {host.title} looks it up as before ({spelled}) and hands it to Planact.")
        else:
            say(f"${{{variable}}}: {host.title} looks it up ({spelled}); set it where Planact is started.")


def _what_next(imports: Sequence[Import], host: Host, *, adopted: bool, target: Path) -> None:
    added = [each.name for each in imports if each.fate == "added"]
    if added:
        say(f"They are in {target}. Their calls are held back until you decide; the lines for it: planact doctor")
    if not any(each.fate in ("added", "present") for each in imports):
        return
    if adopted:
        say(host.then)
        say(f"To have all as it was: planact hosts undo {host.name}")
    else:
        say(f"{host.title} still has them, too. To offer each tool once: planact hosts import {host.name} --adopt")


def _as_json(each: Import) -> JSONObject:
    return {
        "name": each.name,
        "fate": each.fate,
        "reason": each.reason,
        "starts": command_line(each.entry) if each.entry else None,
        "variables": dict(each.passes),
        "notices": [*each.notices],
    }
