"""Workers forked from one bare interpreter that has everything imported: a few milliseconds each.

`inside/forking.py` is the other side of the control socket and documents its messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio

from planact_server.sandbox import EngineError, launching
from planact_server.sandbox.connection import Connection
from planact_server.sandbox.launching import Tail
from planact_server.sandbox.process import Exit, signal_child, signal_name
from planact_server.sandbox.worker import EXIT_SECONDS, REPLY_SECONDS, JailedWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from planact_tools import JSONObject

if sys.platform == "win32":
    raise ImportError("Windows cannot fork.")

logger = logging.getLogger(__name__)

FORK_SECONDS = 5.0
"""A zygote that serves and has not forked by then hangs, or was stopped: it goes, and another one takes over."""

MOST_FORKS = 2_000
MOST_AGE_SECONDS = 6 * 3600.0
MOST_GROWTH_BYTES = 32 * 2**20
"""Past any of these a zygote is worn: another one is started beside it and forks from then on."""


class ZygoteSource:
    """Keeps one zygote, started for the first worker, and again when it has died, hangs or is worn.

    A zygote that was replaced goes when its last worker has gone.
    """

    name = "zygote"

    def __init__(
        self, *, rights: JSONObject, memory_bytes: int, zygote: Callable[[int], list[str]] | None = None
    ) -> None:
        """`zygote`: the command for another one than `inside/zygote.py`, by the number of its control socket."""
        self._command: Callable[[int], list[str]] = zygote or partial(_command, rights)
        self._memory_bytes = memory_bytes
        self._zygote: Zygote | None = None
        self._earlier: list[Zygote] = []
        self._starting = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def zygote_pid(self) -> int | None:
        return None if self._zygote is None else self._zygote.pid

    async def start(self) -> JailedWorker:
        """Return a worker that serves. Raises EngineError."""
        zygote = await self._living()
        served = zygote.ready.done()
        try:
            return await self._start(zygote)
        except EngineError:
            if self._closed or not (served and zygote.dead):
                raise
            logger.warning("A zygote was lost; another one takes over", exc_info=True)
        return await self._start(await self._living())

    async def rest(self) -> None:
        """Let the zygote go, as soon as it has no workers; the next worker gets another one."""
        async with self._starting:
            if self._zygote is not None:
                self._retire(self._zygote)
                self._zygote = None

    async def _start(self, zygote: Zygote) -> JailedWorker:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            try:
                process = await zygote.fork(theirs)
            except BaseException:
                ours.close()
                raise
        connection = Connection()
        worker = JailedWorker(connection, process, memory_bytes=self._memory_bytes)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: connection, sock=ours)
            await worker.start()
        except BaseException:
            await worker.aclose()
            ours.close()
            raise
        return worker

    async def aclose(self) -> None:
        """End every zygote, and with it whatever worker is left. May be called twice."""
        async with self._starting:
            self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])
        for zygote in (*self._earlier, *([] if self._zygote is None else [self._zygote])):
            await zygote.aclose()

    async def _living(self) -> Zygote:
        async with self._starting:
            if self._closed:
                raise EngineError("No worker is started any more.")
            if self._zygote is None or self._zygote.dead:
                if self._zygote is not None:
                    await self._zygote.aclose()
                self._zygote = await Zygote.start(self._command)
            elif self._zygote.worn and (self._renewal is None or self._renewal.done()):
                self._renewal = asyncio.create_task(self._renew(self._zygote), name="zygote renewal")
            return self._zygote

    async def _renew(self, worn: Zygote) -> None:
        """Have another zygote serve before the worn one stops."""
        fresh = None
        try:
            fresh = await Zygote.start(self._command)
            await asyncio.wait([fresh.ready], timeout=REPLY_SECONDS)
            async with self._starting:
                if fresh.ready.done() and not fresh.dead and self._zygote is worn:
                    self._zygote, fresh = fresh, None
                    self._retire(worn)
        except EngineError:
            logger.warning("A worn zygote could not be replaced; it goes on", exc_info=True)
        finally:
            if fresh is not None:
                with anyio.CancelScope(shield=True):
                    await fresh.aclose()

    def _retire(self, zygote: Zygote) -> None:
        self._earlier = [*(earlier for earlier in self._earlier if not earlier.gone), zygote]
        zygote.retire()


class ForkedProcess:
    """A child of the zygote: signalled through its pidfd, or by the zygote where there are none."""

    can_interrupt = True

    def __init__(self, zygote: Zygote, pid: int, pidfd: int | None) -> None:
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.layers: Mapping[str, bool | str] = {}
        self.pid = pid if pidfd is None else _pid_of(pidfd, otherwise=pid)
        self._number = pid
        """What the zygote calls it, which may have process numbers of its own."""

        self._zygote = zygote
        self._pidfd = pidfd

    def interrupt(self) -> None:
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _signal(self, number: signal.Signals) -> None:
        if self.exited.done():
            return
        if sys.platform == "linux" and self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
        else:
            self._zygote.signal(self._number, number)


class Zygote(asyncio.SubprocessProtocol):
    """One zygote process and its control socket."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._transport: asyncio.SubprocessTransport | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once it serves. Never await it bare."""

        self._exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._born = asyncio.get_running_loop().time()
        self._count = self._first_bytes = self._held_bytes = 0
        self._retired = False
        self._errors = Tail()
        self._silent = False
        """True once its standard error is closed."""

        self._text = bytearray()
        self._passed: deque[int] = deque()
        self._forking = asyncio.Lock()
        self._forks: deque[asyncio.Future[ForkedProcess]] = deque()
        self._workers: dict[int, ForkedProcess] = {}

    @classmethod
    async def start(cls, command_line: Callable[[int], list[str]]) -> Zygote:
        """Start the process; it need not be ready when this returns. Raises EngineError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        zygote = cls(ours)
        with theirs:
            try:
                await launching.start(
                    zygote,
                    command_line(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # a Ctrl-C in the server's terminal is the server's alone
                )
            except BaseException:
                await zygote._abandon()
                raise
        asyncio.get_running_loop().add_reader(ours, zygote._hear)
        return zygote

    @property
    def pid(self) -> int | None:
        return None if self._transport is None else self._transport.get_pid()

    @property
    def dead(self) -> bool:
        return self._exited.done() or self._control.fileno() < 0

    @property
    def gone(self) -> bool:
        return self._exited.done()

    @property
    def worn(self) -> bool:
        """Whether it has forked often, lived long or grown large enough to be replaced."""
        age = asyncio.get_running_loop().time() - self._born
        grown = self._held_bytes - self._first_bytes
        return self._count >= MOST_FORKS or age > MOST_AGE_SECONDS or grown > MOST_GROWTH_BYTES

    def retire(self) -> None:
        """Go as soon as no worker is left."""
        self._retired = True
        self._go_if_done()

    async def fork(self, stream: socket.socket) -> ForkedProcess:
        """Return a new worker that has the other end of `stream`. Raises EngineError."""
        async with self._forking:
            if self.dead:
                raise EngineError(self._death())
            forked: asyncio.Future[ForkedProcess] = asyncio.get_running_loop().create_future()
            self._forks.append(forked)
            try:
                self._ask({"fork": True}, stream)
                patience = FORK_SECONDS if self.ready.done() else REPLY_SECONDS
                await asyncio.wait([forked], timeout=patience)
            except asyncio.CancelledError:
                forked.add_done_callback(_discard)
                raise
        if not forked.done():
            forked.add_done_callback(_discard)
            self._hang_up()
            raise EngineError(f"The process that forks workers did not answer within {patience:g} s.")
        return forked.result()

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Have the zygote signal a worker of its own."""
        self._ask({"signal": number, "pid": pid})

    async def aclose(self) -> None:
        """Hang up; the zygote ends its workers and itself. May be called twice."""
        self._stop_hearing()
        await asyncio.wait([self._exited], timeout=EXIT_SECONDS)
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        if fd == 2 and isinstance(data, bytes):
            self._errors.add(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        if fd == 2:
            self._silent = True
            if self._exited.done():
                self._tell_death()

    def process_exited(self) -> None:
        self._hear()
        self._stop_hearing()
        if not self._exited.done():
            self._exited.set_result(None)
        # Its last words may come after the news of its death. Only something that it left behind could keep them open.
        asyncio.get_running_loop().call_later(0.0 if self._silent else launching.LAST_WORDS_SECONDS, self._tell_death)

    def _tell_death(self) -> None:
        """Nobody is left to say how the workers end: they die with the zygote."""
        for forked in self._forks:
            forked.set_exception(EngineError(self._death()))
        for worker in self._workers.values():
            worker.exited.set_result(Exit(note=self._death()))
        self._forks.clear()
        self._workers.clear()

    def _ask(self, request: dict[str, Any], stream: socket.socket | None = None) -> None:
        line = json.dumps(request).encode() + b"\n"
        try:
            socket.send_fds(self._control, [line], [] if stream is None else [stream.fileno()])
        except OSError:
            # It is dead, or has not listened for hundreds of requests.
            self._hang_up()

    def _hear(self) -> None:
        while not self.dead:
            try:
                data, passed, _, _ = socket.recv_fds(self._control, 65536, 64)
            except BlockingIOError:
                return
            except OSError:
                data, passed = b"", []
            self._passed.extend(passed)
            if not data:
                self._hang_up()
                return
            *lines, rest = (self._text + data).split(b"\n")
            self._text = rest
            for line in lines:
                self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.ready.set_result(None)
            return
        if "exited" in message:
            worker = self._workers.pop(message["exited"])
            ending = Exit(signal=message["signal"], code=message["code"], peak_bytes=message["peak_bytes"])
            worker.exited.set_result(ending.with_last_line(message["last_line"]))
            self._go_if_done()
            return
        forked = self._forks.popleft()
        if "failed" in message:
            forked.set_exception(EngineError(f"The system would not start another worker: {message['failed']}"))
            return
        pidfd = self._passed.popleft() if message["pidfd"] else None
        worker = ForkedProcess(self, message["forked"], pidfd)
        self._workers[message["forked"]] = worker
        self._count += 1
        self._held_bytes = message["held_bytes"]
        self._first_bytes = self._first_bytes or self._held_bytes
        forked.set_result(worker)

    async def _abandon(self) -> None:
        """Whoever started it has gone, or it did not start at all."""
        self._hang_up()
        if self._transport is not None:
            with anyio.CancelScope(shield=True):
                await self.aclose()

    def _go_if_done(self) -> None:
        if self._retired and not self._workers and not self._forks:
            self._stop_hearing()  # which it takes as the word to go

    def _hang_up(self) -> None:
        """It does not answer any more, or has closed its end: make sure that it goes."""
        self._stop_hearing()
        signal_child(self._transport, signal.SIGKILL)

    def _stop_hearing(self) -> None:
        if self._control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
        while self._passed:  # with a message that did not come whole
            os.close(self._passed.popleft())

    def _death(self) -> str:
        returncode = None if self._transport is None else self._transport.get_returncode()
        if returncode is None:
            how = "has hung up"
        elif returncode < 0:
            how = f"was ended by {signal_name(-returncode)}"
        else:
            how = f"ended with code {returncode}"
        last_line = self._errors.last_line()
        return f"The process that workers are forked from {how}" + (f": {last_line}" if last_line else ".")


def _pid_of(pidfd: int, *, otherwise: int) -> int:
    """Return a process's number as this process sees it."""
    try:
        facts = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    except OSError:
        return otherwise
    return next((int(line.split()[1]) for line in facts.splitlines() if line.startswith("Pid:")), otherwise)


def _command(rights: JSONObject, control: int) -> list[str]:
    return launching.command("zygote", control=control, rights=rights)


def _discard(forked: asyncio.Future[ForkedProcess]) -> None:
    """Whoever asked for this worker has gone."""
    if forked.exception() is None:
        forked.result().kill()
        forked.result().close()
