"""Landlock: rights over files, TCP ports and other processes that not even an open descriptor gives back.

Every right that the kernel knows is handled and none is granted. The constants are those of `linux/landlock.h`.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import TYPE_CHECKING

from planact_server.sandbox.jail.linux import libc

if TYPE_CHECKING:
    from collections.abc import Iterable

if sys.platform != "linux":
    raise ImportError("Landlock is Linux's.")

_CREATE, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every machine
_ASK_VERSION = 1
_BENEATH = 1
_LOAD = 0b101
"""To execute and to read a file."""

_FILES = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights over files there are since a version."""

_TCP_SINCE, _TCP = 4, 0b11
_SCOPES_SINCE, _SOCKETS, _SIGNALS = 6, 0b01, 0b10


def version() -> int:
    """Return the version that the kernel has. Raises OSError where it has none."""
    return libc.system_call(_CREATE, None, 0, _ASK_VERSION)


def restrict(*, loadable: Iterable[int] = (), signals: bool = False) -> None:
    """Give up all of it. Raises OSError. Needs a free descriptor for a moment.

    `loadable` are open files that a program is still to be loaded from: they may be read and executed. `signals`: it
    may go on signalling processes that have not given up the same with it.
    """
    rights = _rights(version(), signals=signals)
    attributes = ctypes.create_string_buffer(rights, len(rights))
    ruleset = libc.system_call(_CREATE, attributes, len(rights), 0)
    try:
        for fd in loadable:
            rule = struct.pack("=Qi", _LOAD, fd)
            libc.system_call(_ADD_RULE, ruleset, _BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
        libc.system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _rights(kernel: int, *, signals: bool) -> bytes:
    """Return `struct landlock_ruleset_attr` as a kernel of this version takes it."""
    files = (1 << max(count for since, count in _FILES.items() if since <= kernel)) - 1
    fields = [files]
    if kernel >= _TCP_SINCE:
        fields.append(_TCP)
    if kernel >= _SCOPES_SINCE:
        fields.append(_SOCKETS if signals else _SOCKETS | _SIGNALS)
    return struct.pack(f"={len(fields)}Q", *fields)
