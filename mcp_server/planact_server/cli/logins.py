"""`planact servers login` and `logout`: servers behind a URL that want to know who is calling."""

from __future__ import annotations

import asyncio
import webbrowser
from typing import Annotated

import typer

from planact_server.cli.entries import NameArgument, files_of, spec_of
from planact_server.cli.terminal import ConfigOption, UsageError, complain, examples, log_to_stderr, read_config


def register(servers_app: typer.Typer) -> None:
    servers_app.command(
        "login", epilog=examples("planact servers login linear", "planact servers login linear --no-browser")
    )(login)
    servers_app.command("logout", epilog=examples("planact servers logout linear"))(logout)


def login(
    name: NameArgument,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only show the address to open.")] = False,
    config: ConfigOption = None,
) -> int:
    """Log in to a server behind a URL, in a browser. Planact stays logged in from then on.

    The tokens go to the keyring of your system; where it has none, into a file that only you can read.
    """
    from planact_bridge import HttpSpec
    from planact_bridge.oauth import KeptLogin
    from planact_bridge.oauth.login import LoginError, log_in

    log_to_stderr(verbose=False)
    settings = read_config(config)
    spec = spec_of(settings, name)
    if not isinstance(spec, HttpSpec):
        raise UsageError(f"Server {name!r} is started by a command: it gets what it needs through 'env' in mcp.json.")
    if spec.brings_credentials:
        raise UsageError(f"Server {name!r} has an 'Authorization' in 'headers'; take it out to log in instead.")
    files = files_of(settings, name)

    async def send_to(url: str) -> None:
        complain(f"log in at this address, in a browser on this machine:\n{url}")
        if not no_browser:
            await asyncio.to_thread(webbrowser.open, url)

    try:
        credentials = asyncio.run(log_in(spec, send_to=send_to))
        place = KeptLogin(files, spec.url).save(credentials)
        files.want_restart()
    except LoginError as error:
        complain(error.message)
        return 1
    except OSError as error:
        complain(f"The login cannot be kept: {error}")
        return 1
    where = "the keyring of your system" if place == "keyring" else str(files.login)
    complain(f"logged in to {name}; kept in {where}.")
    return 0


def logout(name: NameArgument, config: ConfigOption = None) -> int:
    """Forget the login to a server, and tell its authorization server so."""
    from planact_bridge import HttpSpec
    from planact_bridge.oauth import KeptLogin
    from planact_bridge.oauth.login import log_out

    settings = read_config(config)
    spec = spec_of(settings, name)
    kept = KeptLogin(files_of(settings, name), spec.url) if isinstance(spec, HttpSpec) else None
    credentials = kept.load() if kept is not None else None
    if kept is None or credentials is None:
        complain(f"there is no login to {name}.")
        return 0
    asyncio.run(log_out(credentials))
    kept.forget()
    kept.files.want_restart()
    complain(f"logged out of {name}.")
    return 0
