"""Linux: resource limits, no new privileges, death with the parent."""

import ctypes
import os
import signal
import sys
from functools import partial
from pathlib import Path

from planact_server.sandbox.jail import rlimits
from planact_server.sandbox.jail.layers import Layers, Rights, took

if sys.platform != "linux":
    raise ImportError("These layers are Linux's.")

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)
_held_bytes = 0


def prepare(*, parent: int) -> Layers:
    """Die with `parent`, measure while /proc can be read, and give up new privileges for good."""
    _die_with(parent)
    global _held_bytes  # noqa: PLW0603 - workers inherit it through fork, when there is no /proc any more
    _held_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    return {"no_new_privs": took(partial(_prctl, _PR_SET_NO_NEW_PRIVS, 1))}


def confine(rights: Rights, *, parent: int) -> Layers:
    """Take from this worker what it does not need. It dies with `parent`."""
    return {
        "dies_with_parent": _die_with(parent),
        **rlimits.apply(rights, memory_bytes=_held_bytes + rights.memory_bytes),
    }


def _die_with(parent: int) -> bool | str:
    done = took(partial(_prctl, _PR_SET_PDEATHSIG, signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)  # it died before we could ask
    return done


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
