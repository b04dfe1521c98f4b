"""llama.cpp behind a pipe: the backend that runs a quantized model on this machine.

The model lives in a child process (`child.py`), so that nothing that llama.cpp does takes us down, and so that
ending it always works. The engine starts it on first use, ends it when nobody has asked for a while, starts it
anew after a crash or when the model file was replaced, and gives it one request at a time.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import anyio

from planact_quantized.backend import BackendError, BackendInfo, Completion
from planact_quantized.engine.crashes import Crashes
from planact_quantized.engine.process import COMMAND, ChildProcess, Events, Exchange, Result, start_child
from planact_quantized.engine.turns import Turns
from planact_quantized.engine.wire import FrameError, messages_to_json, request_to_json
from planact_quantized.fitting.devices import require_llama_cpp

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from planact_quantized.backend import GenerateRequest, Grammar, Message, Watcher
    from planact_quantized.engine.wire import JSONObject
    from planact_quantized.settings import EngineSettings

CANCEL_SECONDS = 1.0
"""How long the child may take to confirm that a request was cancelled; then it is killed, whatever it is stuck in."""

_CLOSED = "The engine of the on-device model was closed."
_FIRST = math.inf
"""The priority of questions that are answered in no time."""

EngineState: TypeAlias = Literal["stopped", "loading", "ready", "crashed", "closed"]
FileIdentity: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What an engine is doing."""

    state: EngineState
    """`stopped`: not started yet, or unloaded; the next request loads the model."""

    info: BackendInfo | None = None
    """While `ready`."""

    progress: float | None = None
    """While `loading`: how much of the model is there, 0 to 1."""

    busy: bool = False
    waiting: int = 0
    """Requests in the queue."""

    pid: int | None = None
    memory_bytes: int | None = None
    """What the child holds in memory, the mapped model file included; None where the system does not tell."""

    reason: str = ""
    """Why the last child ended or was not started, where that was not our own wish."""


class Engine:
    """A `Backend` over one GGUF model. Belongs to one event loop; close it with `aclose`.

    A request whose child dies while it is being written fails with the fault "crashed", the reason and the last
    lines of the log; it is not tried again, since it may be what killed the child. Requests behind it, and one that
    the child had not taken up yet, are served by the next child. After three crashes within a minute requests fail
    at once until a minute has passed since the first of them.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        on_progress: Callable[[float], None] | None = None,
        request_seconds: float | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Nothing is started here.

        `on_progress` hears how much of the model is loaded, 0 to 1. `request_seconds` bounds the writing of one
        request, queue and loading not counted. `command` starts a child that speaks `wire.py`.
        """
        self._settings = settings
        self._on_progress = on_progress
        self._request_seconds = request_seconds
        self._command = command
        self._turns = Turns()
        self._starting = asyncio.Lock()
        self._child: ChildProcess | None = None
        self._children: set[ChildProcess] = set()
        """Every process that has not ended yet, dismissed ones included."""

        self._file: FileIdentity | None = None
        self._crashes = Crashes()
        self._users = 0
        self._idle: asyncio.TimerHandle | None = None
        self._progress = 0.0
        self._reason = ""
        self._closed = False

    @property
    def status(self) -> EngineStatus:
        """What goes on now. Starts nothing."""
        child, waiting, reason = self._child, self._turns.waiting, self._reason
        if self._closed or child is None or not child.usable:
            crashed = child is not None and child.crashed
            state = "closed" if self._closed else "crashed" if crashed else "stopped"
            return EngineStatus(state=state, waiting=waiting, reason=reason)
        memory = child.memory_bytes()
        if child.info is None:
            return EngineStatus(
                state="loading", progress=self._progress, waiting=waiting, pid=child.pid, memory_bytes=memory
            )
        return EngineStatus(
            state="ready",
            info=child.info,
            busy=child.exchange is not None,
            waiting=waiting,
            pid=child.pid,
            memory_bytes=memory,
            reason=reason,
        )

    async def start(self) -> BackendInfo:
        """Load the model unless it is loaded; everybody who asks at the same time waits for the same start."""
        with self._in_use():
            _, info = await self._loaded()
            return info

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Count exactly, ahead of every waiting request."""
        counted, _ = await self._ask({"type": "count", "messages": messages_to_json(messages)}, _FIRST)
        if not isinstance(counted, int):
            raise _unreadable(counted)
        return counted

    async def check_grammar(self, grammar: Grammar) -> None:
        """Raise BackendError with the fault "grammar" where llama.cpp cannot use it; ahead of waiting requests."""
        await self._ask({"type": "check", "grammar": dataclasses.asdict(grammar)}, _FIRST)

    async def generate(self, request: GenerateRequest, *, watch: Watcher | None = None) -> Completion:
        """Write text. A candidate that `watch` ends may have a few tokens more than `watch` has seen.

        When the await is cancelled, so is the writing: at the next token, or by ending the child where that takes
        more than a second. `Usage.seconds_queued` is the time until the child had the request, loading included.
        """
        order: JSONObject = {"type": "generate", "request": request_to_json(request)}
        completion, queued = await self._ask(order, request.priority, watch)
        if not isinstance(completion, Completion):
            raise _unreadable(completion)
        return dataclasses.replace(completion, usage=dataclasses.replace(completion.usage, seconds_queued=queued))

    async def aclose(self) -> None:
        """End the child for sure; whoever waits gets a BackendError. May be called again, and while starting."""
        self._closed = True
        self._stop_idling()
        error = BackendError(_CLOSED, fault="unavailable")
        try:
            for child in self._children:
                child.fail(error)
                child.dismiss()
            with anyio.CancelScope(shield=True):
                async with self._starting:  # a process that was being started is among the children after this
                    for child in list(self._children):
                        child.fail(error)
                        child.dismiss()
                        await child.over.wait()
        finally:
            for child in self._children:
                child.kill()

    async def _ask(self, order: JSONObject, priority: float, watch: Watcher | None = None) -> tuple[Result, float]:
        """Return the child's answer, and the seconds until the child had the request."""
        asked = time.monotonic()
        with self._in_use():
            async with self._turns.turn(priority):
                while True:
                    child, _ = await self._loaded()
                    queued = time.monotonic() - asked
                    exchange = await self._exchange(child, order, watch)
                    if exchange.failure is None:
                        return exchange.result, queued
                    if exchange.began or not child.crashed or self._closed:
                        raise _fresh(exchange.failure)

    async def _exchange(self, child: ChildProcess, order: JSONObject, watch: Watcher | None) -> Exchange:
        ended: set[int] = set()

        def on_text(candidate: int, text: str) -> None:
            if watch is not None and candidate not in ended and watch(candidate, text):
                ended.add(candidate)
                child.stop(exchange, candidate)

        try:
            exchange = child.ask(order, on_text)
        except FrameError as error:
            raise BackendError(
                f"The request is too large for the on-device model: {error}.", fault="too_long"
            ) from None
        try:
            with anyio.move_on_after(self._request_seconds) as bound:
                await exchange.answered.wait()
        finally:
            await _settle(child, exchange)
        if bound.cancelled_caught:
            message = f"The on-device model was still writing after {self._request_seconds:g} seconds."
            exchange.failure = BackendError(message, fault="timeout")
        return exchange

    async def _loaded(self) -> tuple[ChildProcess, BackendInfo]:
        async with self._starting:
            child = self._current() or await self._start()
        await child.up.wait()
        if child.failure is not None:
            raise _fresh(child.failure)
        return child, cast(BackendInfo, child.info)

    def _current(self) -> ChildProcess | None:
        """Return the child where it is one that can be asked, about the model file as it is now."""
        child = self._child
        if child is None or not child.usable:
            return None
        at_rest = child.up.is_set() and child.exchange is None
        if at_rest and _identity(self._settings.model) != self._file:
            child.dismiss()
            return None
        return child

    async def _start(self) -> ChildProcess:
        for leaving in list(self._children):
            await leaving.over.wait()  # two models at once might not fit
        if self._closed:
            raise BackendError(_CLOSED, fault="unavailable")
        self._crashes.check()
        if self._command == COMMAND:
            require_llama_cpp()
        self._file = _identity(self._settings.model)
        if self._file is None:
            raise BackendError(f"There is no model file {str(self._settings.model)!r} (any more).", fault="model")
        self._progress, self._reason = 0.0, ""
        events = Events(on_progress=self._progressed, on_end=self._ended)
        child = self._child = await start_child(self._settings, events, command=self._command)
        self._children.add(child)
        return child

    def _progressed(self, fraction: float) -> None:
        self._progress = fraction
        if self._on_progress is not None:
            self._on_progress(fraction)

    def _ended(self, child: ChildProcess) -> None:
        if child not in self._children:  # its start was cancelled
            return
        self._children.discard(child)
        if child.failure is not None and (child.crashed or child.info is None):
            self._reason = child.failure.message
        if child.crashed:
            self._crashes.add(self._reason)

    @contextmanager
    def _in_use(self) -> Generator[None]:
        if self._closed:
            raise BackendError(_CLOSED, fault="unavailable")
        self._users += 1
        self._stop_idling()
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._rest()

    def _rest(self) -> None:
        child = self._child
        if self._closed or child is None or not child.usable:
            return
        if child.info is None:
            child.kill()  # everybody who waited for it has gone
        elif self._settings.idle_seconds < math.inf:
            self._idle = asyncio.get_running_loop().call_later(self._settings.idle_seconds, child.dismiss)

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


async def _settle(child: ChildProcess, exchange: Exchange) -> None:
    """Make sure that the child is done with a request, also one that nobody waits for any more."""
    if exchange.settled.is_set():
        return
    child.cancel(exchange)
    try:
        with anyio.move_on_after(CANCEL_SECONDS, shield=True):
            await exchange.settled.wait()
    finally:
        if not exchange.settled.is_set():
            child.kill()


def _identity(model: Path) -> FileIdentity | None:
    """Return what tells a file from one that was put in its place; None when there is none."""
    try:
        found = model.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _fresh(error: Exception) -> Exception:
    """Return an error to raise: each of those who wait for the same child gets one with a traceback of its own."""
    return BackendError(error.message, fault=error.fault) if isinstance(error, BackendError) else error


def _unreadable(result: Result) -> BackendError:
    return BackendError(f"The process of the on-device model answered with {type(result).__name__}.", fault="protocol")
