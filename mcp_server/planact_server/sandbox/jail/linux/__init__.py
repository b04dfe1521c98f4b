"""Linux: namespaces, no capabilities, no new privileges, Landlock, resource limits, a filter of system calls.

The order matters: each step needs rights that a later one takes away.
"""

import os
import sys
from functools import partial
from pathlib import Path

from planact_server.sandbox.jail import rlimits
from planact_server.sandbox.jail.layers import Layers, Rights, took
from planact_server.sandbox.jail.linux import capabilities, landlock, namespaces, seccomp

if sys.platform != "linux":
    raise ImportError("These layers are Linux's.")

from planact_server.sandbox.jail.linux.lifetime import die_with, no_new_privileges

__all__ = ["after_fork", "before_fork", "confine", "prepare"]

before_fork = namespaces.before_fork
after_fork = namespaces.after_fork

_held_bytes = 0


def prepare(*, parent: int) -> Layers:
    """Die with `parent`, leave the machine's namespaces and files, and give up new privileges for good.

    May go on in a child of the process that called it.
    """
    global _held_bytes  # noqa: PLW0603 - workers inherit it through fork, when there is no /proc any more
    die_with(parent)
    _held_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    layers: Layers = {}
    root = os.geteuid() == 0
    # Who is root may only map root into a user namespace, so becomes somebody else first; where there are no
    # namespaces for an ordinary user, root keeps its rights until it has left what it can leave with them.
    if root and namespaces.user_is_possible():
        layers["unprivileged_user"] = took(capabilities.become_nobody)
        die_with(parent)
    layers |= namespaces.enter()
    die_with(os.getppid())
    layers["empty_root"] = took(partial(namespaces.empty_root, mounts=layers["mount_namespace"] is True))
    if root and "unprivileged_user" not in layers:
        layers["unprivileged_user"] = took(capabilities.become_nobody)
        layers |= namespaces.keep_possible()
    took(capabilities.bound)  # programs cannot be started anyway; a kernel without it loses nothing
    seccomp.make_ready()
    layers["hidden"] = took(capabilities.hide)
    layers["no_new_privs"] = took(no_new_privileges)
    return layers


def confine(rights: Rights, *, parent: int) -> Layers:
    """Take from this worker what it does not need. It dies with `parent`."""
    return {
        "dies_with_parent": die_with(parent),
        "capabilities": took(capabilities.drop_all),
        "landlock": took(landlock.restrict),
        **rlimits.apply(rights, memory_bytes=_held_bytes + rights.memory_bytes),
        "seccomp": took(lambda: seccomp.install(pid=os.getpid())),
    }
