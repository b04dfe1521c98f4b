"""One child process as the engine sees it: what it was asked, what it said, how it ended.

Everything happens in callbacks of the event loop; nothing here is a task that could be left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import mmap
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from planact_quantized import launching
from planact_quantized.backend import BackendError, BackendInfo, Completion
from planact_quantized.engine.answers import Began, Done, Failed, Loading, Ready, Text, decode
from planact_quantized.engine.wire import FrameError, JSONObject, Splitter, encode, settings_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planact_quantized.engine.answers import Answer
    from planact_quantized.settings import EngineSettings

Result: TypeAlias = Completion | int | None

COMMAND = launching.module("planact_quantized.engine.child")
"""What starts a child."""

HANG_UP_SECONDS = 1.0
"""How long a child may take to end after its input has ended; then it is killed."""

UNKILLABLE_SECONDS = 5.0
"""How long a killed process is waited for. One that is stuck in a driver may never end; it is left to the system."""

LAST_WORDS_SECONDS = 0.5
"""How long the pipes of a process that has ended are still read: something may hold on to them."""

_STANDARD_OUTPUT = 1
_LOG_BYTES = 16 * 1024
_LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Whom a child process tells what happens, at once, from the event loop."""

    on_progress: Callable[[float], None]
    on_end: Callable[[ChildProcess], None]


class Exchange:
    """One request at the child."""

    def __init__(self, id: int, on_text: Callable[[int, str], None] | None) -> None:
        self.id = id
        self.on_text = on_text
        self.began = False
        """The child has taken it up; until then it cannot be what a child died of."""

        self.result: Result = None
        self.failure: Exception | None = None
        self.answered = asyncio.Event()
        """There is a result or a failure."""

        self.settled = asyncio.Event()
        """The child is done with it, or gone."""

    def fail(self, error: Exception) -> None:
        if not self.answered.is_set():
            self.failure = error
            self.answered.set()


class ChildProcess(asyncio.SubprocessProtocol):
    """A child that loads the model of `settings` at once. Made by `start_child`."""

    def __init__(self, settings: EngineSettings, events: Events) -> None:
        self.name = settings.name or settings.model.name
        self.up = asyncio.Event()
        """The model is loaded (`info`), or will not be (`failure`)."""

        self.over = asyncio.Event()
        """The process has ended and its last words are read, or it is beyond help."""

        self.info: BackendInfo | None = None
        self.failure: BackendError | None = None
        self.crashed = False
        """It ended, or broke the protocol, without having been told to end."""

        self.exchange: Exchange | None = None
        self.pid = 0
        self._settings = settings
        self._events = events
        self._dismissed = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.SubprocessTransport | None = None
        self._splitter = Splitter()
        self._log = bytearray()
        self._ids = 0
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def usable(self) -> bool:
        """Whether it serves requests, now or once it is up."""
        return self.failure is None and not self._dismissed

    def ask(self, order: JSONObject, on_text: Callable[[int, str], None] | None) -> Exchange:
        """Send a request. One at a time: the one before must be settled. Raises FrameError when it is too large."""
        self._ids += 1
        frame = encode(order | {"id": self._ids})
        self.exchange = Exchange(self._ids, on_text)
        if self.failure is not None:
            self.exchange.fail(self.failure)
            self.exchange.settled.set()
        else:
            self._write(frame)
        return self.exchange

    def cancel(self, exchange: Exchange) -> None:
        self._send({"type": "cancel", "id": exchange.id})

    def stop(self, exchange: Exchange, candidate: int) -> None:
        self._send({"type": "stop", "id": exchange.id, "candidate": candidate})

    def fail(self, error: BackendError) -> None:
        """Let everybody who waits for this child know that it is of no use any more."""
        if self.failure is None:
            self.failure = error
        self.up.set()
        if self.exchange is not None:
            self.exchange.fail(self.failure)

    def dismiss(self) -> None:
        """End it in order: its input ends, it lets go of the model, it ends. Killed where it does not."""
        self._dismissed = True
        writer = self._writer()
        if writer is not None:
            writer.close()
        self._later(HANG_UP_SECONDS, self._kill)

    def kill(self) -> None:
        """End it now."""
        self._dismissed = True
        self._kill()

    def memory_bytes(self) -> int | None:
        """Return what it holds in memory, the mapped model file included; None where the system does not tell."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except OSError:
            return None
        return int(pages) * mmap.PAGESIZE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._transport.get_pid()
        self._send({"type": "load", "settings": settings_to_json(self._settings)})
        self._later(self._settings.load_seconds, self._too_slow)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != _STANDARD_OUTPUT:
            self._log += data
            del self._log[:-_LOG_BYTES]
        elif self.failure is None:
            try:
                for body in self._splitter.feed(data):
                    self._take(decode(body))
            except FrameError as error:
                self._break(f"sent what is no answer: {error}")

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        if fd == _STANDARD_OUTPUT:
            self._later(LAST_WORDS_SECONDS, self._gone_silent)

    def process_exited(self) -> None:
        self._later(LAST_WORDS_SECONDS, self._finish)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # how the process ended says more
        self._finish()

    def _take(self, answer: Answer) -> None:
        match answer:
            case Loading(fraction=fraction):
                self._events.on_progress(fraction)
            case Ready(info=info) if self.info is None:
                self.info = info
                self.up.set()
            case Failed(id=0, fault=fault, message=message) if self.info is None and fault != "cancelled":
                self.fail(BackendError(message, fault=fault))
                self.dismiss()
            case Began(id=id) | Text(id=id) | Done(id=id) | Failed(id=id):
                if self.exchange is None or self.exchange.id != id:
                    raise FrameError(f"an answer to request {id}, which nobody waits for")
                self._take_up(self.exchange, answer)
            case _:
                raise FrameError(f"{answer.type!r} where it does not belong")

    def _take_up(self, exchange: Exchange, answer: Began | Text | Done | Failed) -> None:
        match answer:
            case Began():
                exchange.began = True
            case Text(candidate=candidate, text=text):
                self._pass_on(exchange, candidate, text)
            case Done(result=result):
                exchange.result = result
                self._settle(exchange)
            case Failed(fault=fault, message=message):
                known = BackendError("The request was cancelled.", fault="timeout")
                exchange.fail(known if fault == "cancelled" else BackendError(message, fault=fault))
                self._settle(exchange)

    def _pass_on(self, exchange: Exchange, candidate: int, text: str) -> None:
        if exchange.on_text is None or exchange.answered.is_set():
            return
        try:
            exchange.on_text(candidate, text)
        except Exception as error:  # noqa: BLE001 - the caller's own code failed; it is told, and the child goes on
            exchange.fail(error)

    def _settle(self, exchange: Exchange) -> None:
        self.exchange = None
        exchange.answered.set()
        exchange.settled.set()

    def _break(self, what: str) -> None:
        self.crashed = not self._dismissed
        self.fail(BackendError(self._report(what), fault="protocol"))
        self._kill()

    def _gone_silent(self) -> None:
        if not self._dismissed:
            self._break("closed its output and did not end")

    def _too_slow(self) -> None:
        if self.up.is_set():
            return
        seconds = self._settings.load_seconds
        message = f"The model {self.name!r} was not loaded within {seconds:g} seconds. Raise `load_seconds`."
        self.fail(BackendError(message, fault="timeout"))
        self.kill()

    def _finish(self) -> None:
        if self.over.is_set() or self._transport is None:
            return
        for timer in self._timers:
            timer.cancel()
        self._transport.close()
        if self.failure is None:
            self.crashed = not self._dismissed
            fault = "crashed" if self.crashed else "unavailable"
            self.fail(BackendError(self._report(_ending(self._transport.get_returncode())), fault=fault))
        if self.exchange is not None:
            self._settle(self.exchange)
        self.over.set()
        self._events.on_end(self)

    def _report(self, what: str) -> str:
        lines = self._log.decode("utf-8", "replace").strip().splitlines()[-_LOG_LINES:]
        words = "".join(f"\n  {line[:300]}" for line in lines)
        return f"The process of the model {self.name!r} {what}." + (f" Its last words:{words}" if words else "")

    def _send(self, frame: JSONObject) -> None:
        self._write(encode(frame))

    def _write(self, frame: bytes) -> None:
        writer = self._writer()
        if writer is not None and not writer.is_closing():
            writer.write(frame)

    def _writer(self) -> asyncio.WriteTransport | None:
        return None if self._transport is None else cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        if not self.over.is_set() and seconds < math.inf:
            self._timers.append(self._loop.call_later(seconds, act))

    def _kill(self) -> None:
        # asyncio's own `kill` polls first; up to Python 3.11 that takes the exit status away from its watcher.
        if self._transport is None or self._transport.get_returncode() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                self._transport.kill()
            else:
                os.kill(self.pid, signal.SIGKILL)
        self._later(UNKILLABLE_SECONDS, self._finish)


async def start_child(settings: EngineSettings, events: Events, *, command: Sequence[str]) -> ChildProcess:
    """Start a process that loads the model; wait on its `up`. Raises BackendError when it cannot be started."""
    loop = asyncio.get_running_loop()
    try:
        _, child = await loop.subprocess_exec(
            lambda: ChildProcess(settings, events),
            *command,
            cwd=launching.FOLDER,
            env=launching.environment(),
            **launching.options(),
        )
    except OSError as error:
        raise BackendError(f"No process can be started for the model: {error}.", fault="unavailable") from None
    return child


def _ending(returncode: int | None) -> str:
    if returncode is None:
        return "does not end, not even when it is killed"
    said = launching.ending(returncode)
    return f"{said}, from outside or because the memory of the machine ran out" if said.endswith("SIGKILL") else said
