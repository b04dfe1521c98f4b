"""One process that Monty runs in, and the session in it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from pydantic_monty import AsyncMonty, MontyError

from planact_server.sandbox import EngineError
from planact_server.sandbox.memory_watch import held_bytes
from planact_server.sandbox.process import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_monty import AsyncMontySession, TimeZone

    from planact_server.sandbox.job_object import JobObject
    from planact_server.sandbox.monty.launching import Launcher

REPLY_SECONDS = 20.0
_CLASS_BESIDE_INSTANCE = "does not point at a class type"
CLASS_BESIDE_INSTANCE = (
    "Monty 1.4 breaks over a value that holds a class beside an instance of it, as in [A, A()]. "
    "Keep the class out of the value: its name says as much."
)
"""For a mistake of Monty's."""

FULL = 20
"""The part of its memory, by this number, beyond which a session is looked at before it is read.

A number in a list takes 16 bytes, and almost 20 times as much until it is sent.
"""

VALUE_BYTES = 300
"""What a small value takes in a list and in what is sent of it, together and amply."""

EXIT_SECONDS = 5.0
"""Between its killing and the news of its end."""

_PAGE = os.sysconf("SC_PAGESIZE") if sys.platform != "win32" else 4096

_MANY = 2**31 - 1
"""Suspensions that Monty itself counts; ours are counted by what they ask for."""


class MontyProcess:
    """A pool of exactly one: a process that serves one session of ours and is not used again."""

    reply_seconds = REPLY_SECONDS

    def __init__(
        self, launcher: Launcher, *, memory_bytes: int, enclose: Callable[[int], JobObject] | None = None
    ) -> None:
        self.pid = 0
        self._launcher = launcher
        self._enclose = enclose
        self._job: JobObject | None = None
        self._launched: Mapping[str, bool | str] = {}
        self._enclosed: dict[str, bool | str] = {}
        self._memory_bytes = memory_bytes
        self._zone = _local_zone()
        self._pool: AsyncMonty | None = None
        self._session: AsyncMontySession | None = None
        self._ending: anyio.Event | None = None
        self._handle: int | None = None
        self._size: int | None = None
        """Where Linux tells how much memory the process holds; opened while there still are files."""

        self._first_bytes = 0
        self._told: Callable[[], None] = lambda: None

    @property
    def session(self) -> AsyncMontySession:
        if self._session is None:
            raise EngineError("The worker has no session.")
        return self._session

    @property
    def layers(self) -> Mapping[str, bool | str]:
        """Which isolation took. Known once the process has answered."""
        return {**self._launched, **self._enclosed}

    @property
    def alive(self) -> bool:
        return self._ending is not None and not self._ending.is_set()

    @property
    def is_full(self) -> bool:
        """Whether so much of its memory is taken that what it holds may not fit in there a second time."""
        held = self._held_bytes()
        return held is None or held - self._first_bytes > self._memory_bytes // FULL

    @property
    def most_values(self) -> int:
        """How many values can be sent or noted at once: they lie in its memory twice meanwhile."""
        return self._memory_bytes // VALUE_BYTES

    def when_ended(self, told: Callable[[], None]) -> None:
        """Have somebody told, once the process has ended, as far as the system tells."""
        self._told = told

    async def start(self) -> None:
        """Start the process and its session. Raises EngineError."""
        pool = AsyncMonty(
            binary_path=self._launcher.path,
            min_processes=0,
            max_processes=1,
            max_checkouts_per_worker=_MANY,
            checkout_timeout=REPLY_SECONDS,
        )
        try:
            await pool.__aenter__()
            self._pool = pool
            session = await self._checked_out(pool)
        except (MontyError, OSError, RuntimeError) as error:
            await self.aclose()
            raise EngineError(f"No Monty could be started from {self._launcher.path!r}: {error}") from error
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise
        self._session = session
        self.pid = session.worker_pid or 0
        self._ending = anyio.Event()
        self._launched = self._launcher.layers()
        self._launcher.close()
        self._limit()
        self._watch()
        self._first_bytes = self._held_bytes() or 0

    async def renew(self) -> None:
        """Have the process forget its session and begin another. Raises EngineError.

        The same process: by now nobody here may start one.
        """
        session, pool, self._session = self._session, self._pool, None
        if session is None or pool is None:
            raise EngineError("The worker has no session.")
        try:
            with anyio.fail_after(REPLY_SECONDS):
                await session.__aexit__(None, None, None)
                fresh = await self._checked_out(pool)
        except (MontyError, OSError, RuntimeError, TimeoutError) as error:
            raise EngineError(f"The session could not be begun again: {error}") from error
        self._session = fresh
        if fresh.worker_pid != self.pid:
            raise EngineError("The session's process has gone.")

    async def _checked_out(self, pool: AsyncMonty) -> AsyncMontySession:
        session = pool.checkout(
            script_name="plan.py",
            limits={"max_memory": self._memory_bytes, "max_suspensions": _MANY},
            os_policy={"timezone": self._zone},
            assert_message_annotations=False,
        )
        await session.__aenter__()
        return session

    def kill(self) -> None:
        """End the process at once; whoever waits for it is told."""
        if not self.alive:
            return
        if sys.platform == "linux" and self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        self._ended()

    def loss(self, crash: str) -> Loss:
        """Say why the process ended that nobody told to."""
        if "SIGXCPU" in crash:
            return Loss(status="limit", reason="The worker was ended by SIGXCPU: it has used up its CPU time.")
        if "SIGKILL" in crash:
            return Loss(status="error", reason="The worker was ended by SIGKILL, from outside or for want of memory.")
        if _CLASS_BESIDE_INSTANCE in crash:
            return Loss(status="error", reason=f"The worker was lost: {CLASS_BESIDE_INSTANCE}")
        return Loss(status="error", reason=f"The worker was lost: {crash}")

    async def aclose(self) -> None:
        """End the process and wait until it has ended."""
        self.kill()
        session, pool = self._session, self._pool
        self._session = self._pool = None
        if self._ending is not None:
            with anyio.move_on_after(EXIT_SECONDS):
                await self._ending.wait()
        for resource in (session, pool):
            if resource is not None:
                with contextlib.suppress(MontyError, RuntimeError):
                    await resource.__aexit__(None, None, None)
        if self._job is not None:
            self._job.close()
            self._job = None

    def _limit(self) -> None:
        if self._enclose is None:
            return
        try:
            self._job = self._enclose(self.pid)
            self._enclosed = {"own_job_object": True}
        except OSError as error:  # the one that the server has put around its driver holds for it too
            self._enclosed = {"own_job_object": f"not available: {error}"}

    def _watch(self) -> None:
        if sys.platform != "linux":
            return  # the next answer that does not come says it
        self._handle = os.pidfd_open(self.pid)
        # The number under which /proc knows the process may be another one than ours.
        facts = Path(f"/proc/self/fdinfo/{self._handle}").read_text().splitlines()
        known = next(line.split()[1] for line in facts if line.startswith("Pid:"))
        self._size = os.open(f"/proc/{known}/statm", os.O_RDONLY | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._handle, self._ended)

    def _held_bytes(self) -> int | None:
        if sys.platform != "linux":
            return held_bytes(self.pid)
        return None if self._size is None else int(os.pread(self._size, 100, 0).split()[1]) * _PAGE

    def _ended(self) -> None:
        if sys.platform == "linux" and self._handle is not None:
            asyncio.get_running_loop().remove_reader(self._handle)
            os.close(self._handle)
            self._handle = None
            if self._size is not None:
                os.close(self._size)
                self._size = None
        if self._ending is not None:
            self._ending.set()
        self._told()


def _local_zone() -> TimeZone:
    """The machine's own, as it is now: the process sees no files that say more."""
    now = dt.datetime.now(dt.UTC).astimezone()
    offset = now.utcoffset() or dt.timedelta(0)
    return {"offset_seconds": int(offset.total_seconds()), "name": now.tzname() or "local"}
