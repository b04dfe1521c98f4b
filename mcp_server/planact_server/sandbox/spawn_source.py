"""Workers that are interpreters of their own: the way of systems without fork, slower to start by some 100 ms."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, cast

from planact_server.sandbox import launching
from planact_server.sandbox.connection import Connection
from planact_server.sandbox.launching import Tail
from planact_server.sandbox.process import Exit, open_child, signal_child
from planact_server.sandbox.worker import JailedWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planact_server.sandbox.job_object import JobObject


class SpawnSource:
    """Starts one interpreter for each worker."""

    name = "spawn"

    def __init__(
        self,
        command: Callable[[], Sequence[str]],
        *,
        memory_bytes: int,
        enclose: Callable[[int], JobObject] | None = None,
    ) -> None:
        """`enclose` puts limits around a process that it does not put on itself. It raises OSError."""
        self._command = command
        self._memory_bytes = memory_bytes
        self._enclose = enclose

    async def start(self) -> JailedWorker:
        """Return a worker that serves. Raises EngineError."""
        process = SpawnedProcess()
        worker = JailedWorker(process.connection, process, memory_bytes=self._memory_bytes)
        try:
            await launching.start(process, self._command())
        except asyncio.CancelledError:
            if process.pid:
                await worker.aclose()
            raise
        process.enclose(self._enclose)
        await worker.start()
        return worker

    async def rest(self) -> None:
        """Nothing is kept between workers."""

    async def aclose(self) -> None:
        """Each worker is a process of its own: there is nothing else to close."""


class SpawnedProcess(asyncio.SubprocessProtocol):
    """A process that asyncio watches, and the frames over its pipes."""

    can_interrupt = sys.platform != "win32"

    def __init__(self) -> None:
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.connection = Connection()
        self.pid = 0
        self.layers: dict[str, bool | str] = {}
        self._job: JobObject | None = None
        self._pidfd: int | None = None
        self._errors = Tail()
        self._silent = False
        """True once its standard error is closed."""

        self._transport: asyncio.SubprocessTransport | None = None

    def enclose(self, enclose: Callable[[int], JobObject] | None) -> None:
        """Put limits around the process. It runs nothing but our own code until its first plan."""
        if enclose is None:
            return
        try:
            self._job = enclose(self.pid)
            self.layers["job_object"] = True
        except OSError as error:
            self.layers["job_object"] = f"not available: {error}"

    def interrupt(self) -> None:
        if sys.platform != "win32":
            self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        # Windows has one signal that no process survives, and calls it by this name.
        self._signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if sys.platform == "linux" and self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
        else:
            signal_child(self._transport, number)

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        if self._job is not None:
            self._job.close()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._transport.get_pid()
        self._pidfd = open_child(self.pid)
        self.connection.attach(
            cast(asyncio.ReadTransport, self._transport.get_pipe_transport(1)),
            cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0)),
        )

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        if isinstance(data, str):
            raise TypeError("A pipe that carries text")
        if fd == 1:
            self.connection.data_received(data)
        else:
            self._errors.add(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.connection.connection_lost(exc)
        elif fd == 0:
            self.connection.finish()
        else:
            self._silent = True
            self._tell_end()

    def process_exited(self) -> None:
        asyncio.get_running_loop().call_later(0.0 if self._silent else launching.LAST_WORDS_SECONDS, self._tell_end)

    def _tell_end(self) -> None:
        returncode = None if self._transport is None else self._transport.get_returncode()
        if returncode is not None and not self.exited.done():
            self.exited.set_result(Exit.from_returncode(returncode).with_last_line(self._errors.last_line()))

    def pause_writing(self) -> None:
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        self.connection.resume_writing()
