"""System calls that the standard library has no function for. Everything here raises OSError."""

from __future__ import annotations

import ctypes
import os
import sys

if sys.platform != "linux":
    raise ImportError("These system calls are Linux's.")

MACHINE = os.uname().machine

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

Argument = int | bytes | None | ctypes.Array[ctypes.c_char]


def prctl(option: int, value: int = 0, *more: int) -> int:
    arguments = [ctypes.c_ulong(number) for number in (value, *more, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *arguments))


def system_call(number: int, *arguments: Argument) -> int:
    """Make a call by its number on this machine; integers are passed as machine words."""
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words))


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)))


def setns(descriptor: int, kind: int) -> None:
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)))


def mount(what: bytes | None, where: bytes, kind: bytes | None, flags: int, options: bytes | None = None) -> None:
    _checked(_libc.mount(what, where, kind, ctypes.c_ulong(flags), options))


def unmount(where: bytes, flags: int) -> None:
    _checked(_libc.umount2(where, ctypes.c_int(flags)))


def _checked(returned: int) -> int:
    if returned < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return returned
