"""The Linux jail around a native program: the layers of the other workers, taken on before the program starts.

What differs: its root is not empty but holds the program's own files, and what a start of a program undoes by itself
(that the process cannot be looked into) is not claimed.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import resource
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

if sys.platform != "linux":
    raise ImportError("These layers are Linux's.")

from planact_server.sandbox.jail.layers import Layers, took
from planact_server.sandbox.jail.linux import capabilities, landlock, namespaces
from planact_server.sandbox.jail.linux.lifetime import die_with, no_new_privileges
from planact_server.sandbox.jail.rlimits import limit, no_files
from planact_server.sandbox.monty import filter as system_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

_STREAMS = 3
_DESCRIPTORS = _STREAMS + 1
"""Its two streams, its errors, and one for the loader to open a library with."""

_REPORT_FD = 64
"""More than are open when the program starts."""

_START_BYTES = 256 * 1024 * 1024
"""Address space that the program has before any plan, mostly its own file."""


def become(settings: dict[str, Any], arguments: Sequence[str]) -> NoReturn:
    """Confine this process, report what took, and become the program."""
    files = [settings["program"], *settings["files"]]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    # Behind everything that is opened from here on, and gone when the program starts.
    report = fcntl.fcntl(settings["report"], fcntl.F_DUPFD_CLOEXEC, _REPORT_FD)
    os.closerange(_STREAMS, report)
    os.closerange(report + 1, os.sysconf("SC_OPEN_MAX"))
    opened = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in files]
    if opened[0] != system_calls.PROGRAM_FD:
        os._exit(1)
    layers: Layers = {"process": True, "environment": True, "language": True}
    layers |= _leave_machine(files, parent=settings["parent"], inherited=settings["layers"])
    os.setsid()
    layers |= _give_up(opened, memory_bytes=settings["memory_bytes"], cpu_seconds=settings["cpu_seconds"])
    seccomp = took(lambda: system_calls.install(pid=os.getpid()))
    layers |= {"seccomp": seccomp, "processes": seccomp}
    os.write(report, marshal.dumps(layers))
    os.execve(system_calls.PROGRAM_FD, ["monty", *arguments], {})  # noqa: S606 - a program of ours


def _leave_machine(files: Sequence[str], *, parent: int, inherited: Layers) -> Layers:
    """`inherited` are layers that took around the driver and go on holding here."""
    die_with(parent)
    layers: Layers = {}
    root = os.geteuid() == 0
    if root and namespaces.user_is_possible():
        layers["unprivileged_user"] = took(capabilities.become_nobody)
        die_with(parent)
    layers |= inherited | namespaces.enter(processes=inherited.get("pid_namespace") is not True)
    layers["dies_with_parent"] = die_with(os.getppid())
    own_mounts = layers["mount_namespace"] is True
    in_sight = "not available: the program's files have to stay in sight"
    layers["empty_root"] = took(partial(namespaces.mount_root, files)) if own_mounts else in_sight
    if root and "unprivileged_user" not in layers:
        layers["unprivileged_user"] = took(capabilities.become_nobody)
    took(capabilities.bound)
    layers["hidden"] = "not available: a program is visible again once it starts"
    layers["no_new_privs"] = took(no_new_privileges)
    return layers


def _give_up(opened: Sequence[int], *, memory_bytes: int, cpu_seconds: int) -> Layers:
    return {
        "capabilities": took(capabilities.drop_all),
        "landlock": took(partial(landlock.restrict, loadable=opened)),
        "cpu": took(lambda: limit(resource.RLIMIT_CPU, cpu_seconds, spare=1)),
        "files": took(no_files),
        "descriptors": took(lambda: limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)),
        # Monty counts what a plan holds by itself; this is for what it does not count.
        "memory": took(lambda: limit(resource.RLIMIT_AS, _START_BYTES + 2 * memory_bytes)),
    }
