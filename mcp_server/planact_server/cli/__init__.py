"""The command line. `main(argv) -> int` is what tests call."""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells have it."""


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
    sys.exit(main())
