"""A real child process with a model that does what its last message says, for what llama.cpp cannot be made to do.

Run as a script it takes the place of `planact_quantized.engine.child`. The names of the cases below are the messages
and the names of models that it knows.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from planact_quantized import (
    BackendError,
    BackendInfo,
    Candidate,
    Completion,
    EngineSettings,
    GenerateRequest,
    Grammar,
    Message,
)
from planact_quantized.engine.child import Runtime, serve
from planact_quantized.launching import INTERPRETER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMAND = (*INTERPRETER, __file__)


class Cancelled(Exception):
    pass


class Control:
    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.stopped: set[int] = set()

    def cancel(self) -> None:
        self.cancelled.set()

    def stop(self, candidate: int) -> None:
        self.stopped.add(candidate)


class Model:
    def __init__(self, settings: EngineSettings) -> None:
        self.info = BackendInfo(kind="local", model=settings.name, extras={"pid": str(os.getpid())})

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content) for message in messages)

    def check_grammar(self, grammar: Grammar) -> None:
        if "root" not in grammar.text:
            raise BackendError("The grammar has no rule 'root'.", fault="grammar")

    def generate(
        self, request: GenerateRequest, *, on_text: Callable[[int, str], None], control: Control
    ) -> Completion:
        order, _, argument = request.messages[-1].content.partition(" ")
        written = [""] * request.candidates

        def write(candidate: int, text: str) -> None:
            written[candidate] += text
            on_text(candidate, text)

        match order:
            case "say":
                for word in argument.split():
                    for candidate in range(request.candidates):
                        write(candidate, word)
            case "hang":
                write(0, "hanging")
                control.cancelled.wait()
                raise Cancelled
            case "deaf":
                write(0, "deaf")
                while True:
                    time.sleep(60)
            case "count":  # up, until stopped
                number = 0
                while 0 not in control.stopped:
                    write(0, f"{number} ")
                    number += 1
                return Completion(candidates=(Candidate(text=written[0], stop="watched", tokens=number),))
            case "until":
                write(0, "waiting")
                while not Path(argument).exists():
                    time.sleep(0.005)
            case "die":
                write(0, "dying")
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.Signals[argument]])
                os.kill(os.getpid(), signal.Signals[argument])
            case "exit":
                os._exit(int(argument))
            case "print":
                sys.stdout.write("printed by Python\n")
                sys.stdout.flush()
                ctypes.CDLL(None).puts(b"printed by C")
                ctypes.CDLL(None).fflush(None)
                write(0, "ok")
            case "raise":
                raise ValueError(argument)
            case "grammar":
                raise BackendError("The grammar is not one.", fault="grammar")
            case unknown:
                raise AssertionError(unknown)
        return Completion(candidates=tuple(Candidate(text=text, stop="end", tokens=len(text)) for text in written))

    def close(self) -> None:
        sys.stderr.write("closed in order\n")


def load(settings: EngineSettings, *, on_progress: Callable[[float], bool]) -> Model:
    on_progress(0.25)
    match settings.name:
        case "loads forever":
            while on_progress(0.5):
                time.sleep(0.01)
        case "deaf while loading":
            time.sleep(600)
        case "dies loading":
            sys.stderr.write("GGML_ASSERT(last words) failed\n")
            sys.stderr.flush()
            os.abort()
        case "bad file":
            raise BackendError("The file is no model.", fault="model")
        case "too large":
            raise MemoryError
        case _:
            on_progress(1.0)
    return Model(settings)


if __name__ == "__main__":
    serve(Runtime(load=load, control=Control, cancelled=Cancelled))
