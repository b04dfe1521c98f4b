"""From a loaded interpreter to a jailed worker: the last steps, the same for forked and for spawned ones."""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import Any, NoReturn

from planact_server.sandbox import jail
from planact_server.sandbox.inside import memory, worker

_WINDOWS_OPEN_MAX = 64
"""More than a fresh interpreter ever has open there."""


def serve(fd_in: int, fd_out: int, *, parent: int, rights: dict[str, Any], layers: jail.Layers) -> NoReturn:
    """Keep the two descriptors, give up the rest, and serve. `layers` is what took before.

    Never returns and never raises: what is above on the stack belongs to the zygote.
    """
    try:
        descriptors = _keep_only(fd_in, fd_out)
        if sys.platform != "win32":
            os.setsid()
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until the worker listens to it
        os.environ.clear()  # it began empty, but Python and Windows put something in
        random.seed()
        memory.widen_stack()
        rights = rights | {"memory_bytes": rights["memory_bytes"] + memory.RESERVE_BYTES}
        layers = {
            "process": True,
            "environment": True,
            **layers,
            **jail.confine(jail.Rights(**rights, descriptors=descriptors), parent=parent),
        }
        worker.serve(0, descriptors - 1, layers=layers)
    finally:
        os._exit(1)


def _keep_only(fd_in: int, fd_out: int) -> int:
    """Move the stream to 0 (and 1, where it has two ends), close all others, and return how many there are.

    From the lowest numbers up and with a limit of that number, there is no room for another descriptor.
    """
    sys.stdin = sys.stdout = sys.stderr = None
    kept = (fd_in,) if fd_in == fd_out else (fd_in, fd_out)
    for number, fd in enumerate(kept):
        if fd != number:
            os.dup2(fd, number)
    os.closerange(len(kept), os.sysconf("SC_OPEN_MAX") if sys.platform != "win32" else _WINDOWS_OPEN_MAX)
    return len(kept)
