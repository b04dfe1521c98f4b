"""A real worker process over pipes, and a small host that answers it. Synchronous: a test reads like a transcript."""

from __future__ import annotations

import atexit
import functools
import inspect
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import RestrictedPython

import planact_server.sandbox.inside

_INSIDE = Path(planact_server.sandbox.inside.__file__).parent
_RESTRICTED_PYTHON = Path(RestrictedPython.__file__).parent

Tools = Mapping[str, Callable[..., Any]]


class Fault(Exception):
    """Raised by a test's tool to send an error answer."""

    def __init__(self, **answer: Any) -> None:
        super().__init__(answer)
        self.answer = answer


class Limit(Exception):
    """Raised by a test's tool to end the plan."""


@dataclass
class Run:
    """How a plan went."""

    done: dict[str, Any] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    output: str = ""
    bound: dict[int, list[str]] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    most_in_flight: int = 0
    seconds: float = 0.0

    @property
    def status(self) -> str:
        return self.done["status"]

    @property
    def result(self) -> Any:
        return self.done["result"]

    @property
    def variables(self) -> dict[str, Any]:
        return self.done["variables"]

    @property
    def error(self) -> dict[str, Any]:
        assert len(self.done["errors"]) == 1, self.done
        return self.done["errors"][0]

    @property
    def function_results(self) -> dict[str, list[str]]:
        """Dria's shape, as the host makes it of calls and bindings."""
        results: dict[str, list[str]] = {}
        for call in self.calls:
            names = results.setdefault(call["tool"], [])
            names += [name for name in self.bound.get(call["call"], []) if name not in names]
        return results


class PlanWorker:
    """One worker. `run` sends a plan and plays the host until it is done."""

    def __init__(self) -> None:
        asked = _forking()
        (theirs_in, self._in), (self._out, theirs_out), (self._life, theirs_life) = os.pipe(), os.pipe(), os.pipe()
        theirs = [theirs_in, theirs_out, theirs_life]
        socket.send_fds(asked, [b"+"], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self._pid = int(asked.recv(32))
        self._buffer = b""
        self.ready = self._receive(10)

    @property
    def alive(self) -> bool:
        return not select.select([self._life], [], [], 0)[0]

    def close(self) -> None:
        if self.alive:
            os.kill(self._pid, signal.SIGKILL)
            os.read(self._life, 1)
        for descriptor in (self._in, self._out, self._life):
            os.close(descriptor)

    def interrupt(self) -> None:
        os.kill(self._pid, signal.SIGUSR1)

    def restore(self, variables: dict[str, Any]) -> None:
        self.send({"type": "restore", "variables": variables, "definitions": {}})
        assert self._receive(5) == {"type": "restored", "lost": []}

    def reply(self) -> dict[str, Any]:
        """Return the next frame, outside of a plan."""
        return self._receive(15)

    def run(
        self,
        source: str,
        tools: Tools | None = None,
        *,
        ask: Callable[[str, dict[str, Any]], Any] = lambda _helper, _arguments: None,
        resolve: Callable[[str], dict[str, Any]] | None = None,
        together: int = 1,
        within: float = 10.0,
        **limits: Any,
    ) -> Run:
        """Run a plan. `together`: answer only when so many calls are in flight, the latest first."""
        defaults = {"seconds": 5.0, "cpu_seconds": 5.0, "output_bytes": 100_000, "state_bytes": 1 << 20}
        sizes = {"source_bytes": 200_000, "frame_bytes": 16 << 20}
        run, waiting = Run(), []
        started = time.monotonic()
        self.send({"type": "run", "source": source, **defaults, **sizes, **limits})
        while True:
            frame = self._receive(within - (time.monotonic() - started))
            match frame["type"]:
                case "done":
                    run.done, run.seconds = frame, time.monotonic() - started
                    return run
                case "output":
                    run.output += frame["text"]
                case "bound":
                    run.bound.setdefault(frame["call"], []).extend(frame["names"])
                case "leave":
                    run.left += frame["calls"]
                case "resolve":
                    run.resolved += frame["names"]
                    look_up = resolve or (lambda name: _resolve(name, tools or {}))
                    answers = {name: look_up(name) for name in frame["names"]}
                    self.send({"type": "answer", "id": frame["id"], "value": answers})
                case "ask":
                    run.asked.append((frame["helper"], frame["arguments"]))
                    self._answer(frame, lambda frame=frame: ask(frame["helper"], frame["arguments"]))
                case "call":
                    for call, names in frame.pop("bound", ()):
                        run.bound.setdefault(call, []).extend(names)
                    run.calls.append(frame)
                    waiting.append(frame)
                    run.most_in_flight = max(run.most_in_flight, len(waiting))
                    if len(waiting) >= together:
                        while waiting:
                            call = waiting.pop()
                            self._answer(call, lambda call=call: _call(call, tools or {}))
                case other:
                    raise AssertionError(other)

    def send(self, frame: dict[str, Any]) -> None:
        body = json.dumps(frame).encode()
        rest = memoryview(struct.pack(">I", len(body)) + body)
        while rest:
            rest = rest[os.write(self._in, rest) :]

    def _answer(self, frame: dict[str, Any], work: Callable[[], Any]) -> None:
        try:
            answer = {"value": work()}
        except Fault as fault:
            answer = {"error": fault.answer}
        except Limit as limit:
            answer = {"limit": str(limit)}
        self.send({"type": "answer", "id": frame["id"], **answer})

    def _receive(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not self._has_frame():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._out], [], [], left)[0]:
                raise TimeoutError("the worker does not answer")
            chunk = os.read(self._out, 1 << 18)
            if not chunk:
                raise EOFError("the worker is gone")
            self._buffer += chunk
        size = struct.unpack(">I", self._buffer[:4])[0]
        body, self._buffer = self._buffer[4 : 4 + size], self._buffer[4 + size :]
        return json.loads(body)

    def _has_frame(self) -> bool:
        return len(self._buffer) >= 4 and len(self._buffer) >= 4 + struct.unpack(">I", self._buffer[:4])[0]


@functools.cache
def _forking() -> socket.socket:
    """Start the process that workers are forked from, once, and return the socket on which it is asked for them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = Path(__file__).with_name("forked_workers.py")
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(_INSIDE), str(_RESTRICTED_PYTHON), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={},
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _find(name: str, tools: Tools) -> tuple[str, Callable[..., Any]] | None:
    for full_name, function in tools.items():
        if name in (full_name, full_name.partition(".")[2]):
            return full_name, function
    return None


def _resolve(name: str, tools: Tools) -> dict[str, Any]:
    found = _find(name, tools)
    if found is not None:
        server, _, tool = found[0].partition(".")
        parameters = list(inspect.signature(found[1]).parameters)
        kind = {"kind": "tool", "server": server, "tool": tool, "parameters": parameters}
        return {**kind, "aliases": [], "open_keywords": False}
    if any(full_name.startswith(f"{name}.") for full_name in tools):
        return {"kind": "server", "server": name}
    return {"kind": "missing", "hint": ""}


def _call(frame: dict[str, Any], tools: Tools) -> Any:
    found = _find(f"{frame['server']}.{frame['tool']}" if frame["server"] else frame["tool"], tools)
    if found is None:
        raise Fault(type="NameError", message=f"no tool {frame['tool']}")
    return found[1](*frame["positional"], **frame["keywords"])
