"""The Linux jail around a native program: the layers of the other workers, taken on before the program starts.

What differs: its root is not empty but holds the program's own files, and what a start of a program undoes by itself
(that the process cannot be looked into) is not claimed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from planact_server.sandbox.jail.layers import Layers, took
from planact_server.sandbox.jail.linux import capabilities, landlock, libc, namespaces
from planact_server.sandbox.monty import filter as system_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

if sys.platform != "linux":
    raise ImportError("These layers are Linux's.")

_SET_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE, _DETACH = 32, 0x1000, 0x4000, 0x40000, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_STREAMS = 3
_DESCRIPTORS = _STREAMS + 1
"""Its two streams, its errors, and one for the loader to open a library with."""

_START_BYTES = 256 * 1024 * 1024
"""Address space that the program has before any plan, mostly its own file."""


def become(settings: dict[str, Any], arguments: Sequence[str]) -> NoReturn:
    """Confine this process, report what took, and become the program."""
    process = os.getpid()
    files = [settings["program"], *settings["files"]]
    os.closerange(_STREAMS, os.sysconf("SC_OPEN_MAX"))
    opened = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in files]
    if opened[0] != system_calls.PROGRAM_FD:
        os._exit(1)
    report = os.open(settings["report"], os.O_WRONLY | os.O_CLOEXEC)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    layers: Layers = {"process": True, "environment": True, "language": True}
    layers |= _leave_machine(files, parent=settings["parent"])
    os.setsid()
    layers |= _give_up(opened, memory_bytes=settings["memory_bytes"], cpu_seconds=settings["cpu_seconds"])
    seccomp = took(lambda: system_calls.install(pid=os.getpid()))
    layers |= {"seccomp": seccomp, "processes": seccomp}
    os.write(report, json.dumps({"pid": process, "layers": layers}).encode() + b"\n")
    os.execve(system_calls.PROGRAM_FD, [Path(settings["program"]).name, *arguments], {})  # noqa: S606 - a program of ours


def _leave_machine(files: Sequence[str], *, parent: int) -> Layers:
    _die_with(parent)
    layers: Layers = {}
    root = os.geteuid() == 0
    if root and namespaces.user_is_possible():
        layers["unprivileged_user"] = took(capabilities.become_nobody)
        _die_with(parent)  # the kernel forgets it when a process changes its user
    layers |= namespaces.enter()
    layers["dies_with_parent"] = _die_with(os.getppid())
    own_mounts = layers["mount_namespace"] is True
    layers["empty_root"] = (
        took(partial(_own_root, files)) if own_mounts else "not available: the program's files have to stay in sight"
    )
    if root and "unprivileged_user" not in layers:
        layers["unprivileged_user"] = took(capabilities.become_nobody)
    took(capabilities.bound)
    layers["hidden"] = "not available: a program is visible again once it starts"
    layers["no_new_privs"] = took(lambda: _set(_NO_NEW_PRIVILEGES, 1))
    return layers


def _give_up(opened: Sequence[int], *, memory_bytes: int, cpu_seconds: int) -> Layers:
    return {
        "capabilities": took(capabilities.drop_all),
        "landlock": took(partial(landlock.restrict, loadable=opened)),
        "cpu": took(lambda: _limit(resource.RLIMIT_CPU, cpu_seconds, spare=1)),
        "files": took(_no_files),
        "descriptors": took(lambda: _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)),
        # Monty counts what a plan holds by itself; this is for what it does not count.
        "memory": took(lambda: _limit(resource.RLIMIT_AS, _START_BYTES + 2 * memory_bytes)),
    }


def _own_root(files: Sequence[str]) -> None:
    """See only the program's own files, and those read-only. Raises OSError."""
    libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE)
    place = next(name for name in ("/proc", "/dev", "/mnt") if Path(name).is_dir())
    secured = _NO_SUID | _NO_DEVICES
    libc.mount(b"none", place.encode(), b"tmpfs", secured | _NO_PROGRAMS, b"size=64k,nr_inodes=64,mode=555")
    for file in files:
        target = Path(place + file)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        libc.mount(file.encode(), str(target).encode(), None, _BIND)
        libc.mount(b"none", str(target).encode(), None, _REMOUNT | _BIND | _READ_ONLY | secured)
    os.chdir(place)
    libc.system_call(_PIVOT_ROOT[libc.MACHINE], b".", b".")  # the old root now lies over the new one
    libc.unmount(b".", _DETACH)
    libc.mount(b"none", b"/", None, _REMOUNT | _READ_ONLY | secured | _NO_PROGRAMS)
    os.chdir("/")


def _limit(kind: int, value: int, *, spare: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY and hard < value + spare:
        value, spare = hard, 0
    resource.setrlimit(kind, (value, value + spare))


def _no_files() -> None:
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)


def _die_with(parent: int) -> bool | str:
    done = took(lambda: _set(_SET_DEATH_SIGNAL, signal.SIGKILL))
    if os.getppid() not in (parent, 0):
        os._exit(1)  # it died before we could ask
    return done


def _set(option: int, value: int) -> None:
    libc.prctl(option, value)
