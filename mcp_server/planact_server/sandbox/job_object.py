"""Job Objects: how Windows limits a process from outside.

The host puts one around each worker. The structures are those of `winnt.h` for 64-bit systems.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_KILL_ON_CLOSE = 0x2000
_DIE_ON_UNHANDLED_EXCEPTION = 0x0400
_PROCESS_MEMORY = 0x0100
_ACTIVE_PROCESSES = 0x0008
_PROCESS_TIME = 0x0002
_EXTENDED_LIMITS = 9
_UI_RESTRICTIONS = 4
_ALL_RESTRICTIONS = 0xFF
"""No clipboard, desktop, other windows' handles, display settings or logging off."""

_SET_QUOTA_AND_TERMINATE = 0x0100 | 0x0001
_TICKS = 10_000_000
"""Of 100 ns in a second."""


class BasicLimits(ctypes.Structure):
    """`JOBOBJECT_BASIC_LIMIT_INFORMATION`."""

    _fields_ = (
        ("process_user_time", ctypes.c_int64),
        ("job_user_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """`JOBOBJECT_EXTENDED_LIMIT_INFORMATION`."""

    _fields_ = (
        ("basic", BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class JobObject:
    """A limit around a process and what it starts, which end with it: also when this process ends without a word."""

    def __init__(
        self, pid: int, *, memory_bytes: int, cpu_seconds: int, processes: int = 1, kernel: Any = None
    ) -> None:
        """Raises OSError. Memory and CPU time are for each of `processes`. `kernel` has kernel32's functions."""
        self._kernel = _kernel32() if kernel is None else kernel
        self._job = self._made(self._kernel.CreateJobObjectW(None, None), "CreateJobObjectW")
        try:
            self._set(_EXTENDED_LIMITS, limits(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds, processes=processes))
            self._set(_UI_RESTRICTIONS, ctypes.c_uint32(_ALL_RESTRICTIONS))
            process = self._made(self._kernel.OpenProcess(_SET_QUOTA_AND_TERMINATE, 0, pid), "OpenProcess")
            try:
                self._made(
                    self._kernel.AssignProcessToJobObject(ctypes.c_void_p(self._job), ctypes.c_void_p(process)),
                    "AssignProcessToJobObject",
                )
            finally:
                self._kernel.CloseHandle(ctypes.c_void_p(process))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """End the process, if it is still there. May be called twice."""
        job, self._job = self._job, 0
        if job:
            self._kernel.CloseHandle(ctypes.c_void_p(job))

    def _set(self, kind: int, value: ctypes.Structure | ctypes.c_uint32) -> None:
        done = self._kernel.SetInformationJobObject(
            ctypes.c_void_p(self._job), kind, ctypes.byref(value), ctypes.sizeof(value)
        )
        self._made(done, "SetInformationJobObject")

    def _made(self, returned: int | None, what: str) -> int:
        if not returned:
            raise OSError(f"{what} failed with error {self._kernel.GetLastError()}")
        return returned


def limits(*, memory_bytes: int, cpu_seconds: int, processes: int = 1) -> ExtendedLimits:
    """Return what one worker may use: memory, CPU time, and that many processes, itself among them."""
    asked = ExtendedLimits()
    asked.basic.flags = (
        _KILL_ON_CLOSE | _DIE_ON_UNHANDLED_EXCEPTION | _PROCESS_MEMORY | _ACTIVE_PROCESSES | _PROCESS_TIME
    )
    asked.basic.active_processes = processes
    asked.basic.process_user_time = cpu_seconds * _TICKS
    asked.process_memory = memory_bytes
    return asked


def _kernel32() -> Any:
    if sys.platform != "win32":
        raise OSError("only Windows has Job Objects")
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel.CreateJobObjectW.restype = ctypes.c_void_p
    kernel.OpenProcess.restype = ctypes.c_void_p
    return kernel
