"""`planact trust` and `planact init`: folders whose files may take effect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from planact_server.cli.terminal import UsageError, ask_person, complain, console, examples, read_config, visible
from planact_server.config import Config
from planact_server.store import Store
from planact_server.trust import SERVERS_NAME, SETTINGS_NAME, FolderFiles, TrustError, changes, examine, trust_folder

NEW_SETTINGS = """\
# Planact in this folder. The user's own planact.toml holds for everything else.
# packs = ["calendar", "./my_pack.py"]

[policy]
# trust = ["git"]               # servers whose read-only marks you believe
# allow = ["git.git_commit"]    # calls that need no approval
# deny = ["git.git_reset"]      # calls that are never made
"""


def register(app: typer.Typer) -> None:
    app.command("trust", epilog=examples("planact trust .", "planact trust --forget ."))(trust)
    app.command("init", epilog=examples("planact init", "planact init ~/project"))(init)


def trust(
    folder: Annotated[Path, typer.Argument(help="The folder whose files you trust.", metavar="FOLDER")] = Path(),
    forget: Annotated[bool, typer.Option("--forget", help="Take the trust back.")] = False,
) -> int:
    """Let the planact.toml and mcp.json of a folder take effect.

    They hold when you work in that folder. They can start programs and load Python, so look at them first.
    The trust ends when they change.
    It is always a person who answers: without a terminal this command refuses.
    """
    settings = read_config(None, quietly=True)
    with Store.open(settings.state) as store:
        if forget:
            known = store.distrust_folder(str(folder.resolve()))
            complain(f"{folder} is {'no longer' if known else 'not'} trusted.")
            return 0
        files = examine(folder)
        if files is None:
            raise UsageError(_nothing_there(folder))
        _show(files, store)
        if not _agreed(f"Trust {files.folder}?", settings):
            complain("Nothing was changed.")
            return 1
        _trust(store, files)
    complain(f"{files.folder} is trusted until one of these files changes.")
    return 0


def init(
    folder: Annotated[Path, typer.Argument(help="Where to put the planact.toml.", metavar="FOLDER")] = Path(),
) -> int:
    """Write a planact.toml into a folder, and trust it."""
    settings = read_config(None, quietly=True)
    path = folder / SETTINGS_NAME
    if (folder / SERVERS_NAME).exists():
        # What is already there was not written by us, so a person has to look at it.
        raise UsageError(f"{folder / SERVERS_NAME} is already there: look at it, then `planact trust {folder}`.")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(NEW_SETTINGS)
    except FileExistsError:
        raise UsageError(f"{path} is already there; edit it, then `planact trust {folder}`.") from None
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from None
    with Store.open(settings.state) as store:
        files = examine(folder)
        if files is not None:
            _trust(store, files)
    complain(f"Wrote {path} and trusted it as it is. After editing it: planact trust {folder}")
    return 0


def _trust(store: Store, files: FolderFiles) -> None:
    try:
        trust_folder(store, files)
    except TrustError as error:
        raise UsageError(str(error)) from None


def _show(files: FolderFiles, store: Store) -> None:
    out = console()
    before = store.trusted_folder(str(files.folder))
    for name, content in ((SETTINGS_NAME, files.settings), (SERVERS_NAME, files.servers)):
        if content is not None:
            out.print(f"[bold]{name}[/bold]")
            out.print(visible(content.decode("utf-8", "replace")), markup=False)
    if files.packs:
        out.print(visible(f"It loads Python from: {', '.join(files.packs)}"), markup=False)
    if before is None:
        return
    try:
        changed = changes(files, before)
    except TrustError as error:
        raise UsageError(str(error)) from None
    if changed:
        out.print(visible(f"Since you trusted it: {', '.join(changed)}"), markup=False)


def _agreed(question: str, settings: Config) -> bool:
    if settings.policy.approve_without_terminal:
        return True
    answer = ask_person(question)
    if answer is None:
        raise UsageError("Trust is given by a person on a terminal, and there is none here. Run it in a terminal.")
    return answer


def _nothing_there(path: Path) -> str:
    if path.exists():
        return f"{path} has neither a {SETTINGS_NAME} nor an {SERVERS_NAME}; there is nothing to trust."
    return (
        f"There is no folder {str(path)!r}. To trust the read marks of a server named so, add to your planact.toml:\n"
        f'[policy]\ntrust = ["{path}"]'
    )
