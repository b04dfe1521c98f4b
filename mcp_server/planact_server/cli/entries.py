"""The servers of the configuration, for commands that need them, and one as commands are given its name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer

from planact_server.cli.terminal import UsageError, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from planact_bridge import ServerFiles, ServerSpec
    from planact_server.config import Config

NameArgument = Annotated[str, typer.Argument(help="The server's name in mcp.json.", metavar="NAME")]


def read_servers_config(path: Path | None) -> Config:
    """Read the configuration in force, for a command that means little without the servers.

    Raises UsageError for an mcp.json that cannot be read, too, of which `serve` goes on with what there is.
    """
    from planact_server.assembly import broken_server_files

    config = read_config(path)
    if broken := broken_server_files(config):
        raise UsageError("\n".join(broken))
    return config


def spec_of(settings: Config, name: str) -> ServerSpec:
    """Return the entry of a server. Raises UsageError for one that is in no mcp.json."""
    from planact_server.assembly import broken_server_files, configured_servers, unusable_servers

    specs = {spec.name: spec for spec in configured_servers(settings)}
    if name in specs:
        return specs[name]
    if reason := unusable_servers(settings).get(name):
        raise UsageError(reason)
    if broken := broken_server_files(settings):
        raise UsageError("\n".join(broken))
    close = get_close_matches(name, specs, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(sorted(specs)) or 'none'}."
    raise UsageError(f"There is no server {name!r}.{hint}")


def files_of(settings: Config, name: str) -> ServerFiles:
    """Return what is kept of a server, whether or not it is configured any more."""
    from planact_bridge import ServerFiles
    from planact_server.assembly import server_folder

    return ServerFiles(server_folder(settings), name)


def running_folder(settings: Config) -> Path:
    """Return where processes that serve say how their servers stand."""
    return settings.state / "running"
