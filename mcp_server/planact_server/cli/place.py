"""Where this installation is: what a host has to start."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path


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


def host_entry() -> str:
    """Return the JSON that adds Planact to a host."""
    command, *arguments = own_command()
    return json.dumps({"mcpServers": {"planact": {"command": command, "args": [*arguments, "serve"]}}})
