"""One process that Monty runs in, and the session in it."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import sys
from typing import TYPE_CHECKING

from pydantic_monty import AsyncMonty, MontyError

from planact_server.sandbox import EngineError
from planact_server.sandbox.process import Loss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_monty import AsyncMontySession, TimeZone

    from planact_server.sandbox.monty.launching import Launcher

REPLY_SECONDS = 20.0

_MANY = 2**31 - 1
"""Suspensions that Monty itself counts; ours are counted by what they ask for."""

_RECURSION = 500


class MontyProcess:
    """A pool of exactly one: a process that serves one session and is not used again."""

    reply_seconds = REPLY_SECONDS

    def __init__(self, launcher: Launcher, *, memory_bytes: int) -> None:
        self.pid = 0
        self._launcher = launcher
        self._memory_bytes = memory_bytes
        self._pool: AsyncMonty | None = None
        self._session: AsyncMontySession | None = None
        self._killed = False

    @property
    def session(self) -> AsyncMontySession:
        if self._session is None:
            raise EngineError("The worker has no session.")
        return self._session

    @property
    def layers(self) -> Mapping[str, bool | str]:
        """Which isolation took. Known once the process has answered."""
        return self._launcher.layers(self.pid)

    @property
    def alive(self) -> bool:
        return self._session is not None and not self._killed and _is_running(self.pid)

    async def start(self) -> None:
        """Start the process and its session. Raises EngineError."""
        pool = AsyncMonty(
            binary_path=self._launcher.path,
            min_processes=1,
            max_processes=1,
            max_checkouts_per_worker=1,
            checkout_timeout=REPLY_SECONDS,
        )
        try:
            await pool.__aenter__()
            self._pool = pool
            session = pool.checkout(
                script_name="plan.py",
                limits={
                    "max_memory": self._memory_bytes,
                    "max_recursion_depth": _RECURSION,
                    "max_suspensions": _MANY,
                },
                os_policy={"timezone": _local_zone()},
            )
            await session.__aenter__()
        except (MontyError, OSError, RuntimeError) as error:
            raise EngineError(f"No Monty could be started from {self._launcher.path!r}: {error}") from error
        self._session = session
        self.pid = session.worker_pid or 0
        self._killed = False

    async def renew(self) -> None:
        """End the process and start another. Raises EngineError."""
        await self.aclose()
        await self.start()

    def kill(self) -> None:
        """End the process at once; whoever waits for it is told."""
        if self._killed or not self.pid:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

    def loss(self, crash: str) -> Loss:
        """Say why the process ended that nobody told to."""
        if "SIGXCPU" in crash:
            return Loss(status="limit", reason="The worker was ended by SIGXCPU: it has used up its CPU time.")
        if "SIGKILL" in crash:
            return Loss(status="error", reason="The worker was ended by SIGKILL, from outside or for want of memory.")
        return Loss(status="error", reason=f"The worker was lost: {crash}")

    async def aclose(self) -> None:
        self.kill()
        session, pool = self._session, self._pool
        self._session = self._pool = None
        for resource in (session, pool):
            if resource is not None:
                with contextlib.suppress(MontyError, RuntimeError):
                    await resource.__aexit__(None, None, None)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _local_zone() -> TimeZone:
    """The machine's own, as it is now: the process sees no files that say more."""
    now = dt.datetime.now(dt.UTC).astimezone()
    offset = now.utcoffset() or dt.timedelta(0)
    return {"offset_seconds": int(offset.total_seconds()), "name": now.tzname() or "local"}
