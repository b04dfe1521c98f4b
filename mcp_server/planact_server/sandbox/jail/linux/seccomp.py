"""The filter of system calls: a program that the kernel runs before each one.

Written in classic BPF, as `linux/seccomp.h` and `linux/filter.h` define it. Whatever is not allowed ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import signal
import struct
import sys
from functools import cache

from planact_server.sandbox.jail.linux import libc
from planact_server.sandbox.jail.linux.system_calls import ALLOWED, FAILING, LIMITED, numbers

if sys.platform != "linux":
    raise ImportError("Seccomp is Linux's.")

KILL = 0x80000000
ALLOW = 0x7FFF0000
FAIL = 0x00050000
"""Or-ed with the error number."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
"""On x86_64, numbers from here on are those of another, older table."""

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER = 1
_ALL_THREADS = 1
_EXECUTABLE = 4
_ADDRESS_SPACE = 9

_LAYOUT = "=HBBI"
_SIZE = struct.calcsize(_LAYOUT)

Instruction = tuple[int, int, int, int]
"""Code, how far to jump when it holds, how far when not, and the operand."""


def install(*, pid: int) -> None:
    """Put the filter on this process for good. Raises OSError. `pid` is its own number."""
    if libc.MACHINE not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {libc.MACHINE!r}")
    put_on(_encoded(libc.MACHINE, pid))


def put_on(code: bytes, *, all_threads: bool = False) -> None:
    """Put an encoded filter on this thread for good, or on all that there are. Raises OSError."""
    held = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // _SIZE, ctypes.addressof(held))
    given = ctypes.create_string_buffer(header, len(header))
    flags = _ALL_THREADS if all_threads else 0
    refusing = libc.system_call(_SECCOMP[libc.MACHINE], _SET_MODE_FILTER, flags, given)
    if refusing:
        raise OSError(errno.EBUSY, f"thread {refusing} has a filter of its own")


def encoded(program: list[Instruction]) -> bytes:
    """Return a filter as the kernel takes it."""
    return b"".join(struct.pack(_LAYOUT, *each) for each in program)


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
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        _return(KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), _return(KILL)]
    for number in numbers(ALLOWED, machine).values():
        code += _when(number, [_return(ALLOW)])
    for number in numbers(FAILING, machine).values():
        code += _when(number, [_return(FAIL | errno.EPERM)])
    limited = numbers(LIMITED, machine)
    for name in ("mmap", "mprotect"):
        code += _when(limited[name], [_load(2), (_ANY_BIT, 0, 1, _EXECUTABLE), _return(KILL), _return(ALLOW)])
    # Limits may be read, and the one on memory be moved below its hard bound; of this process only.
    changed = [_load(1), (_EQUAL, 0, 1, _ADDRESS_SPACE), _return(ALLOW)]
    read = [*_require(2, 0), *_require(2, 0, upper=True), _return(ALLOW)]
    code += _when(limited["prlimit64"], [*_require(0, 0), *changed, *read])
    # abort() signals the process itself: a crash shall look like one.
    code += _when(limited["tgkill"], [*_require(0, pid), *_require(2, signal.SIGABRT), _return(ALLOW)])
    return [*code, _return(KILL)]


def _when(number: int, block: list[Instruction]) -> list[Instruction]:
    """Do a block, which has to end in a return, for one system call."""
    return [(_EQUAL, 0, len(block), number), *block]


def _require(argument: int, value: int, *, upper: bool = False) -> list[Instruction]:
    return [_load(argument, upper=upper), (_EQUAL, 1, 0, value), _return(KILL)]


def _load(argument: int, *, upper: bool = False) -> Instruction:
    """Load half of an argument: these machines put the lower half first."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument + 4 * upper)


def _return(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)
