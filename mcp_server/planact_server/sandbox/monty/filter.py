"""The filter of system calls for Monty: that of the other workers, and what a native program needs to begin.

It is on before the program starts, so it has to let the program start: a dynamic loader opens and maps libraries, a
Rust runtime makes one thread. New code cannot come in that way: memory is executable only where a file is mapped that
was never writable, and Landlock leaves no files but the program's own.
"""

from __future__ import annotations

import ctypes
import errno
import struct
import sys

from planact_server.sandbox.jail.linux import libc, seccomp

if sys.platform != "linux":
    raise ImportError("Seccomp is Linux's.")

PROGRAM_FD = 3
"""Where the program's file has to be open, to be closed when it has started."""

_SET_SECCOMP, _FILTERED = 22, 2
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ARGUMENTS_AT = 16
_WRITE, _EXECUTE, _ANONYMOUS = 2, 4, 0x20
_EMPTY_PATH = 0x1000
_THREAD = 0x3D0F00
"""The flags with which a C library makes a thread; without CLONE_THREAD in them it would be a process."""

_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "arch_prctl": (158, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "execveat": (322, 281),
    "fstat": (5, 80),
    "mmap": (9, 222),
    "newfstatat": (262, 79),
    "openat": (257, 56),
    "prctl": (157, 167),
    "pread64": (17, 67),
    "rseq": (334, 293),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
}
"""On x86_64 and on aarch64."""

_ALLOWED = ("arch_prctl", "fstat", "newfstatat", "openat", "pread64", "rseq", "set_robust_list", "set_tid_address")


def install(*, pid: int) -> None:
    """Put the filter on this process for good. Raises OSError, ValueError for a machine without a table."""
    layout = "=HBBI"
    code = b"".join(struct.pack(layout, *each) for each in program(libc.MACHINE, pid=pid))
    held = ctypes.create_string_buffer(code, len(code))
    packed = struct.pack("@HP", len(code) // struct.calcsize(layout), ctypes.addressof(held))
    header = ctypes.create_string_buffer(packed, len(packed))  # a name keeps it from being freed
    libc.prctl(_SET_SECCOMP, _FILTERED, ctypes.addressof(header))


def program(machine: str, *, pid: int) -> list[seccomp.Instruction]:
    """Return the filter for a machine. Raises ValueError for one that has no table."""
    plain = seccomp.program(machine, pid=pid)
    column = {"x86_64": 0, "aarch64": 1}[machine]
    numbers = {name: number for name, both in _NUMBERS.items() if (number := both[column]) is not None}
    more: list[seccomp.Instruction] = []
    for name in _ALLOWED:
        if name in numbers:
            more += _when(numbers[name], [_return(seccomp.ALLOW)])
    # Where it cannot be looked into, its argument being memory, the C library takes the older call.
    more += _when(numbers["clone3"], [_return(seccomp.FAIL | errno.ENOSYS)])
    more += _when(numbers["prctl"], [_return(seccomp.FAIL | errno.EPERM)])
    more += _when(numbers["clone"], [_load(0), (_EQUAL, 0, 1, _THREAD), _return(seccomp.ALLOW), _return(seccomp.KILL)])
    started = [_load(0), (_EQUAL, 0, 3, PROGRAM_FD), _load(4), (_EQUAL, 0, 1, _EMPTY_PATH), _return(seccomp.ALLOW)]
    more += _when(numbers["execveat"], [*started, _return(seccomp.KILL)])
    executable = [_load(2), (_ANY_BIT, 1, 0, _EXECUTE), _return(seccomp.ALLOW)]
    writable = [(_ANY_BIT, 0, 1, _WRITE), _return(seccomp.KILL)]
    fresh = [_load(3), (_ANY_BIT, 0, 1, _ANONYMOUS), _return(seccomp.KILL), _return(seccomp.ALLOW)]
    more += _when(numbers["mmap"], [*executable, *writable, *fresh])
    begin = next(index for index, (code, _, _, operand) in enumerate(plain) if (code, operand) == (_LOAD, 0)) + 1
    begin += 2 if machine == "x86_64" else 0
    return [*plain[:begin], *more, *plain[begin:]]


def _when(number: int, block: list[seccomp.Instruction]) -> list[seccomp.Instruction]:
    return [(_EQUAL, 0, len(block), number), *block]


def _load(argument: int) -> seccomp.Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument)


def _return(action: int) -> seccomp.Instruction:
    return (_RETURN, 0, 0, action)
