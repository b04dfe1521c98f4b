"""The process between the host and Monty: speaks the host's frames on one side and runs Monty on the other.

Monty's client makes Python objects of whatever a plan has made up, and a few lines can make something that takes Python
hours to build. That happens here, in a process that the host can kill like any worker.

`launch_driver` starts it, or the process that it is forked from.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from planact_server.sandbox import (
    EngineError,
    KnownResults,
    LimitReached,
    Limits,
    Outcome,
    PlanFault,
    Resolution,
    ResolvedPlaceholder,
    ResolvedServer,
    ResolvedTool,
    ToolRequest,
    Unresolved,
)
from planact_server.sandbox.monty import starting
from planact_server.sandbox.monty.launching import DRIVER_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from planact_server.sandbox.jail.layers import Layers
    from planact_server.sandbox.monty.worker import MontyWorker
    from planact_tools import JSONValue

_LENGTH = struct.Struct(">I")
_MARGIN = 100_000
_NO_BUDGET = 2**31 - 1
"""The host counts calls, and says when there are enough."""


class Stream:
    """Frames, written from any thread and read by one."""

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self._in, self._out = fd_in, fd_out
        self._writing = threading.Lock()

    def send(self, frame: Mapping[str, Any]) -> None:
        """Write a frame."""
        body = _encoded(frame)
        data = memoryview(_LENGTH.pack(len(body)) + body)
        with self._writing:
            while data:
                data = data[os.write(self._out, data) :]

    def receive(self) -> Any:
        """Return the next frame. Raises EOFError when the host has gone."""
        (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return json.loads(self._exactly(size))

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = os.read(self._in, size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


class Host:
    """The host, asked by frames."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        found = await self._ask({"type": "resolve", "names": list(names)})
        return {name: _resolution(found.get(name, {})) for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        return await self._ask(
            {
                "type": "call",
                "call": request.call,
                "server": request.server,
                "tool": request.tool,
                "raw": request.raw,
                "positional": list(request.positional),
                "keywords": dict(request.keywords),
                "line": request.line,
            }
        )

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        return await self._ask({"type": "ask", "helper": helper, "arguments": dict(arguments)})

    def answer(self, frame: dict[str, Any]) -> None:
        waiting = self._waiting.pop(frame["id"], None)
        if waiting is None or waiting.done():
            return
        if "limit" in frame:
            waiting.set_exception(LimitReached(frame["limit"]))
        elif "error" in frame:
            facts = frame["error"]
            waiting.set_exception(PlanFault(facts.pop("message"), **facts))
        else:
            waiting.set_result(frame["value"])

    def forget(self) -> None:
        """The plan is over: late answers are for nobody."""
        self._waiting.clear()

    async def _ask(self, frame: dict[str, Any]) -> Any:
        self._last_id += 1
        waiting = self._waiting[self._last_id] = asyncio.get_running_loop().create_future()
        self._stream.send({**frame, "id": self._last_id})
        return await waiting


class Driver:
    """Does what the host says, one thing at a time, while answers come in between."""

    def __init__(self, stream: Stream, worker: MontyWorker) -> None:
        self._stream = stream
        self._worker = worker
        self._host = Host(stream)
        self._doing: asyncio.Task[None] | None = None

    def take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "answer":
            self._host.answer(frame)
        elif frame["type"] == "hold":
            self._worker.hold(frame["calls"])
        else:
            self._doing = asyncio.create_task(self._do(frame))

    def interrupt(self) -> None:
        self._interrupting = asyncio.create_task(self._worker.interrupt())

    async def _do(self, frame: dict[str, Any]) -> None:
        try:
            reply = await self._reply(frame)
        except EngineError as error:
            _end(str(error))
        except Exception as error:  # noqa: BLE001 - whoever waits for an answer must not wait for good
            _end(f"The engine failed: {type(error).__name__}: {error}"[:500])
        lost = None if self._worker.alive else self._worker.lost
        if lost is None:
            self._stream.send(reply)
            return
        if lost.status == "limit":  # how much was too much is worth to be told
            self._stream.send({**reply, "last": True} if reply["type"] == "done" else reply)
        _end(lost.reason)

    async def _reply(self, frame: dict[str, Any]) -> Mapping[str, Any]:
        match frame:
            case {"type": "run"}:
                return await self._run(frame)
            case {"type": "restore", "variables": variables, "definitions": definitions}:
                lost = set(await self._worker.restore(variables, definitions))
                return {"type": "restored", "lost": [n for n, name in enumerate(definitions) if name in lost]}
            case {"type": "checkpoint"}:
                noted = await self._worker.checkpoint()
                return {"type": "checkpointed", "taken": noted.taken, "unsettled": []}
            case {"type": "rollback"}:
                await self._worker.rollback()
                return {"type": "rolled_back", "done": True}
            case {"type": "forget"}:
                await self._worker.forget()
                return {"type": "forgotten"}
            case _:
                raise EngineError(f"The host asks for {frame.get('type')!r}, which this worker does not know.")

    async def _run(self, frame: dict[str, Any]) -> Mapping[str, Any]:
        names = ("seconds", "cpu_seconds", "output_bytes", "state_bytes", "source_bytes", "frame_bytes")
        limits = Limits(**{name: frame[name] for name in names}, calls=_NO_BUDGET, calls_in_flight=_NO_BUDGET)
        outcome = await self._worker.run(frame["source"], host=self._host, limits=limits, told=self._stream.send)
        self._host.forget()
        done = _done(outcome)
        if len(_encoded(done)) > limits.frame_bytes - _MARGIN:
            done |= {"variables": {}, "truncated": dict.fromkeys(outcome.variables, 1), "status": "limit"}
            done.pop("result", None)
        return done


def _encoded(frame: Mapping[str, Any]) -> bytes:
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def _done(outcome: Outcome) -> dict[str, Any]:
    errors = [{name: fact for name, fact in asdict(error).items() if fact is not None} for error in outcome.errors]
    return {
        "type": "done",
        "status": outcome.status,
        "errors": errors,
        "variables": dict(outcome.variables),
        "deleted": list(outcome.deleted),
        "functions": list(outcome.functions),
        "truncated": dict(outcome.truncated),
        "inexact": list(outcome.inexact),
        **({"result": outcome.result} if outcome.has_result else {}),
        **({} if outcome.definitions is None else {"definitions": dict(outcome.definitions)}),
    }


def _resolution(found: dict[str, Any]) -> Resolution:
    match found:
        case {"kind": "tool"}:
            return ResolvedTool(
                server=found["server"],
                tool=found["tool"],
                parameters=tuple(found["parameters"]),
                aliases=tuple(found["aliases"]),
                open_keywords=found["open_keywords"],
                returns=KnownResults(**found["returns"]) if "returns" in found else None,
            )
        case {"kind": "server", "server": server}:
            return ResolvedServer(server=server)
        case {"kind": "placeholder"}:
            return ResolvedPlaceholder()
        case _:
            return Unresolved(hint=found.get("hint", ""))


async def _serve(stream: Stream, start: Callable[[], Awaitable[MontyWorker]], confine: Callable[[], Layers]) -> None:
    loop = asyncio.get_running_loop()
    worker = await start()
    driver = Driver(stream, worker)
    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGUSR1, driver.interrupt)
    # Last of all, because Monty had to be started first; no plan has run so far.
    layers = {**worker.layers, **confine()}
    stream.send({"type": "ready", "pid": os.getpid(), "layers": layers})
    gone = asyncio.Event()

    def listen() -> None:
        try:
            while True:
                loop.call_soon_threadsafe(driver.take, stream.receive())
        except (EOFError, OSError, ValueError):
            loop.call_soon_threadsafe(gone.set)

    threading.Thread(target=listen, daemon=True).start()
    await gone.wait()
    await worker.aclose()


def _limited(memory_bytes: int) -> Layers:
    """Bound what is made here of a plan's values, where the system can."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - Windows has none

        from planact_server.sandbox.jail.rlimits import limit  # noqa: PLC0415

        limit(resource.RLIMIT_AS, DRIVER_BYTES + 4 * memory_bytes)
    return {"driver": "not available: it has limits but no jail on this system; it reads plans and runs none"}


def _end(reason: str) -> NoReturn:
    """Leave the reason as the last line of the errors, where the host looks for it."""
    sys.stderr.write(f"{' '.join(reason.split())}\n")
    sys.stderr.flush()
    os._exit(1)


def serve(
    fd_in: int, fd_out: int, *, start: Callable[[], Awaitable[MontyWorker]], confine: Callable[[], Layers]
) -> NoReturn:
    """Serve over two descriptors, or one that is both, until the host is gone. Never returns and never raises."""
    try:
        if sys.platform != "win32":
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until somebody listens to it
        asyncio.run(_serve(Stream(fd_in, fd_out), start, confine))
        os._exit(0)
    except EngineError as error:
        _end(str(error))
    finally:
        os._exit(1)


def main(settings: dict[str, Any]) -> NoReturn:
    """Be a driver over standard input and output. `settings` are what `starting.start` takes."""
    fd_in, fd_out = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nowhere, fd)  # a stray print must not get between the frames
    memory_bytes = settings["memory_bytes"]
    serve(
        fd_in,
        fd_out,
        start=lambda: starting.start(**settings),
        confine=lambda: _limited(memory_bytes),
    )
