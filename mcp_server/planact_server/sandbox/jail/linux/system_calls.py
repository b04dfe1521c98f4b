"""Which system calls a worker may make, and their numbers on the machines that we know.

A worker computes, allocates memory, reads the clock, waits, and reads and writes its one stream. Its Python tries a
few more things on its own (look at a file, ask for a terminal); those fail as if it had no right to. All the rest is
not to be expected from Python, only from native code that an attacker brought in: the kernel ends the worker.

Each call has its number on x86_64 and on aarch64; None where a machine does not have it.
"""

from __future__ import annotations

from typing import TypeAlias

MACHINES = ("x86_64", "aarch64")

Numbers: TypeAlias = dict[str, tuple[int | None, int | None]]

ALLOWED: Numbers = {
    "brk": (12, 214),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "close": (3, 57),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getitimer": (36, 102),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "madvise": (28, 233),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "nanosleep": (35, 101),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pselect6": (270, 72),
    "read": (0, 63),
    "readv": (19, 65),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "select": (23, None),
    "setitimer": (38, 103),
    "sigaltstack": (131, 132),
    "time": (201, None),
    "times": (100, 153),
    "write": (1, 64),
    "writev": (20, 66),
}

FAILING: Numbers = {
    "access": (21, None),
    "creat": (85, None),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fcntl": (72, 25),
    "fstat": (5, 80),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "ioctl": (16, 29),
    "lseek": (8, 62),
    "lstat": (6, None),
    "membarrier": (324, 283),
    "newfstatat": (262, 79),
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "rseq": (334, 293),
    "sched_getaffinity": (204, 123),
    "set_robust_list": (273, 99),
    "stat": (4, None),
    "statx": (332, 291),
    "sysinfo": (99, 179),
    "uname": (63, 160),
}
"""What Python and its C library do by themselves: it fails, and Python goes on."""

LIMITED: Numbers = {
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "prlimit64": (302, 261),
    "tgkill": (234, 131),
}
"""Calls whose arguments decide; see `seccomp`."""


def numbers(table: Numbers, machine: str) -> dict[str, int]:
    """Return name → number on a machine. Raises ValueError for one that we have no table of."""
    column = MACHINES.index(machine)
    return {name: number for name, both in table.items() if (number := both[column]) is not None}
