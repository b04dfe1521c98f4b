"""Ctrl-C and SIGTERM: the first one ends things in order, a second one ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from planact_server.cli import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage

    Streams = tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]


@contextmanager
def on_interrupt(stop: Callable[[], Awaitable[None]]) -> Generator[None]:
    """Within the block, the first Ctrl-C awaits `stop`; a second one ends the process as usual."""
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Future[None]] = []

    def interrupted() -> None:
        restore()
        stopping.append(asyncio.ensure_future(stop()))

    def restore() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, previous)

    previous = signal.getsignal(signal.SIGINT)
    if sys.platform == "win32":  # the loop there has no signal handlers: Ctrl-C ends the process
        yield
        return
    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        if not stopping:
            restore()


@asynccontextmanager
async def interruptible_stdio() -> AsyncGenerator[Streams]:
    """The SDK's transport over standard input and output; a signal ends the process once the block is closed."""
    from mcp.server.stdio import stdio_server

    async with stdio_server() as streams:
        terminated = _cancelled_by_sigterm()
        try:
            yield streams
        except asyncio.CancelledError:  # as asyncio.run turns the first Ctrl-C into
            # The transport reads in a thread that nothing can wake but another line of input, and leaving it would
            # wait for that.
            sys.stderr.flush()
            os._exit(0 if terminated.is_set() else INTERRUPTED)


def _cancelled_by_sigterm() -> asyncio.Event:
    """Have the first SIGTERM cancel the current task and set the event."""
    terminated, task, loop = asyncio.Event(), asyncio.current_task(), asyncio.get_running_loop()

    def terminate() -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        terminated.set()
        if task is not None:
            task.cancel()

    if sys.platform != "win32":  # where nobody can ask a process to end
        loop.add_signal_handler(signal.SIGTERM, terminate)
    return terminated
