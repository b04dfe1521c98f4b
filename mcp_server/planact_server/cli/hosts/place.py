"""What the commands about hosts share: this machine, which host is meant, and saying what a change did."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from planact_server.cli.place import own_command
from planact_server.cli.terminal import UsageError, complain, console, print_out, read_config, visible
from planact_server.config import user_folder
from planact_server.config.environment import CONFIG_VARIABLE
from planact_server.trust import SERVERS_NAME
from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_bridge.hosts import Applied, Change, Edit, Host, Journal, Launch, Machine, Place

HostArgument = Annotated[str, typer.Argument(help="A name that `planact hosts list` shows.", metavar="HOST")]
ScopeOption = Annotated[
    Literal["user", "project"],
    typer.Option("--scope", help="The file of the user, or that of the project in the current folder."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change as a diff; change nothing.")]

JOURNAL_NAME = "hosts.json"


@contextmanager
def explained() -> Generator[None]:
    """Turn what keeps a host's file from being used into wrong usage, with its own words."""
    from planact_bridge.hosts import HostError

    try:
        yield
    except HostError as error:
        raise UsageError(str(error)) from None


def this_machine() -> Machine:
    from planact_bridge.hosts import Machine

    return Machine.current(os.environ)


def host_named(name: str) -> Host:
    """Return the host that is meant; case, blanks and hyphens do not matter. Raises UsageError."""
    from planact_bridge.hosts import HOSTS

    known = {_bare(spelled): host for host in HOSTS for spelled in (host.name, host.title)}
    if host := known.get(_bare(name)):
        return host
    close = get_close_matches(_bare(name), known, n=1)
    meant = f"Did you mean {known[close[0]].name!r}? " if close else ""
    raise UsageError(f"There is no host {name!r}. {meant}They are: {', '.join(host.name for host in HOSTS)}.")


def place_of(name: str, scope: Literal["user", "project"]) -> Place:
    """Return the file that is meant. Raises UsageError."""
    from planact_bridge.hosts import places

    host = host_named(name)
    found = {place.scope: place for place in places(host, this_machine(), Path.cwd())}
    if scope not in found:
        raise UsageError(f"{host.title} has no file for one project; leave `--scope {scope}` out.")
    return found[scope]


def journal_of(config: Path | None) -> Journal:
    from planact_bridge.hosts import Journal

    return Journal(read_config(config, quietly=True).state / JOURNAL_NAME)


def named_config(config: Path | None) -> Path | None:
    """Return the absolute path of the configuration that is named; None for the user's. Raises UsageError."""
    read_config(config, quietly=True)
    variable = os.environ.get(CONFIG_VARIABLE)
    named = config or (Path(variable) if variable else None)
    return None if named is None else Path.cwd() / named.expanduser()


def own_servers_file(named: Path | None) -> Path:
    """Return Planact's mcp.json: beside the configuration that is named, else the user's."""
    return (user_folder(os.environ) if named is None else named.parent) / SERVERS_NAME


def say_what_is_not_handed_on(config: Path | None, host: Host) -> None:
    """Say that a host knows nothing of our environment, where that names the configuration."""
    variable = os.environ.get(CONFIG_VARIABLE)
    if config is None and variable:
        command = shlex.join(["planact", "hosts", "install", host.name, "--config", variable])
        say(f"{host.title} starts Planact without your {CONFIG_VARIABLE}. To have its entry name the file: {command}")


def launch(passes: Mapping[str, str] | None = None, *, config: Path | None = None) -> Launch:
    """Return what a host has to start, with the `--config` of this command and the variables to hand over."""
    from planact_bridge.hosts import Launch

    command, *args = own_command()
    options = () if config is None else ("--config", str(Path.cwd() / config.expanduser()))
    return Launch(command=command, args=(*args, "serve", *options), passes=passes or {})


def make(change: Change, journal: Journal, *, dry_run: bool) -> Applied | None:
    """Make a change and say what became of the old files; with `dry_run`, only show it."""
    from planact_bridge.hosts import apply

    for notice in change.notices:
        complain(notice)
    if dry_run:
        return None
    applied = apply(change, journal)
    for path, backup in applied.backups.items():
        complain(f"Changed {path}; the old file is {backup.name} beside it.")
    for edit in change.edits:
        if edit.changed and edit.path not in applied.backups:
            complain(f"{_verb(edit)} {edit.path}.")
    return applied


def _verb(edit: Edit) -> str:
    return "Removed" if edit.after is None else "Wrote" if edit.before is None else "Restored"


def show_diff(change: Change) -> None:
    """Print a diff on standard output, for people and for programs that read diffs."""
    for notice in change.notices:
        complain(notice)
    print_out(visible(change.diff()))
    if not change.changed:
        complain("Nothing would change.")


def as_json(change: Change, applied: Applied | None) -> JSONObject:
    """Return what a change did, or would do."""
    report: JSONObject = {
        "host": change.host,
        "scope": change.scope,
        "action": change.action,
        "changed": change.changed,
        "dry_run": applied is None,
        "files": [str(edit.path) for edit in change.edits if edit.changed],
    }
    if applied is None:
        report["diff"] = change.diff()
    else:
        report["backups"] = {str(path): str(backup) for path, backup in applied.backups.items()}
    return report


def say(text: str) -> None:
    """Print a line for people that may be copied from."""
    console().print(visible(text), markup=False, soft_wrap=True)


def command_line(entry: JSONObject) -> str:
    """Return what an entry starts or calls, in one line."""
    if "url" in entry:
        return str(entry["url"])
    args = entry.get("args")
    return shlex.join([str(entry.get("command")), *map(str, args if isinstance(args, list) else [])])


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
