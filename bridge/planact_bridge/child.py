"""A server as a child process, and its pipes as a stream of messages.

One asyncio protocol instead of reader and writer tasks: data is split where it arrives, in linear time,
and a message costs two task switches less than over memory streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Self, cast

import anyio
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, JSONRPCRequest

from planact_bridge.batch import batch_command_line, is_batch
from planact_bridge.environment import child_environment, find_program
from planact_bridge.errors import UNDELIVERED, StartError
from planact_bridge.log_file import LogFile
from planact_bridge.log_tail import LogTail
from planact_bridge.wire import read_messages

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from mcp.shared._stream_protocols import ReadStream, WriteStream

    from planact_bridge.specs import StdioSpec

MAX_LINE_BYTES = 512 * 1024 * 1024
"""A line that never ends is a broken server, not a large result."""

MAX_WAITING_MESSAGES = 256
"""Past this the server is no longer read from until we have caught up."""

EXIT_SECONDS = 0.7
"""How long a server gets to leave after its input closed, and again after SIGTERM.

Hosts give us two seconds or four before they end us, and then nobody is left to end a server that hangs.
"""

OUTPUT_GRACE_SECONDS = 0.5
"""How long the output of a dead server may stay open: its own children can hold the pipe."""

_STDIN, _STDOUT, _STDERR = 0, 1, 2


class Child(asyncio.SubprocessProtocol):
    """A running server process. Both a read and a write stream of messages, as the SDK's dispatcher takes them."""

    def __init__(self, name: str, kept: LogFile | None = None) -> None:
        self._name = name
        self._kept = kept
        self.log = LogTail()
        self.garbage_lines = 0
        """Lines on standard output that were no messages: banners, prints, progress bars."""
        self.heard = 0
        self._garbage = ""
        self._failure: str | None = None
        self._exited = asyncio.Event()
        self._released = asyncio.Event()
        self._incoming: deque[SessionMessage] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self._paused = False
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.SubprocessTransport | None = None

    # What asyncio reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        if self._kept is not None:
            self._kept.note(f"started, process {self._transport.get_pid()}")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == _STDERR:
            self.log.feed(data)
            if self._kept is not None:
                self._kept.write(data)
        elif not self._ended:
            self._split(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        if fd == _STDOUT:
            self._end()
        elif fd == _STDIN:
            self._writable.set()

    def process_exited(self) -> None:
        self._exited.set()
        self._writable.set()
        asyncio.get_running_loop().call_later(OUTPUT_GRACE_SECONDS, self._end)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._end()
        self._released.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the dispatcher reads.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while not self._incoming:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        message = self._incoming.popleft()
        if not self._incoming:
            self._set_reading(True)
        return message

    async def receive(self) -> SessionMessage | Exception:
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise anyio.EndOfStream from None

    # What the dispatcher writes.

    async def send(self, item: SessionMessage) -> None:
        """Write one message. Raises MCPError for a request, and else BrokenResourceError, when nobody listens."""
        pipe, is_request = self._stdin(), isinstance(item.message, JSONRPCRequest)
        if pipe is None or pipe.is_closing() or self._exited.is_set():
            self._failure = self._failure or "it closed its input"
            if is_request:
                raise MCPError(CONNECTION_CLOSED, self._failure, data=UNDELIVERED)
            raise anyio.BrokenResourceError
        pipe.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        # Only requests wait for room: word that a request is cancelled must never wait behind it.
        if is_request:
            await self._writable.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        return None

    async def aclose(self) -> None:
        """Do nothing: both streams end with the process, and `stop` ends that."""

    # What happened to it.

    @property
    def read(self) -> ReadStream[SessionMessage | Exception]:
        return self

    @property
    def write(self) -> WriteStream[SessionMessage]:
        return self

    @property
    def pid(self) -> int | None:
        if self._transport is None or self._exited.is_set():
            return None
        return self._transport.get_pid()

    @property
    def failure(self) -> str | None:
        """Why it is of no more use; None while it is."""
        over = self._failure is not None or self._ended or self._exited.is_set()
        return self._cause() if over else None

    async def obituary(self) -> str:
        """Say why the server is gone: its exit code and last words. Waits a moment for them to arrive."""
        with anyio.move_on_after(OUTPUT_GRACE_SECONDS):
            await self._exited.wait()
        return self._cause() + self.last_words

    @property
    def last_words(self) -> str:
        """What it wrote of late, to be put behind a reason; empty where it wrote nothing."""
        garbage = f"; it printed {self._garbage!r} where messages belong" if self._garbage else ""
        words = " | ".join(self.log.lines(last=8))
        return garbage + (f"; its last words: {words}" if words else "")

    def _cause(self) -> str:
        code = self._transport.get_returncode() if self._transport is not None else None
        if code is None:
            return self._failure or "it closed its output"
        return f"it was killed by {_signal_name(-code)}" if code < 0 else f"it exited with code {code}"

    # Splitting.

    def _split(self, data: bytes) -> None:
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._line.append(end)
            line, self._line, self._line_bytes = b"".join(self._line), [], 0
            if line.strip():
                self._take(line)
        if rest:
            self._line.append(rest)
            self._line_bytes += len(rest)
        if self._line_bytes > MAX_LINE_BYTES:
            self._failure = f"it sent a line of more than {MAX_LINE_BYTES // 2**20} MiB"
            self._end()
        elif len(self._incoming) > MAX_WAITING_MESSAGES:
            self._set_reading(False)

    def _take(self, line: bytes) -> None:
        try:
            messages = read_messages(line)
        except ValueError:
            self.garbage_lines += 1
            self._garbage = line[:120].decode("utf-8", "replace")
            return
        self.heard += len(messages)
        self._incoming.extend(SessionMessage(message) for message in messages)
        self._news.set()

    def _end(self) -> None:
        self._ended = True
        self._line.clear()
        self._news.set()

    def _set_reading(self, reading: bool) -> None:
        pipe = self._transport.get_pipe_transport(_STDOUT) if self._transport is not None else None
        if not isinstance(pipe, asyncio.ReadTransport) or pipe.is_closing() or self._paused is not reading:
            return
        self._paused = not reading
        if reading:
            pipe.resume_reading()
        else:
            pipe.pause_reading()

    def _stdin(self) -> asyncio.WriteTransport | None:
        pipe = self._transport.get_pipe_transport(_STDIN) if self._transport is not None else None
        return pipe if isinstance(pipe, asyncio.WriteTransport) else None

    # Stopping.

    async def stop(self) -> None:
        """End the server and everything it started: close its input, then ask, then kill. Bounded, shielded."""
        with anyio.CancelScope(shield=True):
            try:
                await self._see_off()
            finally:
                await self._release()

    async def drop(self) -> None:
        """Kill the server and everything it started: nobody has spoken to it yet. Bounded, shielded."""
        with anyio.CancelScope(shield=True):
            try:
                self._end()
                await self._signal_tree(force=True)
                await self._exits_within(EXIT_SECONDS)
            finally:
                await self._release()

    async def _see_off(self) -> None:
        if (pipe := self._stdin()) is not None:
            pipe.close()
        # A server stuck in writing cannot notice that its input has ended.
        self._end()
        self._set_reading(True)
        if not await self._exits_within(EXIT_SECONDS):
            await self._signal_tree(force=False)
            await self._exits_within(EXIT_SECONDS)
        # Also when the server itself has left: what it started and forgot goes too.
        await self._signal_tree(force=True)
        await self._exits_within(EXIT_SECONDS)

    async def _exits_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            await self._exited.wait()
        return self._exited.is_set()

    async def _signal_tree(self, *, force: bool) -> None:
        if self._transport is None:
            return
        if sys.platform == "win32":
            if not self._exited.is_set():
                await _end_windows_tree(self._transport.get_pid())
        else:
            # The server leads its own group; only ESRCH says that the whole group is gone.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL if force else signal.SIGTERM)

    async def _release(self) -> None:
        if self._transport is not None:
            self._transport.close()
            with anyio.move_on_after(EXIT_SECONDS):
                await self._released.wait()
        if self._kept is not None:
            self._kept.note(self._cause())
            self._kept.close()


async def start_child(spec: StdioSpec, *, log: Path | None = None) -> Child:
    """Start the server's process; its standard error goes on into the file `log`. Raises StartError."""

    def prepare() -> tuple[str, dict[str, str]]:
        environ = child_environment(spec)
        return find_program(spec, environ), environ

    program, environ = await asyncio.to_thread(prepare)
    child = Child(spec.name, LogFile(log) if log is not None else None)
    options: dict[str, Any] = {
        "env": environ,
        "cwd": spec.cwd,
        # A group of its own: Ctrl-C in our terminal is not for it, and stopping reaches its children.
        "start_new_session": True,
        "creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0),
    }
    loop = asyncio.get_running_loop()
    if sys.platform == "win32" and is_batch(program):
        start = loop.subprocess_shell(lambda: child, batch_command_line(program, spec.args), **options)
    else:
        start = loop.subprocess_exec(lambda: child, program, *spec.args, **options)
    # Cancelled in the middle of it, asyncio would tell the child of its process when nobody is left to stop it.
    starting = asyncio.ensure_future(start)
    try:
        await asyncio.shield(starting)
    except (OSError, ValueError) as error:
        raise StartError(f"Server {spec.name!r} did not start: {spec.command!r}: {error}.") from error
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([starting])
        await child.drop()
        raise
    return child


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the real-time signals have no names of their own
        return f"signal {number}"


async def _end_windows_tree(pid: int) -> None:
    # Windows has neither groups nor a gentle signal; taskkill walks the tree.
    process = await asyncio.create_subprocess_exec(
        *("taskkill", "/T", "/F", "/PID", str(pid)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    with anyio.move_on_after(EXIT_SECONDS):
        await process.wait()
