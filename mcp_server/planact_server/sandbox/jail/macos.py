"""macOS: Seatbelt, and resource limits as far as its kernel keeps them. The host watches the memory."""

import ctypes
import os
import sys

from planact_server.sandbox.jail import rlimits, seatbelt
from planact_server.sandbox.jail.layers import Layers, Rights, took

if sys.platform != "darwin":
    raise ImportError("These layers are those of macOS.")

_library: ctypes.CDLL | None = None
_missing = "not loaded"


def prepare(*, parent: int) -> Layers:
    """Load what the workers need; each is confined by itself, for a confined process cannot be confined further."""
    global _library, _missing  # noqa: PLW0603 - workers inherit it through fork, when there are no files any more
    del parent
    try:
        _library = seatbelt.load()
    except OSError as error:
        _missing = str(error)
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
        "seatbelt": took(_put_on),
    }


def _put_on() -> None:
    if _library is None:
        raise OSError(_missing)
    seatbelt.confine(_library)
