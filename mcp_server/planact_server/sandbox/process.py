"""A worker's process as the host sees it: how to signal it, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

LossStatus: TypeAlias = Literal["error", "limit", "timeout", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a process ended. All `None`: nobody saw it."""

    signal: int | None = None
    code: int | None = None
    peak_bytes: int | None = None
    """The most memory that it held at once, where the system tells."""

    note: str | None = None
    """What else is known: the whole engine went down, the process never came up."""

    @classmethod
    def from_returncode(cls, returncode: int) -> Exit:
        """Read what asyncio and subprocess report: a negative number is a signal."""
        return cls(signal=-returncode) if returncode < 0 else cls(code=returncode)

    def with_last_line(self, text: str) -> Exit:
        """Take the last that it wrote to its standard error for the reason, where it ended by itself."""
        if not self.code or not text:
            return self
        return replace(self, note=f"The worker ended with code {self.code}: {text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Why a worker is gone, and the status of the plan that it was running."""

    status: LossStatus
    reason: str


class WorkerProcess(Protocol):
    """One process that the host may signal. Signalling one that has ended does nothing."""

    @property
    def pid(self) -> int: ...

    @property
    def can_interrupt(self) -> bool:
        """Whether the system has a signal that stops a plan and spares the worker."""
        ...

    @property
    def layers(self) -> Mapping[str, bool | str]:
        """Which isolation the host itself put around the process."""
        ...

    def interrupt(self) -> None:
        """Ask the worker to end its plan."""
        ...

    def kill(self) -> None: ...

    @property
    def exited(self) -> asyncio.Future[Exit]:
        """Done when the process has ended. Never await it bare: being cancelled there would cancel it for all."""
        ...

    def close(self) -> None:
        """Let go of what the host holds of the process. It must have ended or been killed."""
        ...


def loss(exit: Exit, *, memory_bytes: int) -> Loss:
    """Say in words why a worker ended that nobody told to."""
    if exit.note is not None:
        return Loss(status="error", reason=exit.note)
    if exit.signal is None:
        ending = "without a trace" if exit.code is None else f"with code {exit.code}"
        return Loss(status="error", reason=f"The worker ended {ending}.")
    name = signal_name(exit.signal)
    if name == "SIGXCPU":
        return Loss(status="limit", reason="The worker was ended by SIGXCPU: it has used up its CPU time.")
    # A full address space is a MemoryError in the worker. The system's own killer leaves only SIGKILL.
    if name == "SIGKILL" and exit.peak_bytes is not None and exit.peak_bytes > memory_bytes // 2:
        held = f"it held {exit.peak_bytes // 2**20} MB at its peak"
        return Loss(status="limit", reason=f"The worker was ended by SIGKILL; {held}, so memory ran out.")
    if name == "SIGKILL":
        return Loss(status="error", reason="The worker was ended by SIGKILL, from outside or for want of memory.")
    if name == "SIGSEGV":
        why = "most likely it nested something deeper than Python bears, such as iterators in iterators"
        return Loss(status="error", reason=f"The worker was ended by SIGSEGV: {why}.")
    if name == "SIGSYS":
        why = "it made a system call that no plan has any use for"
        return Loss(status="error", reason=f"The worker was ended by SIGSYS: {why}.")
    return Loss(status="error", reason=f"The worker was ended by {name}.")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def open_child(pid: int) -> int | None:
    """Return a descriptor that means this child of ours for ever; nothing where the system has none, or it has ended.

    Its number may mean another process as soon as somebody has waited for it, which asyncio does in a thread.
    """
    if sys.platform != "linux":
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:  # a kernel, or a container, without them
        return None
    try:
        # Fails unless it is a child of ours that nobody has waited for.
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:
        os.close(pidfd)
        return None
    return pidfd


def signal_child(transport: asyncio.SubprocessTransport | None, number: int) -> None:
    """Signal a process that asyncio watches; one that has ended, or never was, is left in peace.

    asyncio's own `send_signal` polls first. Up to Python 3.11 that takes the exit status away from the watcher, which
    then reports 255 for it.
    """
    if transport is None or transport.get_returncode() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            transport.send_signal(number)
        else:
            os.kill(transport.get_pid(), number)
