"""What the child process may do to the machine. Runs in the child, before llama.cpp is loaded.

On Linux it dies with its parent, is the first that the system ends when memory runs out, leaves no core dumps
(they would be as large as the model), and, where the CPU does the work, cannot take more memory than was available
when it started: a context that is too large is then an error instead of a machine that swaps. On a device there is
no such limit, because drivers set aside address space far beyond what they use. Elsewhere only the end of its
input ends the child.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
import sys
from pathlib import Path

from planact_quantized.fitting.host import read_host

SPARE_SHARE = 20
"""One part in so many of the machine's memory is left for everybody else."""

_LEAST_BYTES = 256 * 1024**2
"""Enough to start with and to say clearly that a model does not fit."""

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "800"
"""Of 1,000 (proc(5)): before the user's own programs, whatever their size."""


def confine(*, memory: bool) -> None:
    """Bind this process to its parent and, with `memory`, to the memory that is available now."""
    # Ctrl-C in a terminal is for the parent, which then ends this process in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 - Windows has none

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _volunteer()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            # Not RLIMIT_AS: a model file is mapped, and takes no memory that others could not have.
            host = read_host()
            limit = _data_bytes() + max(_LEAST_BYTES, host.available_bytes - host.total_bytes // SPARE_SHARE)
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _volunteer() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
    except OSError:
        # A container that was given a higher score, or no /proc: the system's own choice stands.
        return


def _data_bytes() -> int:
    """Return what this process itself already counts against RLIMIT_DATA."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    return int(pages) * mmap.PAGESIZE
