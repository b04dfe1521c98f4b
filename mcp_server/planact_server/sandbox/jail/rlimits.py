"""Resource limits, hard as well as soft, for the systems that have them."""

import os
import resource
import sys

from planact_server.sandbox.jail.layers import Layers, Rights, took

if sys.platform == "win32":
    raise ImportError("Windows has no resource limits.")


def apply(rights: Rights, *, memory_bytes: int | None) -> Layers:
    """Limit this process for good. `memory_bytes` is all of its address space; None where that is not limited."""
    layers: Layers = {
        "cpu": took(lambda: limit(resource.RLIMIT_CPU, rights.cpu_seconds, spare=1)),
        "files": took(no_files),
        "descriptors": took(lambda: limit(resource.RLIMIT_NOFILE, rights.descriptors)),
        "processes": _no_processes(),
    }
    if memory_bytes is not None:
        layers["memory"] = took(lambda: limit(resource.RLIMIT_AS, memory_bytes))
    return layers


def limit(kind: int, value: int, *, spare: int = 0) -> None:
    """Set both limits, never above what holds already. Within `spare` the soft one has time to say what happened.

    Raises OSError or ValueError.
    """
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY and hard < value + spare:
        value, spare = hard, 0
    resource.setrlimit(kind, (value, value + spare))


def no_files() -> None:
    """Write no files, not even one that says how it crashed. Raises OSError or ValueError."""
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)


def _no_processes() -> bool | str:
    # Counted over all processes of the user, so 0 is the one number that always means "no more".
    done = took(lambda: limit(resource.RLIMIT_NPROC, 0))
    return "not available: the limit does not hold for root" if done is True and os.geteuid() == 0 else done
