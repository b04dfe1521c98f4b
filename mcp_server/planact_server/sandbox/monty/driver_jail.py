"""The Linux jail around the driver: what it can bear, once Monty runs.

The driver starts Monty, which is more than a jailed process may do, so most of this comes in between: after Monty has
been started and before there is any plan. Its threads are there by then. What the kernel only keeps for one thread
(Landlock, capabilities) holds for the one that Python runs in; all the rest holds for the whole process.
"""

from __future__ import annotations

import os
import resource
import sys
from functools import partial

if sys.platform != "linux":
    raise ImportError("These layers are Linux's.")

from planact_server.sandbox.jail.layers import Layers, took
from planact_server.sandbox.jail.linux import capabilities, landlock, libc, namespaces
from planact_server.sandbox.jail.linux.lifetime import die_with, no_new_privileges
from planact_server.sandbox.jail.rlimits import limit, no_files
from planact_server.sandbox.monty import filter as system_calls
from planact_server.sandbox.monty.launching import DRIVER_BYTES

_NEW_MOUNTS = 0x00020000
_INHERITED = ("network_namespace", "ipc_namespace", "uts_namespace", "pid_namespace")


def prepare(*, parent: int) -> Layers:
    """Leave the machine's namespaces, for all drivers; its files stay in sight. May go on in a child process."""
    die_with(parent)
    root = os.geteuid() == 0
    if not root and not namespaces.user_keeps(sys.executable):
        return {"user_namespace": f"not available: this user could not start {sys.executable!r} in there"}
    layers = namespaces.enter(user=not root)
    die_with(os.getppid())
    return layers


def passed_on(layers: Layers) -> Layers:
    """Return what of `prepare` holds around Monty too."""
    return {name: layers[name] for name in _INHERITED if layers.get(name) is True}


def leave_zygote(parent: int) -> bool | str:
    """Die with the zygote, and have mounts that no other driver has: say whether that took."""
    die_with(parent)
    return took(partial(libc.unshare, _NEW_MOUNTS))


def confine(inherited: Layers, *, own_mounts: bool, memory_bytes: int, cpu_seconds: int) -> Layers:
    """Take from this process what it does not need any more, and say in one word whether that took."""
    layers = {name: state for name, state in inherited.items() if name != "mount_namespace"}
    layers["empty_root"] = took(partial(namespaces.empty_root, mounts=own_mounts))
    if os.geteuid() == 0:
        layers["unprivileged_user"] = took(capabilities.become_nobody)
    took(capabilities.bound)
    layers["hidden"] = took(capabilities.hide)
    layers["capabilities"] = took(capabilities.drop_all)
    layers["no_new_privs"] = took(no_new_privileges)
    layers["landlock"] = took(partial(landlock.restrict, signals=True))  # it has to end Monty
    layers["cpu"] = took(lambda: limit(resource.RLIMIT_CPU, cpu_seconds, spare=1))
    layers["files"] = took(no_files)
    layers["memory"] = took(lambda: limit(resource.RLIMIT_AS, DRIVER_BYTES + 4 * memory_bytes))
    layers["descriptors"] = took(lambda: limit(resource.RLIMIT_NOFILE, 0))
    layers["seccomp"] = took(lambda: system_calls.install_for_driver(pid=os.getpid()))
    missing = "; ".join(f"{name} ({state})" for name, state in layers.items() if state is not True)
    return {"driver": f"not available in full: {missing}" if missing else True}
