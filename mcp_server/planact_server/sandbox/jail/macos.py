"""macOS: resource limits, as far as its kernel keeps them."""

import os
import sys

from planact_server.sandbox.jail import rlimits
from planact_server.sandbox.jail.layers import Layers, Rights

if sys.platform != "darwin":
    raise ImportError("These layers are those of macOS.")


def prepare(*, parent: int) -> Layers:
    """Nothing can be shared by all workers."""
    del parent
    return {}


def confine(rights: Rights, *, parent: int) -> Layers:
    """Take from this worker what it does not need."""
    if os.getppid() != parent:
        os._exit(1)
    return {
        "no_new_privs": "not available: macOS does not have it",
        "memory": "not available: the kernel of macOS does not keep address space limits",
        "dies_with_parent": "not available: the worker ends when it next reads or writes, or at its CPU limit",
        **rlimits.apply(rights, memory_bytes=None),
    }
