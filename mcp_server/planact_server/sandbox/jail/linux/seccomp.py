"""The filter of system calls: a program that the kernel runs before each one.

Whatever is not allowed ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import signal
import struct
import sys
from functools import cache

from planact_server.sandbox.jail.linux import libc
from planact_server.sandbox.jail.linux.bpf import (
    ALLOW,
    ANY_BIT,
    ARCHITECTURE_AT,
    AT_LEAST,
    EQUAL,
    FAIL,
    KILL,
    LOAD,
    NUMBER_AT,
    SIZE,
    Instruction,
    encoded,
    give,
    load,
    require,
    when,
)
from planact_server.sandbox.jail.linux.system_calls import ALLOWED, FAILING, LIMITED, numbers

if sys.platform != "linux":
    raise ImportError("Seccomp is Linux's.")

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
"""On x86_64, numbers from here on are those of another, older table."""

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER = 1
_ALL_THREADS = 1
_EXECUTABLE = 4
_ADDRESS_SPACE = 9


def install(*, pid: int) -> None:
    """Put the filter on this process for good. Raises OSError. `pid` is its own number."""
    if libc.MACHINE not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {libc.MACHINE!r}")
    put_on(_encoded(libc.MACHINE, pid))


def put_on(code: bytes, *, all_threads: bool = False) -> None:
    """Put an encoded filter on this thread for good, or on all that there are. Raises OSError."""
    held = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // SIZE, ctypes.addressof(held))
    given = ctypes.create_string_buffer(header, len(header))
    flags = _ALL_THREADS if all_threads else 0
    refusing = libc.system_call(_SECCOMP[libc.MACHINE], _SET_MODE_FILTER, flags, given)
    if refusing:
        raise OSError(errno.EBUSY, f"thread {refusing} has a filter of its own")


def make_ready() -> None:
    """Make the filter that a worker with process numbers of its own will need, once for all of them."""
    if libc.MACHINE in _ARCHITECTURES:
        _encoded(libc.MACHINE, 1)


@cache
def _encoded(machine: str, pid: int) -> bytes:
    return encoded(program(machine, pid=pid))


def program(machine: str, *, pid: int) -> list[Instruction]:
    """Return the filter for a machine. Raises ValueError for one that has no table."""
    code: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, _ARCHITECTURES[machine]),
        give(KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [(AT_LEAST, 0, 1, _X32), give(KILL)]
    for number in numbers(ALLOWED, machine).values():
        code += when(number, [give(ALLOW)])
    for number in numbers(FAILING, machine).values():
        code += when(number, [give(FAIL | errno.EPERM)])
    limited = numbers(LIMITED, machine)
    for name in ("mmap", "mprotect"):
        code += when(limited[name], [load(2), (ANY_BIT, 0, 1, _EXECUTABLE), give(KILL), give(ALLOW)])
    # Limits may be read, and the one on memory be moved below its hard bound; of this process only.
    changed = [load(1), (EQUAL, 0, 1, _ADDRESS_SPACE), give(ALLOW)]
    read = [*require(2, 0), *require(2, 0, upper=True), give(ALLOW)]
    code += when(limited["prlimit64"], [*require(0, 0), *changed, *read])
    # abort() signals the process itself: a crash shall look like one.
    code += when(limited["tgkill"], [*require(0, pid), *require(2, signal.SIGABRT), give(ALLOW)])
    return [*code, give(KILL)]
