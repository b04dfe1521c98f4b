"""What a server process gets from us: which variables, and which program a command means."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from planact_bridge.errors import StartError
from planact_bridge.itself import INSIDE
from planact_bridge.programs import well_known_folders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_bridge.specs import StdioSpec

# Everything else may hold secrets: an entry that needs more says so in `env`.
_POSIX = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
_WINDOWS = (
    *("APPDATA", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PATHEXT", "PROCESSOR_ARCHITECTURE"),
    *("PROGRAMDATA", "PROGRAMFILES", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE", "WINDIR"),
)


def child_environment(spec: StdioSpec) -> dict[str, str]:
    """Return the few variables that are safe to inherit, the mark of a server, and those of the entry over them.

    PATH ends with the folders that a shell would know, for the program and for what it starts in turn (`npx` is a
    script that needs `node`). A PATH of the entry's own is left as it is.
    """
    inherited = _WINDOWS if sys.platform == "win32" else _POSIX
    # A value that begins with "()" is an exported shell function: code, not data.
    kept = {key: os.environ[key] for key in inherited if not os.environ.get(key, "()").startswith("()")}
    given = kept.get("PATH", os.defpath).split(os.pathsep)
    more = [folder for folder in well_known_folders(kept) if folder not in given]
    return kept | {"PATH": os.pathsep.join([*given, *more]), INSIDE: spec.name.replace("\0", "?")} | dict(spec.env)


def find_program(spec: StdioSpec, environ: Mapping[str, str]) -> str:
    """Return the full path of the entry's command. Raises StartError saying what to check."""
    if spec.cwd is not None and not Path(spec.cwd).is_dir():
        raise StartError(f"Server {spec.name!r} did not start: its folder {spec.cwd!r} does not exist. Check 'cwd'.")
    # which() also finds npx.cmd and the like on Windows, which the operating system itself would not.
    found = shutil.which(spec.command, path=environ.get("PATH"))
    if found is not None:
        return found
    if Path(spec.command).is_absolute():
        reason = "is not executable" if Path(spec.command).exists() else "does not exist"
        raise StartError(f"Server {spec.name!r} did not start: {spec.command!r} {reason}. Check 'command'.")
    looked = ", ".join(dict.fromkeys(environ.get("PATH", "").split(os.pathsep)))
    raise StartError(
        f"Server {spec.name!r} did not start: the command {spec.command!r} was not found in {looked}. "
        f"Install it, or write its full path as 'command'{_how_to_find(spec.command)}."
    )


def _how_to_find(command: str) -> str:
    if os.sep in command:
        return ""
    return f": in a terminal where it works, `{'where' if sys.platform == 'win32' else 'command -v'} {command}` says it"
