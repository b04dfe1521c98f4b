"""Root's rights, each of which a process can have by itself, and who a process is."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

from planact_server.sandbox.jail.linux import libc, namespaces

if sys.platform != "linux":
    raise ImportError("Capabilities are Linux's.")

_VERSION_3 = 0x20080522
_CAPSET = {"x86_64": 126, "aarch64": 91}
_DROP_FROM_BOUND = 24
_AMBIENT, _CLEAR_ALL = 47, 4
_SET_DUMPABLE = 4
_LAST = 63


def become_nobody() -> None:
    """Stop being root, of the machine or of a container. Raises OSError."""
    os.setgroups([])
    nobody = namespaces.NOBODY
    os.setresgid(nobody, nobody, nobody)
    os.setresuid(nobody, nobody, nobody)
    libc.prctl(_SET_DUMPABLE, 1)  # a process that changed its user may not write its own /proc files otherwise


def hide() -> None:
    """Let no other process of this user look into this one. Raises OSError."""
    libc.prctl(_SET_DUMPABLE, 0)


def bound() -> None:
    """Let no program that is started from here on get a capability, and keep those that this process has."""
    for number in range(_LAST + 1):
        try:
            libc.prctl(_DROP_FROM_BOUND, number)
        except OSError:  # past the last one, or without the right to: then only no_new_privs keeps them away
            break
    libc.prctl(_AMBIENT, _CLEAR_ALL)


def drop_all() -> None:
    """Give up every capability. Raises OSError."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION_3, 0))
    libc.system_call(_CAPSET[libc.MACHINE], header, ctypes.create_string_buffer(24))
