"""Seatbelt, the sandbox of macOS: a process gives up whatever a profile does not allow.

`sandbox_init` takes the profile as text. It has been marked deprecated for years, and browsers rely on it; the system
offers nothing else to a process that is no signed application.
"""

from __future__ import annotations

import ctypes

LIBRARY = "/usr/lib/libsandbox.1.dylib"

PROFILE = """\
(version 1)
(deny default)
(allow process-info* (target self))
(allow signal (target self))
"""
"""No files, network, Mach services, new processes or other processes' memory. What is open already stays usable."""


def load(path: str = LIBRARY) -> ctypes.CDLL:
    """Return the library. Raises OSError. Has to happen while files can still be read."""
    return ctypes.CDLL(path, use_errno=True)


def confine(library: ctypes.CDLL, profile: str = PROFILE) -> None:
    """Put the profile on this process for good. Raises OSError with the system's own words."""
    problem = ctypes.c_char_p()
    library.sandbox_init.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.POINTER(ctypes.c_char_p)]
    if library.sandbox_init(profile.encode(), 0, ctypes.byref(problem)) != 0:
        said = (problem.value or b"sandbox_init failed").decode("utf-8", "replace")
        raise OSError(said)
