"""Frames as the worker sees them: a 4-byte big-endian length, then one JSON object in UTF-8.

`sandbox/frames.py` documents the messages. The host is trusted here; what the worker sends is not trusted there.
"""

from __future__ import annotations

import json
import os
import select
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Frame: TypeAlias = "dict[str, Any]"
ObjectHook: TypeAlias = "Callable[[dict[str, Any]], Any]"

_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 14
_LARGE_CHUNK = 1 << 20
"""Most frames are small, and a buffer for more than a few pages costs more than reading does."""

_HANDLE_MARK = b'"$planact"'
_CAN_SELECT = os.name != "nt"


class HostGone(BaseException):
    """The host closed its end: there is nobody left to work for."""


class Wire:
    """One end of the pipe pair to the host. Blocking, single-threaded."""

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self._fd_in = fd_in
        self._fd_out = fd_out
        self._received = bytearray()
        self._queued: list[bytes] = []

    def bind(self, fd_in: int, fd_out: int) -> None:
        """Go on over these descriptors."""
        self._fd_in = fd_in
        self._fd_out = fd_out

    def queue(self, frame: Frame) -> None:
        """Put a frame in line; it leaves together with the next one that is sent."""
        self.queue_encoded(encode(frame))

    def queue_encoded(self, body: bytes) -> None:
        self._queued.append(_LENGTH.pack(len(body)) + body)

    def send(self, frame: Frame) -> None:
        """Write everything that is in line, then this frame."""
        self.queue(frame)
        self.flush()

    def send_only(self, body: bytes) -> None:
        """Write this frame and nothing of what is in line."""
        self._queued.clear()
        self.queue_encoded(body)
        self.flush()

    def flush(self) -> None:
        if not self._queued:
            return
        rest = memoryview(b"".join(self._queued))
        self._queued.clear()
        try:
            while rest:
                rest = rest[os.write(self._fd_out, rest) :]
        except OSError:
            raise HostGone from None

    def wait(self, seconds: float | None) -> bool:
        """Wait until something can be received. An interrupt that is raised here loses nothing."""
        if not self._missing():
            return True
        if not _CAN_SELECT:
            return True
        return bool(select.select([self._fd_in], [], [], seconds)[0])

    def receive(self, hook: ObjectHook | None = None) -> Frame:
        """Return the next frame. `hook` sees every object of a frame that holds a handle."""
        while missing := self._missing():
            chunk = os.read(self._fd_in, min(max(missing, _CHUNK), _LARGE_CHUNK))
            if not chunk:
                raise HostGone
            self._received += chunk
        (size,) = _LENGTH.unpack_from(self._received)
        body = bytes(self._received[_LENGTH.size : _LENGTH.size + size])
        del self._received[: _LENGTH.size + size]
        return _decode(body, hook if _HANDLE_MARK in body else None)

    def _missing(self) -> int:
        """How many bytes the next frame lacks, as far as that is known; 0 when it is there."""
        held = len(self._received)
        if held < _LENGTH.size:
            return _LENGTH.size - held
        (size,) = _LENGTH.unpack_from(self._received)
        return max(0, _LENGTH.size + size - held)


def encode(frame: Frame | list[Any]) -> bytes:
    """JSON in UTF-8. Lone surrogates become "?": they are no text that another process could read."""
    return _ENCODER.encode(frame).encode("utf-8", "replace")


def _decode(body: bytes, hook: ObjectHook | None) -> Frame:
    text = body.decode()
    return _DECODER.decode(text) if hook is None else json.loads(text, object_hook=hook)


# `json.dumps` and `json.loads` would look for the text's encoding and make these anew each time.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder()
