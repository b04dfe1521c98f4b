"""The byte stream between the host and one worker, cut into frames, with a bound on everything that waits.

Knows nothing about plans: each frame goes to the listener of the moment, at once and in order. The listener pauses
the stream while it has enough to do, so what the worker may pile up here is one frame and one read.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from typing import TypeAlias, cast

from planact_server.sandbox.frame_json import FrameError
from planact_server.sandbox.frames import CONTROL_BYTES, WorkerFrame, decode

Listener: TypeAlias = Callable[[WorkerFrame, int], None]
"""Takes a frame and its size in bytes. Raises FrameError when the worker has to go."""

LAST_WORDS_SECONDS = 1.0

LAST_READS = 64
"""More than a socket holds of a process that has ended."""

READ_BYTES = 32 * 1024
"""asyncio's own buffer for one read takes longer to get than most frames take to read."""

_LENGTH = struct.Struct(">I")


def _nobody(frame: WorkerFrame, _size: int) -> None:
    raise FrameError(f"The worker sent a {frame.type!r} frame that nobody asked for.")


class Connection(asyncio.BufferedProtocol):
    """One worker's stream. `closed` is done when the worker can no longer be heard."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.broken: FrameError | None = None
        """What the worker did that ended the connection, if it was that."""

        self._reader: asyncio.ReadTransport | None = None
        self._writer: asyncio.WriteTransport | None = None
        self._listener: Listener = _nobody
        self._frame_bytes = CONTROL_BYTES
        self._received = bytearray()
        self._buffer = bytearray()
        self._paused = False
        self._last_words = False
        self._sending = asyncio.Lock()
        self._writable = asyncio.Event()
        self._writable.set()

    def listen(self, listener: Listener, *, frame_bytes: int = CONTROL_BYTES) -> None:
        """Give the next frames to `listener`; one larger than `frame_bytes` breaks the connection."""
        self._listener = listener
        self._frame_bytes = frame_bytes

    def ignore(self) -> None:
        """From now on nothing is expected, and any frame breaks the connection."""
        self.listen(_nobody)
        self.resume()

    def pause(self) -> None:
        """Stop reading: the worker blocks once the pipe is full."""
        if self._paused or self._last_words or self.closed.done():
            return
        self._paused = True
        if self._reader is not None:
            self._reader.pause_reading()

    def resume(self) -> None:
        """Go on, first with what has been read already."""
        if not self._paused:
            return
        self._paused = False
        self._deliver()
        if not self._paused and self._reader is not None and not self.closed.done():
            self._reader.resume_reading()

    def finish(self) -> None:
        """The worker's process is gone: hear out what it has sent, then hang up."""
        self._last_words = True
        self.resume()
        # Its end of the stream is closed by now, unless something that it started holds on to it.
        asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self.close)

    async def send(self, body: bytes) -> None:
        """Write one frame and wait until the worker has room for the next. Silent when the worker is gone."""
        async with self._sending:
            await self._room()
            if self._writer is not None and not self.closed.done():
                self._writer.writelines((_LENGTH.pack(len(body)), body))
                await self._room()

    def close(self) -> None:
        """Hang up. What was not yet written is dropped."""
        self._end()
        if self._writer is not None and not self._writer.is_closing():
            self._writer.abort()
        if self._reader is not None:
            self._reader.close()

    def attach(self, reader: asyncio.ReadTransport, writer: asyncio.WriteTransport) -> None:
        """Take over the two directions; a socket is both."""
        self._reader = reader
        self._writer = writer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        both = cast(asyncio.Transport, transport)
        self.attach(both, both)

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        if not self._buffer:
            self._buffer = bytearray(READ_BYTES)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(memoryview(self._buffer)[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Take what was read; a pipe's reader has its own buffer."""
        self._received += data
        self._deliver()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:  # how the process ended says more
            self._hear_out()
        self._end()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _room(self) -> None:
        if not self._writable.is_set():
            await self._writable.wait()

    def _hear_out(self) -> None:
        """Read what the worker had sent before it went.

        asyncio gives a socket up that it cannot write to, with everything in it that was not read: an answer that
        crosses the worker's end would take the plan's outcome away.
        """
        both = None if self._reader is None else self._reader.get_extra_info("socket")
        if both is None:
            return
        self._last_words, self._paused = True, False
        for _ in range(LAST_READS):
            try:
                data = os.read(both.fileno(), READ_BYTES)
            except OSError:
                return
            if not data or self.closed.done():
                return
            self.data_received(data)

    def _deliver(self) -> None:
        try:
            while not self._paused and not self.closed.done() and (body := self._next()) is not None:
                self._listener(decode(body), len(body))
        except FrameError as error:
            self.broken = error
            self.close()

    def _next(self) -> bytes | None:
        if len(self._received) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._received)
        if size > self._frame_bytes:
            raise FrameError(
                f"The worker announced a frame of {size:,} bytes; {self._frame_bytes:,} are allowed.", status="limit"
            )
        if len(self._received) < _LENGTH.size + size:
            return None
        body = bytes(memoryview(self._received)[_LENGTH.size : _LENGTH.size + size])
        del self._received[: _LENGTH.size + size]
        return body

    def _end(self) -> None:
        self._received.clear()
        self._writable.set()
        if not self.closed.done():
            self.closed.set_result(None)
