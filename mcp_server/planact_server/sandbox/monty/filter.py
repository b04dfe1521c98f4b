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

from planact_server.sandbox.jail.linux import bpf, libc, seccomp, system_calls

if TYPE_CHECKING:
    from collections.abc import Mapping

if sys.platform != "linux":
    raise ImportError("Seccomp is Linux's.")

PROGRAM_FD = 3
"""Where the program's file has to be open, to be closed when it has started."""

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
    seccomp.put_on(bpf.encoded(program(libc.MACHINE, pid=pid)))


def install_for_driver(*, pid: int) -> None:
    """Put the driver's filter on all threads for good. Raises OSError, ValueError for a machine without a table."""
    seccomp.put_on(bpf.encoded(driver_program(libc.MACHINE, pid=pid)), all_threads=True)


def driver_program(machine: str, *, pid: int) -> list[bpf.Instruction]:
    """Return the driver's filter for a machine. Raises ValueError for one that has no table."""
    started = {name: _NUMBERS[name] for name in ("clone", "clone3", "rseq", "set_robust_list")}
    numbers = system_calls.numbers(started, machine)
    more = _threads(numbers)
    for number in [*system_calls.numbers(_EVENTS, machine).values(), numbers["rseq"], numbers["set_robust_list"]]:
        more += bpf.when(number, [bpf.give(bpf.ALLOW)])
    for number in system_calls.numbers(_REFUSED, machine).values():
        more += bpf.when(number, [bpf.give(bpf.FAIL | errno.EPERM)])
    return _before_the_others(more, machine, pid=pid)


def program(machine: str, *, pid: int) -> list[bpf.Instruction]:
    """Return Monty's filter for a machine. Raises ValueError for one that has no table."""
    numbers = system_calls.numbers(_NUMBERS, machine)
    more: list[bpf.Instruction] = []
    for name in _ALLOWED:
        if name in numbers:
            more += bpf.when(numbers[name], [bpf.give(bpf.ALLOW)])
    more += _threads(numbers)
    more += bpf.when(numbers["prctl"], [bpf.give(bpf.FAIL | errno.EPERM)])
    started = [
        bpf.load(0),
        (bpf.EQUAL, 0, 3, PROGRAM_FD),
        bpf.load(4),
        (bpf.EQUAL, 0, 1, _EMPTY_PATH),
        bpf.give(bpf.ALLOW),
    ]
    more += bpf.when(numbers["execveat"], [*started, bpf.give(bpf.KILL)])
    executable = [bpf.load(2), (bpf.ANY_BIT, 1, 0, _EXECUTE), bpf.give(bpf.ALLOW)]
    writable = [(bpf.ANY_BIT, 0, 1, _WRITE), bpf.give(bpf.KILL)]
    fresh = [bpf.load(3), (bpf.ANY_BIT, 0, 1, _ANONYMOUS), bpf.give(bpf.KILL), bpf.give(bpf.ALLOW)]
    more += bpf.when(numbers["mmap"], [*executable, *writable, *fresh])
    return _before_the_others(more, machine, pid=pid)


def _threads(numbers: Mapping[str, int]) -> list[bpf.Instruction]:
    # Where it cannot be looked into, its argument being memory, the C library takes the older call.
    newer = bpf.when(numbers["clone3"], [bpf.give(bpf.FAIL | errno.ENOSYS)])
    older = [bpf.load(0), (bpf.EQUAL, 0, 1, _THREAD), bpf.give(bpf.ALLOW), bpf.give(bpf.KILL)]
    return newer + bpf.when(numbers["clone"], older)


def _before_the_others(more: list[bpf.Instruction], machine: str, *, pid: int) -> list[bpf.Instruction]:
    """Put blocks into the filter of the other workers, where it has loaded the number of the call."""
    plain = seccomp.program(machine, pid=pid)
    begin = next(index for index, (code, _, _, operand) in enumerate(plain) if (code, operand) == (bpf.LOAD, 0)) + 1
    begin += 2 if machine == "x86_64" else 0
    return [*plain[:begin], *more, *plain[begin:]]
