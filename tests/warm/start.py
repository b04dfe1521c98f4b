"""Real processes of Planact that start in a fraction of the time: forks of one that has imported what they import.

Importing is nearly all of a start, and the tests start hundreds of processes. Only that is shared: each process has
arguments, environment, folder, streams, signals and exit code of its own. Three take part:

- `server.py`, one for each test process, imports once, forks, and tells how each child ended;
- `launcher.py` stands where the interpreter would, passes everything on to its child, and ends as it ends;
- the child is killed when its launcher is.
"""

import atexit
import functools
import os
import secrets
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def warm_python(*arguments: str) -> list[str]:
    """Return a command that does what `python -P ARGUMENTS` does; ARGUMENTS begin with `-m MODULE` or a script."""
    if not hasattr(os, "pidfd_open"):  # Linux alone tells through a descriptor that a process has ended
        return [sys.executable, "-P", *arguments]
    # -S: the launcher needs no site-packages, and starts in half the time.
    return [sys.executable, "-P", "-S", str(FOLDER / "launcher.py"), _server(), *arguments]


@functools.cache
def _server() -> str:
    """Start the server of this test process, once, and return its address."""
    address = f"planact-tests-{secrets.token_hex(8)}"
    process = subprocess.Popen(
        [sys.executable, "-P", str(FOLDER / "server.py"), address],
        stdin=subprocess.PIPE,  # its end is the server's end
        stdout=subprocess.PIPE,
        cwd=FOLDER,
        start_new_session=True,  # Ctrl-C is for the tests
    )
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(process.communicate)
    assert process.stdout.readline() == b"serving\n"
    return address
