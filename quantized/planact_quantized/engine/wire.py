"""What the engine and its child process say to each other: a 4-byte big-endian length, then one JSON object.

Engine → child
    {"type": "load", "settings": {…}}                    once, first
    {"type": "generate", "id": int, "request": {…}}
    {"type": "count", "id": int, "messages": [{"role", "content"}]}
    {"type": "check", "id": int, "grammar": {…}}
    {"type": "cancel", "id": int}                        end the request; it is answered with the fault "cancelled"
    {"type": "stop", "id": int, "candidate": int}        end this candidate; what it has so far counts

Child → engine (`answers.py` checks them)
    {"type": "loading", "fraction": float}
    {"type": "ready", "info": {…}}
    {"type": "began", "id": int}                         from here on the request may be what kills the child
    {"type": "text", "id": int, "candidate": int, "text": str}
    {"type": "done", "id": int, "result": {…} | int | null}
    {"type": "failed", "id": int, "fault": str, "message": str}     with id 0: the model could not be loaded

The objects in braces are the dataclasses of `backend.py` and `settings.py`, field by field. End of input tells the
child to end. What llama.cpp prints never comes between frames: in the child, standard output is standard error.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from planact_quantized.backend import GenerateRequest, Grammar, Message
from planact_quantized.settings import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

JSONObject: TypeAlias = dict[str, Any]

FRAME_BYTES = 64 * 1024**2
"""Largest frame that either side takes. The longest context in use is far below it."""

_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """What came over the pipe is no frame."""


class Splitter:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add what was read and return each frame that is whole now. Raises FrameError."""
        self._received += data
        while len(self._received) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._received)
            if size > FRAME_BYTES:
                raise FrameError(f"a frame of {size:,} bytes was announced; {FRAME_BYTES:,} are allowed")
            end = _LENGTH.size + size
            if len(self._received) < end:
                return
            body = bytes(memoryview(self._received)[_LENGTH.size : end])
            del self._received[:end]
            yield body


def encode(frame: JSONObject) -> bytes:
    """Return the frame with its length in front. Raises FrameError where it is too large to be taken."""
    # ASCII: half a surrogate pair in a text must not be what breaks the connection. Settings may be infinite.
    body = json.dumps(frame, separators=(",", ":")).encode("ascii")
    if len(body) > FRAME_BYTES:
        raise FrameError(f"a frame of {len(body):,} bytes; {FRAME_BYTES:,} are allowed")
    return _LENGTH.pack(len(body)) + body


def settings_to_json(settings: EngineSettings) -> JSONObject:
    """Return the settings as JSON; paths are made absolute, as the child works in a folder of its own."""
    prefixes = None if settings.prefixes is None else str(settings.prefixes.absolute())
    return asdict(settings) | {"model": str(settings.model.absolute()), "prefixes": prefixes}


def settings_from_json(raw: JSONObject) -> EngineSettings:
    """Undo `settings_to_json`."""
    prefixes = None if raw["prefixes"] is None else Path(raw["prefixes"])
    known: JSONObject = {"model": Path(raw["model"]), "prefixes": prefixes, "tensor_split": tuple(raw["tensor_split"])}
    return EngineSettings(**(raw | known))


def request_to_json(request: GenerateRequest) -> JSONObject:
    messages = messages_to_json(request.messages)
    return asdict(request) | {"messages": messages, "stop": list(request.stop)}


def request_from_json(raw: JSONObject) -> GenerateRequest:
    grammar = None if raw["grammar"] is None else Grammar(**raw["grammar"])
    known: JSONObject = {"messages": messages_from_json(raw["messages"]), "grammar": grammar}
    return GenerateRequest(**(raw | known))


def messages_to_json(messages: Sequence[Message]) -> list[JSONObject]:
    return [asdict(message) for message in messages]


def messages_from_json(raw: list[JSONObject]) -> list[Message]:
    return [Message(**message) for message in raw]
