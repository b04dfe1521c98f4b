"""Namespaces: nothing of the machine has a name in here.

Made once, for the process that workers are forked from; each worker gets process numbers of its own besides. The
root that they see is an empty folder in memory that cannot be written.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from planact_server.sandbox.jail.layers import took
from planact_server.sandbox.jail.linux import libc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from planact_server.sandbox.jail.layers import Layers

if sys.platform != "linux":
    raise ImportError("Namespaces are Linux's.")

NOBODY = 65534
"""The user that a worker is, seen from inside."""

_NEW_USER = 0x10000000
_NEW_PID = 0x20000000
_KINDS = {
    "mount_namespace": 0x00020000,
    "network_namespace": 0x40000000,
    "ipc_namespace": 0x08000000,
    "uts_namespace": 0x04000000,
}

_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8
_REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 32, 0x1000, 0x4000, 0x40000
_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_own_pids: int | None = None
"""The zygote's own namespace of process numbers, to come back to after every fork."""


def user_is_possible() -> bool:
    """Try whether an ordinary user may have a user namespace here."""

    def leave() -> None:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        libc.unshare(_NEW_USER)

    return _in_child(leave)


def user_keeps(program: str) -> bool:
    """Try whether this user may start a program in a user namespace too: capabilities over files end there."""

    def enter_and_look() -> None:
        _new_user()
        if not os.access(program, os.R_OK | os.X_OK):
            raise PermissionError(program)

    return _in_child(enter_and_look)


def _in_child(step: Callable[[], None]) -> bool:
    """Try a step in a process that ends at once."""
    pid = os.fork()
    if pid == 0:
        try:
            step()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def enter(*, user: bool = True, processes: bool = True) -> Layers:
    """Leave the machine's namespaces, each as far as the system lets us. May go on in a child process.

    Without `user` it takes the rights of root, without `processes` the numbers of processes stay as they are.
    """
    layers: Layers = {"user_namespace": took(_new_user)} if user else {}
    layers |= {name: took(lambda flag=flag: libc.unshare(flag)) for name, flag in _KINDS.items()}
    if not processes:
        return layers
    layers["pid_namespace"] = took(lambda: libc.unshare(_NEW_PID))
    if layers["pid_namespace"] is True:
        _go_on_as_first()
    return layers


def empty_root(*, mounts: bool) -> None:
    """Leave all files behind. Raises OSError. `mounts`: this process has mounts of its own."""
    if mounts:
        mount_root()
    else:
        _change_to_deleted_folder()
        os.chdir("/")


def mount_root(files: Sequence[str] = ()) -> None:
    """See nothing but these files, by their own names, and those read-only. Raises OSError.

    It holds for all processes that share this one's mounts.
    """
    libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE)
    place = next(name for name in ("/proc", "/dev", "/mnt") if os.access(name, os.F_OK))
    secured = _NO_SUID | _NO_DEVICES | _NO_PROGRAMS
    size = b"size=64k,nr_inodes=64,mode=555" if files else b"size=4k,nr_inodes=2,mode=555"
    libc.mount(b"none", place.encode(), b"tmpfs", secured, size)
    for file in files:
        _show(file, place + file)
    os.chdir(place)
    libc.system_call(_PIVOT_ROOT[libc.MACHINE], b".", b".")  # the old root now lies over the new one
    libc.unmount(b".", _DETACH)
    libc.mount(b"none", b"/", None, _REMOUNT | _READ_ONLY | secured)
    os.chdir("/")


def keep_possible() -> Layers:
    """After giving up the rights of root: have one world for all workers where each cannot have its own any more."""
    global _own_pids  # noqa: PLW0603 - there is one zygote in a process
    if _own_pids is None or _in_child(lambda: libc.unshare(_NEW_PID)):
        return {}
    os.close(_own_pids)
    _own_pids = None
    return {"pid_namespace": "one for all workers: one for each needs a user namespace"}


def before_fork() -> None:
    """Give the next child process numbers of its own; nothing where the zygote has none either."""
    if _own_pids is not None:
        libc.unshare(_NEW_PID)


def after_fork() -> None:
    """Come back, in the zygote: only from its own namespace can it make the next."""
    if _own_pids is not None:
        libc.setns(_own_pids, _NEW_PID)


def _new_user() -> None:
    uid, gid = os.geteuid(), os.getegid()
    libc.unshare(_NEW_USER)
    # A user without rights may map the own group only once nobody can leave groups any more.
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
        file = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def _go_on_as_first() -> None:
    """Be process 1 of the new namespace: when it ends, the kernel ends everything in it."""
    global _own_pids  # noqa: PLW0603 - there is one zygote in a process
    child = os.fork()
    if child:
        _stand_by(child)
    _own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)


def _stand_by(child: int) -> NoReturn:
    """Stay as the process that the host knows: pass on its signal, and end as the child ends."""
    signal.signal(signal.SIGUSR1, lambda number, _frame: os.kill(child, number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 1)


def _show(file: str, target: str) -> None:
    os.makedirs(target.rpartition("/")[0], exist_ok=True)  # noqa: PTH103 - pathlib is slow to import
    os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC))
    libc.mount(file.encode(), target.encode(), None, _BIND)
    libc.mount(b"none", target.encode(), None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEVICES)


def _change_to_deleted_folder() -> None:
    """Without mounts: a folder that is deleted can hold nothing, and has no parent once it is the root."""
    folder = f"/tmp/planact-{os.urandom(8).hex()}"  # noqa: S108 - mkdir does not follow what lies there
    os.mkdir(folder, mode=0o700)  # noqa: PTH102 - pathlib is slow to import
    os.chdir(folder)
    os.rmdir(folder)  # noqa: PTH106
    os.chroot(".")
