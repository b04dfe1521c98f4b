"""Where this installation is: what a host has to start."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

_COMMAND = re.compile(
    r"(?<![\w./\\-])planact(?= (?:demo|run|ask|serve|tools|servers|hosts|packs|models|eval|trust|init|doctor)\b)"
)


def own_command() -> tuple[str, ...]:
    """Return the absolute command line of `planact`: hosts do not read a shell's PATH."""
    name = "planact.exe" if sys.platform == "win32" else "planact"
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / name).is_file():
            return (str(folder / name),)
    return (sys.executable, "-P", "-m", "planact_server")


def as_typed(*arguments: str) -> str:
    """Return a `planact` command as one would type it, quoted where it has to be."""
    words = (*own_command(), *arguments)
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


@cache
def name_used() -> str:
    """Return how a shell finds `planact` here: its name where that leads to this installation, else what was typed."""
    found = shutil.which("planact")
    own = own_command()
    if found is not None and len(own) == 1 and Path(found).resolve() == Path(own[0]).resolve():
        return "planact"
    typed = sys.argv[0]
    if Path(typed).stem == "planact" and Path(typed).resolve() == Path(own[0]).resolve():
        return shlex.quote(typed)
    return as_typed()


def as_usable(text: str) -> str:
    """Return a text with the commands in it as they can be pasted here."""
    return _COMMAND.sub(lambda _: name_used(), text)


def host_entry() -> str:
    """Return the JSON that adds Planact to a host."""
    command, *arguments = own_command()
    return json.dumps({"mcpServers": {"planact": {"command": command, "args": [*arguments, "serve"]}}})
