"""The process that llama.cpp lives in: loads one model, then serves one request at a time.

Started by `process.py` as `python -m planact_quantized.engine.child`; `wire.py` has the messages. The main thread runs
the model; a second one reads, so that an order to stop is heard while llama.cpp computes. Whatever goes wrong
here beyond a BackendError ends the process, with the reason on standard error: the engine starts another one.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from planact_quantized.backend import BackendError, Grammar
from planact_quantized.engine.confinement import confine
from planact_quantized.engine.wire import (
    JSONObject,
    Splitter,
    encode,
    messages_from_json,
    request_from_json,
    settings_from_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from planact_quantized.backend import BackendInfo, Completion, GenerateRequest, Message
    from planact_quantized.settings import EngineSettings

LAST_WORDS_SECONDS = 0.5
"""How long the model may take to let go of what it holds once the engine has hung up."""

_READ_BYTES = 1 << 16
_PROGRESS_STEP = 0.01


class Control(Protocol):
    """How a running request is told to stop, from another thread."""

    def cancel(self) -> None: ...
    def stop(self, candidate: int) -> None: ...


class Model(Protocol):
    """A loaded model. Used by one thread."""

    @property
    def info(self) -> BackendInfo: ...
    def count_tokens(self, messages: Sequence[Message]) -> int: ...
    def check_grammar(self, grammar: Grammar) -> None: ...
    def generate(
        self, request: GenerateRequest, *, on_text: Callable[[int, str], None], control: Any
    ) -> Completion: ...
    def close(self) -> None: ...


class Loader(Protocol):
    def __call__(self, settings: EngineSettings, *, on_progress: Callable[[float], bool]) -> Model: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What runs models: `planact_quantized.llama.loaded_model`, or what a test puts in its place."""

    load: Loader
    control: Callable[[], Control]
    cancelled: type[Exception]
    """Raised by `generate` once its control was cancelled."""


def main() -> NoReturn:
    from planact_quantized.llama.loaded_model import (  # noqa: PLC0415 - only here: what stands in for it can do without
        Cancelled,
        Control,
        LoadedModel,
    )

    serve(Runtime(load=LoadedModel.load, control=Control, cancelled=Cancelled))


def serve(runtime: Runtime) -> NoReturn:
    """Serve until the engine hangs up; never returns."""
    inbox, outbox = _take_pipes()
    faulthandler.enable(all_threads=False)
    inbox.start(runtime.control)
    try:
        order = inbox.next_order()
        if order is not None:
            _load_and_serve(settings_from_json(order["settings"]), runtime, inbox, outbox)
    except BaseException:  # noqa: BLE001 - whatever it is, it ends the process, and the log says what it was
        traceback.print_exc()
        _exit(1)
    _exit(0)


class Inbox:
    """What the engine sends. Orders about the running request are carried out at once, in the reading thread."""

    def __init__(self, fd: int) -> None:
        self.hung_up = False
        self._fd = fd
        self._orders: queue.SimpleQueue[JSONObject | None] = queue.SimpleQueue()
        self._controls: dict[int, Control] = {}

    def start(self, new_control: Callable[[], Control]) -> None:
        threading.Thread(target=self._read, args=(new_control,), name="inbox", daemon=True).start()

    def next_order(self) -> JSONObject | None:
        """Wait for the next order; None when the engine has hung up."""
        return self._orders.get()

    def control(self, id: int) -> Control:
        return self._controls[id]

    def forget(self, id: int) -> None:
        self._controls.pop(id, None)

    def _read(self, new_control: Callable[[], Control]) -> None:
        try:
            self._obey(new_control)
        except BaseException:  # noqa: BLE001 - nothing that follows can be read: the log says why the process ends
            traceback.print_exc()
            _exit(1)
        self._hang_up()

    def _obey(self, new_control: Callable[[], Control]) -> None:
        for frame in self._frames():
            match frame["type"]:
                case "cancel":
                    if (control := self._controls.get(frame["id"])) is not None:
                        control.cancel()
                case "stop":
                    if (control := self._controls.get(frame["id"])) is not None:
                        control.stop(frame["candidate"])
                case _:
                    if "id" in frame:
                        self._controls[frame["id"]] = new_control()
                    self._orders.put(frame)

    def _frames(self) -> Iterator[JSONObject]:
        splitter = Splitter()
        while data := os.read(self._fd, _READ_BYTES):
            for body in splitter.feed(data):
                yield json.loads(body)

    def _hang_up(self) -> None:
        self.hung_up = True
        for control in list(self._controls.values()):
            control.cancel()
        self._orders.put(None)
        # The main thread may be deep in a computation that nothing interrupts.
        time.sleep(LAST_WORDS_SECONDS)
        _exit(0)


class Outbox:
    """What the engine is told. Used by the main thread alone."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def say(self, type: str, **fields: Any) -> None:
        rest = memoryview(encode({"type": type, **fields}))
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BrokenPipeError:
                _exit(0)


def _take_pipes() -> tuple[Inbox, Outbox]:
    """Keep the two pipes to ourselves: what llama.cpp or a driver prints to standard output is a log line."""
    inbox, outbox = Inbox(os.dup(0)), Outbox(os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return inbox, outbox


def _load_and_serve(settings: EngineSettings, runtime: Runtime, inbox: Inbox, outbox: Outbox) -> None:
    confine(memory=settings.device == "cpu")
    try:
        model = runtime.load(settings, on_progress=_progress(inbox, outbox))
    except BackendError as error:
        outbox.say("failed", id=0, fault=error.fault, message=error.message)
        return
    except MemoryError:
        message = f"There is not enough memory to load {settings.name or settings.model.name!r}."
        outbox.say("failed", id=0, fault="memory", message=message)
        return
    outbox.say("ready", info=asdict(model.info))
    while (order := inbox.next_order()) is not None:
        outbox.say("began", id=order["id"])
        _answer(order, model, runtime, inbox, outbox)
        inbox.forget(order["id"])
    model.close()


def _answer(order: JSONObject, model: Model, runtime: Runtime, inbox: Inbox, outbox: Outbox) -> None:
    number: int = order["id"]
    try:
        result = _carry_out(order, model, inbox, outbox)
    except runtime.cancelled:
        outbox.say("failed", id=number, fault="cancelled", message="")
    except BackendError as error:
        outbox.say("failed", id=number, fault=error.fault, message=error.message)
    else:
        outbox.say("done", id=number, result=result)


def _carry_out(order: JSONObject, model: Model, inbox: Inbox, outbox: Outbox) -> JSONObject | int | None:
    number: int = order["id"]

    def on_text(candidate: int, text: str) -> None:
        outbox.say("text", id=number, candidate=candidate, text=text)

    match order["type"]:
        case "generate":
            request = request_from_json(order["request"])
            return asdict(model.generate(request, on_text=on_text, control=inbox.control(number)))
        case "count":
            return model.count_tokens(messages_from_json(order["messages"]))
        case "check":
            return model.check_grammar(Grammar(**order["grammar"]))
        case unknown:
            raise BackendError(f"The child was sent the unknown order {unknown!r}.", fault="protocol")


def _progress(inbox: Inbox, outbox: Outbox) -> Callable[[float], bool]:
    """Return what is called while loading; it returns False once the engine has hung up."""
    told = 0.0

    def on_progress(fraction: float) -> bool:
        nonlocal told
        if fraction - told >= _PROGRESS_STEP:
            told = fraction
            outbox.say("loading", fraction=fraction)
        return not inbox.hung_up

    return on_progress


def _exit(code: int) -> NoReturn:
    """End without Python's and llama.cpp's own clean-up: the system takes back all there is, and never hangs."""
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
