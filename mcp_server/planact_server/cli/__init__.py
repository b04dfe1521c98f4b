"""The command line. `main(argv) -> int` is what tests call."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence

INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells have it."""

THREAD_SECONDS = 1.0
"""How long threads that a pack has started may take to end when all else has ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 ok, 1 the plan failed, 2 wrong usage, 3 approval needed."""
    try:
        # Half a second of reading modules, and Ctrl-C may come as early as that.
        from planact_server.cli.program import run_command

        return run_command(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def entry_point() -> None:
    """The `planact` command."""
    code = main()
    if _threads_remain():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _threads_remain() -> bool:
    """Say whether threads that are no daemons go on: those of a pack, for which the interpreter would wait for ever."""
    deadline = time.monotonic() + THREAD_SECONDS
    others = [each for each in threading.enumerate() if each is not threading.main_thread() and not each.daemon]
    for each in others:
        each.join(max(0.0, deadline - time.monotonic()))
    return any(each.is_alive() for each in others)
