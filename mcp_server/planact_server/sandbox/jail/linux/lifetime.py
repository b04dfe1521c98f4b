"""How a process ends with another one, and gives up for good what a program could gain by starting."""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    raise ImportError("These are Linux's.")

from planact_server.sandbox.jail.layers import took
from planact_server.sandbox.jail.linux import libc

_SET_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38
_SIGKILL = 9


def die_with(parent: int) -> bool | str:
    """End when `parent` ends, or at once if that is over. The kernel forgets it when a process changes its user."""
    done = took(lambda: _set(_SET_DEATH_SIGNAL, _SIGKILL))
    # A parent in another namespace is 0 in here, and its own end is then the end of everything in that namespace.
    if os.getppid() not in (parent, 0):
        os._exit(1)  # it died before we could ask
    return done


def no_new_privileges() -> None:
    """Raises OSError."""
    _set(_NO_NEW_PRIVILEGES, 1)


def _set(option: int, value: int) -> None:
    libc.prctl(option, value)
