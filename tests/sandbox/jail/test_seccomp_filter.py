"""The filter of system calls, run instruction by instruction as the kernel does, for both machines."""

from __future__ import annotations

import errno
import re
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("The filter is Linux's", allow_module_level=True)

from planact_server.sandbox.jail.linux import bpf, seccomp
from planact_server.sandbox.jail.linux.system_calls import ALLOWED, FAILING, LIMITED, MACHINES, numbers
from planact_server.sandbox.monty import filter as monty_filter

if TYPE_CHECKING:
    from collections.abc import Callable

EPERM = bpf.FAIL | 1
PID = 7
FORBIDDEN = re.findall(
    r"\w+",
    """
    execve execveat clone clone3 socket connect bind ptrace process_vm_readv process_vm_writev bpf mount umount2
    unshare setns pivot_root chroot kexec_load init_module finit_module keyctl add_key request_key userfaultfd
    perf_event_open io_uring_setup io_uring_enter memfd_create kill tkill rt_sigqueueinfo pidfd_open pidfd_getfd
    pidfd_send_signal prctl seccomp setuid setresuid capset sendmsg recvmsg shmat shmget msgget semget
    landlock_restrict_self name_to_handle_at open_by_handle_at personality process_madvise pkey_mprotect
    remap_file_pages sendfile splice vmsplice fsopen move_mount mount_setattr ioperm iopl modify_ldt quotactl
    """,
)
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def decide(
    machine: str,
    number: int,
    *arguments: int,
    architecture: int | None = None,
    pid: int = PID,
    make: Callable[..., list[bpf.Instruction]] = seccomp.program,
) -> int:
    """Return what a filter says about a system call."""
    known = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    words = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number, known if architecture is None else architecture, 0, *words)
    held, at = 0, 0
    program = make(machine, pid=pid)
    while True:
        code, true, false, operand = program[at]
        at += 1
        match code:
            case 0x20:
                (held,) = struct.unpack_from("<I", data, operand)
            case 0x15:
                at += true if held == operand else false
            case 0x35:
                at += true if held >= operand else false
            case 0x45:
                at += true if held & operand else false
            case 0x06:
                return operand
            case _:
                raise AssertionError(code)


def in_headers(machine: str) -> dict[str, int]:
    """Return every system call that the C library's headers list."""
    if not HEADERS[machine].exists():
        pytest.skip(f"{HEADERS[machine]} is not installed")
    text = HEADERS[machine].read_text()
    listed = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    return listed | ({"newfstatat": listed.get("fstatat", 79)} if machine == "aarch64" else {})


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_not_listed_ends_the_process(machine: str) -> None:
    listed = {number for table in (ALLOWED, FAILING, LIMITED) for number in numbers(table, machine).values()}
    assert {decide(machine, number) for number in range(600) if number not in listed} == {bpf.KILL}
    assert {decide(machine, number) for number in numbers(ALLOWED, machine).values()} == {bpf.ALLOW}
    assert {decide(machine, number) for number in numbers(FAILING, machine).values()} == {EPERM}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_headers_and_what_does_harm_is_not_among_the_allowed(machine: str) -> None:
    listed = in_headers(machine)
    ours = {name: number for table in (ALLOWED, FAILING, LIMITED) for name, number in numbers(table, machine).items()}
    montys = [numbers(table, machine) for table in monty_filter.TABLES]
    for table in (ours, *montys):
        assert {name: listed.get(name, table[name]) for name in table} == table
    assert not {name for name in FORBIDDEN if name in ours}
    known = [name for name in FORBIDDEN if name in listed]
    assert len(known) > 50
    assert {decide(machine, listed[name]) for name in known} == {bpf.KILL}


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_and_the_old_table_of_x86_end_the_process(machine: str) -> None:
    read = numbers(ALLOWED, machine)["read"]
    assert decide(machine, read, architecture=0x40000003) == bpf.KILL
    assert decide(machine, read | 0x40000000) == bpf.KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_may_be_had_but_never_executed(machine: str) -> None:
    limited = numbers(LIMITED, machine)
    for name in ("mmap", "mprotect"):
        decisions = [decide(machine, limited[name], 0, 4096, protection) for protection in range(8)]
        assert decisions == [bpf.ALLOW] * 4 + [bpf.KILL] * 4


@pytest.mark.parametrize("machine", MACHINES)
def test_of_the_limits_only_its_own_memory_may_be_set(machine: str) -> None:
    prlimit = numbers(LIMITED, machine)["prlimit64"]
    address_space, processes, pointer = 9, 6, 0x7FFF_0000_0000
    assert decide(machine, prlimit, 0, address_space, pointer, 0) == bpf.ALLOW
    assert decide(machine, prlimit, 0, processes, 0, pointer) == bpf.ALLOW
    assert decide(machine, prlimit, 0, processes, pointer, 0) == bpf.KILL
    assert decide(machine, prlimit, 0, processes, 1, 0) == bpf.KILL
    assert decide(machine, prlimit, 1, address_space, pointer, 0) == bpf.KILL
    assert decide(machine, prlimit, 1, processes, 0, pointer) == bpf.KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_a_process_may_abort_itself_and_signal_nobody_else(machine: str) -> None:
    tgkill, abort, kill = numbers(LIMITED, machine)["tgkill"], 6, 9
    assert decide(machine, tgkill, PID, PID, abort) == bpf.ALLOW
    assert decide(machine, tgkill, PID, PID, kill) == bpf.KILL
    assert decide(machine, tgkill, PID + 1, PID, abort) == bpf.KILL


MONTYS = (monty_filter.program, {"clone", "clone3", "execveat", "prctl"})
DRIVERS = (monty_filter.driver_program, {"clone", "clone3", "kill", "pidfd_open", "pidfd_send_signal", "prctl"})
"""A filter, and the calls about which it says more than that they end the process."""


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("make", "decided"), [MONTYS, DRIVERS], ids=["monty", "driver"])
def test_around_monty_the_same_calls_end_the_process(
    machine: str, make: Callable[..., list[bpf.Instruction]], decided: set[str]
) -> None:
    listed = in_headers(machine)
    forbidden = [listed[name] for name in FORBIDDEN if name in listed and name not in decided]
    assert {decide(machine, number, make=make) for number in forbidden} == {bpf.KILL}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("make", [monty_filter.program, monty_filter.driver_program], ids=["monty", "driver"])
def test_monty_and_its_driver_may_make_threads_and_no_processes(
    machine: str, make: Callable[..., list[bpf.Instruction]]
) -> None:
    listed = in_headers(machine)
    thread, new_namespace, sigchld = 0x3D0F00, 0x10000000, 17
    assert decide(machine, listed["clone"], thread, make=make) == bpf.ALLOW
    assert decide(machine, listed["clone"], thread | new_namespace, make=make) == bpf.KILL
    assert decide(machine, listed["clone"], sigchld, make=make) == bpf.KILL
    assert decide(machine, listed["clone3"], make=make) == bpf.FAIL | errno.ENOSYS
    assert decide(machine, listed["execve"], make=make) == bpf.KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_monty_s_driver_opens_nothing_and_ends_only_what_it_holds(machine: str) -> None:
    listed = in_headers(machine)
    refused = ("openat", "kill", "pidfd_open", "socketpair", "epoll_create1", "dup")
    assert {name: decide(machine, listed[name], make=monty_filter.driver_program) for name in refused} == dict.fromkeys(
        refused, EPERM
    )
    for name in ("pidfd_send_signal", "epoll_ctl", "sendto", "recvfrom", "wait4"):
        assert decide(machine, listed[name], make=monty_filter.driver_program) == bpf.ALLOW
    assert decide(machine, listed["mmap"], 0, 4096, 4, make=monty_filter.driver_program) == bpf.KILL
