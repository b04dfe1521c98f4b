"""Frames as the worker sees them: a 4-byte big-endian length, then one JSON object in UTF-8.

`sandbox/frames.py` documents the messages. The host is trusted here; what the worker sends is not trusted there.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any, TypeAlias

Frame: TypeAlias = "dict[str, Any]"

_LENGTH = struct.Struct(">I")


class HostGone(BaseException):
    """The host closed its end: there is nobody left to work for."""


class Wire:
    """One end of the pipe pair to the host. Blocking, single-threaded."""

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self._fd_in = fd_in
        self._fd_out = fd_out
        self._pending = bytearray()

    def send(self, frame: Frame) -> None:
        """Write one frame whole."""
        self.send_bytes(encode(frame))

    def send_bytes(self, body: bytes) -> None:
        """Write an already encoded frame whole."""
        rest = memoryview(_LENGTH.pack(len(body)) + body)
        try:
            while rest:
                rest = rest[os.write(self._fd_out, rest) :]
        except BrokenPipeError:
            raise HostGone from None

    def receive(self) -> Frame:
        """Wait for the next frame. A signal handler that raises leaves the half-read frame where it is."""
        (size,) = _LENGTH.unpack(self._peek(_LENGTH.size))
        body = self._peek(_LENGTH.size + size)[_LENGTH.size :]
        del self._pending[: _LENGTH.size + size]
        return json.loads(body)

    def _peek(self, size: int) -> bytes:
        while len(self._pending) < size:
            chunk = os.read(self._fd_in, 1 << 18)
            if not chunk:
                raise HostGone
            self._pending += chunk
        return bytes(self._pending[:size])


def encode(frame: Frame) -> bytes:
    """JSON in UTF-8. Lone surrogates become "?": they are no text that another process could read."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")
