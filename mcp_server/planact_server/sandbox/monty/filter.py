"""The filters of system calls for Monty and for its driver: that of the other workers, and what else each needs.

Monty's is on before the program starts, so it has to let the program start: a dynamic loader opens and maps libraries,
a Rust runtime makes one thread. New code cannot come in that way: memory is executable only where a file is mapped that
was never writable, and Landlock leaves no files but the program's own.

The driver's is put on once Monty runs. It has an event loop, and threads of Monty's client; it opens nothing and starts
nothing any more.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

from planact_server.sandbox.jail.linux import libc, seccomp, system_calls

if TYPE_CHECKING:
    from collections.abc import Mapping

if sys.platform != "linux":
    raise ImportError("Seccomp is Linux's.")

PROGRAM_FD = 3
"""Where the program's file has to be open, to be closed when it has started."""

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ARGUMENTS_AT = 16
_WRITE, _EXECUTE, _ANONYMOUS = 2, 4, 0x20
_EMPTY_PATH = 0x1000
_THREAD = 0x3D0F00
"""The flags with which a C library makes a thread; without CLONE_THREAD in them it would be a process."""

_NUMBERS: system_calls.Numbers = {
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


_EVENTS: system_calls.Numbers = {
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "epoll_wait": (232, None),
    "pidfd_send_signal": (424, 424),
    "pread64": (17, 67),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "wait4": (61, 260),
    "waitid": (247, 95),
}
"""What the driver may do besides: wait for events, wake itself, read how large Monty is, and end it through the
descriptor that means it."""

_REFUSED: system_calls.Numbers = {
    "epoll_create1": (291, 20),
    "eventfd2": (290, 19),
    "kill": (62, 129),
    "pidfd_open": (434, 434),
    "prctl": (157, 167),
    "socketpair": (53, 199),
}
"""What the driver's libraries may try by themselves; they are told that they have no right to."""


TABLES = (_NUMBERS, _EVENTS, _REFUSED)


def install(*, pid: int) -> None:
    """Put Monty's filter on this process for good. Raises OSError, ValueError for a machine without a table."""
    seccomp.put_on(seccomp.encoded(program(libc.MACHINE, pid=pid)))


def install_for_driver(*, pid: int) -> None:
    """Put the driver's filter on all threads for good. Raises OSError, ValueError for a machine without a table."""
    seccomp.put_on(seccomp.encoded(driver_program(libc.MACHINE, pid=pid)), all_threads=True)


def driver_program(machine: str, *, pid: int) -> list[seccomp.Instruction]:
    """Return the driver's filter for a machine. Raises ValueError for one that has no table."""
    started = {name: _NUMBERS[name] for name in ("clone", "clone3", "rseq", "set_robust_list")}
    numbers = system_calls.numbers(started, machine)
    more = _threads(numbers)
    for number in [*system_calls.numbers(_EVENTS, machine).values(), numbers["rseq"], numbers["set_robust_list"]]:
        more += _when(number, [_return(seccomp.ALLOW)])
    for number in system_calls.numbers(_REFUSED, machine).values():
        more += _when(number, [_return(seccomp.FAIL | errno.EPERM)])
    return _before_the_others(more, machine, pid=pid)


def program(machine: str, *, pid: int) -> list[seccomp.Instruction]:
    """Return Monty's filter for a machine. Raises ValueError for one that has no table."""
    numbers = system_calls.numbers(_NUMBERS, machine)
    more: list[seccomp.Instruction] = []
    for name in _ALLOWED:
        if name in numbers:
            more += _when(numbers[name], [_return(seccomp.ALLOW)])
    more += _threads(numbers)
    more += _when(numbers["prctl"], [_return(seccomp.FAIL | errno.EPERM)])
    started = [_load(0), (_EQUAL, 0, 3, PROGRAM_FD), _load(4), (_EQUAL, 0, 1, _EMPTY_PATH), _return(seccomp.ALLOW)]
    more += _when(numbers["execveat"], [*started, _return(seccomp.KILL)])
    executable = [_load(2), (_ANY_BIT, 1, 0, _EXECUTE), _return(seccomp.ALLOW)]
    writable = [(_ANY_BIT, 0, 1, _WRITE), _return(seccomp.KILL)]
    fresh = [_load(3), (_ANY_BIT, 0, 1, _ANONYMOUS), _return(seccomp.KILL), _return(seccomp.ALLOW)]
    more += _when(numbers["mmap"], [*executable, *writable, *fresh])
    return _before_the_others(more, machine, pid=pid)


def _threads(numbers: Mapping[str, int]) -> list[seccomp.Instruction]:
    # Where it cannot be looked into, its argument being memory, the C library takes the older call.
    newer = _when(numbers["clone3"], [_return(seccomp.FAIL | errno.ENOSYS)])
    older = [_load(0), (_EQUAL, 0, 1, _THREAD), _return(seccomp.ALLOW), _return(seccomp.KILL)]
    return newer + _when(numbers["clone"], older)


def _before_the_others(more: list[seccomp.Instruction], machine: str, *, pid: int) -> list[seccomp.Instruction]:
    """Put blocks into the filter of the other workers, where it has loaded the number of the call."""
    plain = seccomp.program(machine, pid=pid)
    begin = next(index for index, (code, _, _, operand) in enumerate(plain) if (code, operand) == (_LOAD, 0)) + 1
    begin += 2 if machine == "x86_64" else 0
    return [*plain[:begin], *more, *plain[begin:]]


def _when(number: int, block: list[seccomp.Instruction]) -> list[seccomp.Instruction]:
    return [(_EQUAL, 0, len(block), number), *block]


def _load(argument: int) -> seccomp.Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument)


def _return(action: int) -> seccomp.Instruction:
    return (_RETURN, 0, 0, action)
