"""Native code in the jail, the language policy off: what it tries fails, or costs it its life."""

from __future__ import annotations

import platform
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

if sys.platform != "linux":
    pytest.skip("This jail is Linux's", allow_module_level=True)

from planact_server.sandbox import Limits, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from planact_server.sandbox.host import PooledEngine

LIMITS = Limits(seconds=5)
KILLED = "The worker was ended by SIGSYS: it made a system call that no plan has any use for."

X86_64 = platform.machine() == "x86_64"

ENDS_THE_WORKER = {
    # what it is: (number on x86_64, number on aarch64, further arguments)
    "a socket": (41, 198, "2, 1, 0"),
    "a local socket": (41, 198, "1, 1, 0"),
    "a pair of sockets": (53, 199, "1, 1, 0, 0"),
    "tracing its parent": (101, 117, "16, os.getppid(), 0, 0"),
    "reading another process's memory": (310, 270, "os.getppid(), 0, 0, 0, 0, 0"),
    "writing another process's memory": (311, 271, "os.getppid(), 0, 0, 0, 0, 0"),
    "a fork": (56, 220, "17, 0, 0, 0, 0"),
    "a thread": (435, 435, "0, 0"),
    "another program": (59, 221, "b'/bin/sh', 0, 0"),
    "another program by descriptor": (322, 281, "0, b'', 0, 0, 0x1000"),
    "killing its parent": (62, 129, "os.getppid(), 9"),
    "killing everybody": (62, 129, "-1, 9"),
    "signalling a thread": (200, 130, "1, 9"),
    "a handle on a process": (434, 434, "1, 0"),
    "a descriptor of another process": (438, 438, "0, 0, 0"),
    "io_uring": (425, 425, "8, bytes(120)"),
    "a BPF program": (321, 280, "0, bytes(120), 120"),
    "a mount": (165, 40, "b'none', b'/', b'proc', 0, 0"),
    "an unmount": (166, 39, "b'/', 2"),
    "another root": (161, 51, "b'/'"),
    "more namespaces": (272, 97, "0x10000000"),
    "other namespaces": (308, 268, "0, 0"),
    "a key": (250, 219, "0, -3, 0"),
    "adding a key": (248, 217, "b'user', b'x', b'y', 1, -3"),
    "performance counters": (298, 241, "bytes(120), 0, -1, -1, 0"),
    "page faults of its own": (323, 282, "0"),
    "a file in memory": (319, 279, "b'x', 0"),
    "shared memory": (29, 194, "0, 4096, 0o1600"),
    "a kernel module": (175, 105, "0, 0, b''"),
    "another kernel": (246, 104, "0, 0, 0, 0"),
    "another user": (117, 147, "0, 0, 0"),
    "capabilities": (126, 91, "bytes(8), bytes(24)"),
    "its own flags": (157, 167, "38, 0, 0, 0, 0"),
    "another filter": (317, 277, "1, 0, 0"),
    "opening by handle": (304, 265, "0, 0, 0"),
    "a passed descriptor": (47, 212, "0, bytes(56), 0"),
    "passing a descriptor": (46, 211, "0, bytes(56), 0"),
    "a watch on files": (294, 26, "0"),
    "an unknown call": (9999, 9999, ""),
    "memory that can be executed": (9, 222, "0, 4096, 7, 0x22, -1, 0"),
    "making memory executable": (10, 226, "0, 4096, 5"),
    "lifting a limit": (302, 261, "0, 7, bytes([255] * 16), 0"),
    "a limit of its parent": (302, 261, "os.getppid() + 1, 9, bytes(16), 0"),
}

FAILS = {
    "opening a file": "syscall(257 if X86_64 else 56, -100, b'/etc/passwd', 0, 0)",
    "making a file": "syscall(257 if X86_64 else 56, -100, b'/planact-was-here', 0o101, 0o600)",
    "looking at a file": "syscall(262 if X86_64 else 79, -100, b'/etc/passwd', bytes(256), 0)",
    "another descriptor": "syscall(32 if X86_64 else 23, 0)",
    "a pipe": "syscall(293 if X86_64 else 59, bytes(8), 0)",
    "a terminal": "syscall(16 if X86_64 else 29, 0, 0x5412, b'x')",
}


async def run(engine: PooledEngine, source: str) -> Outcome:
    worker = await engine.worker()
    with fail_after(20):
        return await worker.run(source, host=None, limits=LIMITS)  # type: ignore[arg-type] - it is never asked


@pytest.mark.parametrize("engine_choice", ["fork"])  # a new interpreter for each would take long
async def test_the_kernel_ends_a_worker_that_tries(unpoliced: PooledEngine) -> None:
    outcomes: dict[str, str | None] = {}
    for what, (*numbers, arguments) in ENDS_THE_WORKER.items():
        number = str(numbers[0 if X86_64 else 1])
        outcome = await run(unpoliced, f"result = syscall({', '.join(filter(None, [number, arguments]))})")
        outcomes[what] = outcome.worker_lost or str(outcome)
    assert outcomes == dict.fromkeys(ENDS_THE_WORKER, KILLED)


async def test_what_python_does_by_itself_fails(unpoliced: PooledEngine) -> None:
    attempts = ", ".join(f"{what!r}: {attempt}" for what, attempt in FAILS.items())
    outcome = await run(unpoliced, f"X86_64 = {X86_64}\nresult = {{{attempts}}}")
    assert outcome.result == dict.fromkeys(FAILS, "Operation not permitted")


async def test_crashing_is_told_from_attacking(unpoliced: PooledEngine) -> None:
    sources = ("os.abort()", "ctypes.string_at(0)", "socket.socket()")
    lost = [(await run(unpoliced, source)).worker_lost or "" for source in sources]
    # The first process of a namespace cannot be ended by a signal of its own; then the C library makes it crash.
    assert [text.partition(":")[0] for text in lost[:2]] == ["The worker was ended by SIGSEGV"] * 2
    assert lost[2] == KILLED


async def test_it_sees_no_environment_no_files_and_nobody_else(unpoliced: PooledEngine) -> None:
    first = await unpoliced.worker()
    outcome = await run(
        unpoliced, "result = [dict(os.environ), os.getpid(), os.getppid(), os.getuid(), os.getgid(), os.geteuid()]"
    )
    assert outcome.result == [{}, 1, 0, 65534, 65534, 65534]
    assert first.alive


ATTEMPTS = """
import errno
def error(attempt):
    try:
        return repr(attempt())
    except OSError as error:
        return errno.errorcode[error.errno]
def write(name):
    with open(name, "w") as file:
        file.write("x")
def connect():
    with socket.socket() as one:
        one.settimeout(2)
        one.connect(("127.0.0.1", %(port)d))
def trace():
    if libc.ptrace(16, %(neighbour)d, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "")
def mount():
    if libc.mount(b"none", b"/", b"tmpfs", 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "")
result = {
    "list": error(lambda: os.listdir("/")),
    "read": error(lambda: open(%(secret)r).read()),
    "write": error(lambda: write("/planact-was-here")),
    "connect": error(connect),
    "kill": error(lambda: os.kill(%(neighbour)d, 9)),
    "trace": error(trace),
    "become root": error(lambda: os.setuid(0)),
    "mount": error(mount),
}
"""

HELD_BY_THE_OTHERS = {
    "seccomp": {
        "list": "EMFILE",
        "read": "EMFILE",
        "write": "EMFILE",
        "connect": "EMFILE",
    },
    "seccomp,limits": {
        "list": "EACCES",
        "read": "ENOENT",
        "write": "EROFS",
        "connect": "EACCES",
    },
    "seccomp,limits,landlock": {
        "list": "[]",
        "read": "ENOENT",
        "write": "EROFS",
        "connect": "ENETUNREACH",
    },
    "seccomp,limits,root": {
        "list": "EACCES",
        "read": "EACCES",
        "write": "EACCES",
        "connect": "EACCES",
    },
}
"""What native code comes up against when some layers are left out."""


@pytest.mark.parametrize("layers", HELD_BY_THE_OTHERS)
async def test_no_layer_is_alone(layers: str, unpoliced_without: Callable[[str], PooledEngine], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("ESCAPED")
    engine = unpoliced_without(layers)
    neighbour = await engine.worker()
    with socket.create_server(("127.0.0.1", 0)) as server:
        facts = {"secret": str(secret), "port": server.getsockname()[1], "neighbour": neighbour.pid}
        outcome = await run(engine, ATTEMPTS % facts)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    always = {"kill": "ESRCH", "trace": "ESRCH", "become root": "EINVAL", "mount": "EPERM"}
    assert outcome.result == HELD_BY_THE_OTHERS[layers] | always
    assert neighbour.alive
