"""What a running plan says to its host: calls, questions, output. Answers may come in any order."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any, cast

from planact_server.sandbox.inside import handles
from planact_server.sandbox.inside.trampoline import Future, callbacks
from planact_server.sandbox.inside.wire import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_server.sandbox.inside.interrupts import Interrupts
    from planact_server.sandbox.inside.observe import Observer
    from planact_server.sandbox.inside.source import Problem
    from planact_server.sandbox.inside.wire import Frame, Wire

_FLUSH_CHARACTERS = 8192
_FLUSH_SECONDS = 0.05
"""What is printed after so long a silence is sent at once: whoever looks on sees it, and no killing takes it back."""


class ToolError(Exception):
    """A tool said no, or its server failed."""

    def __init__(
        self,
        message: str = "",
        *,
        server: str | None = None,
        tool: str | None = None,
        arguments: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.server = server
        self.tool = tool
        self.arguments = arguments


_ERRORS: dict[str, type[Exception]] = {
    "TypeError": TypeError,
    "ValueError": ValueError,
    "NameError": NameError,
    "AttributeError": AttributeError,
    "LookupError": LookupError,
}


_MOST_CARRIED = 100
"""Bindings that one call carries."""

_MOST_VALUES = 350_000
"""The host takes no frame with 400,000 values or more."""


def _values(value: Any) -> int:
    match value:
        case dict():
            return 1 + sum(map(_values, cast("dict[str, Any]", value).values()))
        case list():
            return 1 + sum(map(_values, cast("list[Any]", value)))
        case _:
            return 1


class Fault:
    """What the host said about an exception that it raised in the plan."""

    def __init__(self, answer: dict[str, Any], *, call: int | None, function: str | None) -> None:
        self.call = call
        self.function: str | None = answer.get("function") or function
        self.parameter: str | None = answer.get("parameter")
        self.hint: str | None = answer.get("hint")


class Channel:
    """One plan at a time over one wire."""

    def __init__(self, wire: Wire, interrupts: Interrupts, observer: Observer) -> None:
        self._wire = wire
        self._interrupts = interrupts
        self._observer = observer
        self._ids = itertools.count(1)
        self._calls = 0
        self._open: dict[int, _Request] = {}
        self._faults: dict[int, tuple[BaseException, Fault]] = {}
        self._output: list[str] = []
        self._output_characters = 0
        self._output_sent = 0.0
        self._output_left = 0
        self._frame_bytes = 0
        self._with_people: frozenset[int | None] = frozenset()
        """Calls that wait for a person."""

        self._left: list[int] = []
        """Calls that were given up, as far as the host has not been told."""

        callbacks.failed = lambda error: self.print(f"Exception in a callback: {type(error).__name__}: {error}")
        self.silent = False
        """Whether nothing may be asked or told: a plan's own code runs, and no plan."""

    def begin_plan(self, *, output_bytes: int, frame_bytes: int) -> None:
        self._calls = 0
        self._open.clear()
        self._left.clear()
        self._with_people = frozenset()
        self._faults.clear()
        self._output.clear()
        self._output_characters = 0
        self._output_left = output_bytes
        self._frame_bytes = frame_bytes

    # ---- asking ----------------------------------------------------------------------------------------------------

    def call(self, function: str, frame: Frame) -> tuple[int, Future]:
        """Send a tool call. Returns its number and the future of its value."""
        number = self._calls + 1
        return number, self._request({"type": "call", "call": number, **frame}, call=number, function=function)

    def leave(self, call: int) -> None:
        """Nobody waits for a call any more. The host is told before the plan waits, or asks something else."""
        number = next((number for number, request in self._open.items() if request.call == call), None)
        if number is None:
            return
        del self._open[number]
        self._left.append(call)

    def ask(self, helper: str, arguments: dict[str, Any]) -> Any:
        """Ask the host for help and wait for the answer."""
        return self.wait(self._request({"type": "ask", "helper": helper, "arguments": arguments}, function=helper))

    def resolve(self, names: list[str]) -> dict[str, Any]:
        """Look names up before the plan runs."""
        return self.wait(self._request({"type": "resolve", "names": names}))

    def wait(self, future: Future) -> Any:
        """Wait for one answer; others that arrive meanwhile wake whoever awaits them."""
        while not future.done():
            self.pump(None)
        return future.result()

    def pump(self, seconds: float | None) -> None:
        """Take in one frame, or wait so long."""
        if self._left:
            # All that was given up together in one frame: no place that one leaves must be taken by another.
            with self._interrupts:
                self._tell_left()
                self._wire.flush()
            return
        if seconds is None and self._waits_for_people():
            with self._interrupts.clock_standing_still():
                self._wire.wait(None)
        elif not self._wire.wait(seconds):
            return
        with self._interrupts:
            self._receive()

    def expects_answers(self) -> bool:
        return bool(self._open or self._left)

    def _waits_for_people(self) -> bool:
        """Say whether nothing but people can wake the plan: their time is not its own."""
        waiting = self._with_people
        return bool(waiting) and all(request.call in waiting for request in self._open.values())

    def _tell_left(self) -> None:
        if self._left:
            self._wire.queue({"type": "leave", "calls": self._left})
            self._left = []

    def fault(self, error: BaseException) -> Fault | None:
        """What is known about an exception that came out of a call."""
        known = self._faults.get(id(error))
        return known[1] if known is not None and known[0] is error else None

    def blame(self, error: BaseException, *, function: str, parameter: str) -> None:
        """Remember which function and parameter an exception is about that was raised before any call was sent."""
        self._faults[id(error)] = (error, Fault({"parameter": parameter}, call=None, function=function))

    def _request(self, frame: Frame, *, call: int | None = None, function: str | None = None) -> Future:
        if self.silent:
            raise RuntimeError(f"{function or 'the host'} cannot be reached while the session is put back")
        with self._interrupts:
            number = next(self._ids)
            body = encode({**frame, "id": number})
            if body.count(b",") > _MOST_VALUES and _values(frame) > _MOST_VALUES:
                raise ValueError(
                    f"The arguments of {function or 'the call'} hold more than {_MOST_VALUES:,} values."
                    " Pass less at a time."
                )
            if self._frame_bytes and len(body) > self._frame_bytes:
                raise ValueError(
                    f"The arguments of {function or 'the call'} take {len(body)} bytes as JSON; "
                    f"{self._frame_bytes} are allowed. Pass less at a time."
                )
            if call is not None:
                self._calls = call  # what was refused before here has taken no number: the host counts as well
            request = _Request(call, function)
            self._open[number] = request
            self._tell_left()
            self._flush_output()
            self._wire.queue_encoded(body if call is None else self._with_bindings(body))
            self._wire.flush()
        return request.future

    def _with_bindings(self, body: bytes) -> bytes:
        """Let a call carry what was bound before it: most do, and a frame of its own costs as much as the call."""
        bound = self._observer.take()
        if not bound:
            return body
        carried = body[:-1] + b',"bound":' + encode(bound) + b"}"
        if len(bound) <= _MOST_CARRIED and (not self._frame_bytes or len(carried) <= self._frame_bytes):
            return carried
        self._tell(bound)
        return body

    def _tell(self, bound: list[tuple[int, list[str]]]) -> None:
        for call, names in bound:
            self._wire.queue({"type": "bound", "call": call, "names": names})

    def _receive(self) -> None:
        frame = self._wire.receive(self.from_wire)
        if frame.get("type") == "hold":
            self._with_people = frozenset(cast("list[int]", frame["calls"]))
        request = self._open.pop(frame.get("id", 0), None) if frame.get("type") == "answer" else None
        if request is None:
            return  # an answer to an earlier plan's leftovers
        if "limit" in frame:
            self._interrupts.stop("limit", str(frame["limit"]))
        if "error" in frame:
            request.future.set_exception(self._error(frame["error"], request))
        else:
            request.future.set_result(frame.get("value"))

    def from_wire(self, value: dict[str, Any]) -> Any:
        return handles.from_wire(value, self._read_text)

    def _read_text(self, text: str, start: int, stop: int) -> str:
        return self.ask("text", {"id": text, "start": start, "stop": stop})

    def _error(self, answer: dict[str, Any], request: _Request) -> Exception:
        message = str(answer.get("message", ""))
        kind = _ERRORS.get(answer.get("type", ""))
        error = (
            kind(message)
            if kind is not None
            else ToolError(
                message,
                server=answer.get("server"),
                tool=answer.get("tool"),
                arguments=answer.get("arguments"),
            )
        )
        self._faults[id(error)] = (error, Fault(answer, call=request.call, function=request.function))
        return error

    # ---- telling ---------------------------------------------------------------------------------------------------

    def print(
        self,
        *values: object,
        sep: str | None = " ",
        end: str | None = "\n",
        file: Any = None,
        flush: bool = False,  # noqa: ARG002
    ) -> None:
        """`print` in plans."""
        options: dict[str, Any] = {"sep": sep, "end": end}
        for name, given in options.items():  # a plan gives what it likes
            if not isinstance(given, str | None):
                raise TypeError(f"{name} must be None or a string, not {type(given).__name__}")
        text = str.join(" " if sep is None else sep, [str(value) for value in values]) + ("\n" if end is None else end)
        if file is None or file is self:
            self.write(text)
        else:
            file.write(text)

    def write(self, text: str) -> int:
        """Add to the plan's output. Raises PlanStopped past the limit."""
        if type(text) is not str:
            text = str.__str__(text)
        if self.silent:
            return len(text)
        with self._interrupts:
            size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
            if size > self._output_left:
                self._add(text.encode("utf-8", "replace")[: self._output_left].decode("utf-8", "ignore"))
                self._output_left = 0
                self._interrupts.stop("limit", "The plan printed more than the output limit.")
            self._output_left -= size
            self._add(text)
        return len(text)

    def doubt(self, problems: Sequence[Problem]) -> None:
        """Put in line, before the next frame, what looks wrong with the plan."""
        if problems:
            self._wire.queue({"type": "doubts", "doubts": [each.as_json() for each in problems]})

    def flush(self) -> None:
        """Put output and bindings in line before the next frame. Also what `sys.stdout.flush()` calls."""
        self._flush_output()
        self._tell(self._observer.take())

    def _flush_output(self) -> None:
        if self._output:
            self._wire.queue({"type": "output", "text": "".join(self._output)})
            self._output.clear()
            self._output_characters = 0
            self._output_sent = time.monotonic()

    def _add(self, text: str) -> None:
        self._output.append(text)
        self._output_characters += len(text)
        if self._output_characters >= _FLUSH_CHARACTERS or time.monotonic() > self._output_sent + _FLUSH_SECONDS:
            self.flush()
            self._wire.flush()


class _Request:
    __slots__ = ("call", "function", "future")

    def __init__(self, call: int | None, function: str | None) -> None:
        self.call = call
        self.function = function
        self.future = Future()
