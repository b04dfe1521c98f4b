"""What a worker of its own says as it ends is heard, although the news of its end may come first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import anyio.lowlevel
from anyio import fail_after

from planact_server.sandbox import launching
from planact_server.sandbox.spawn_source import SpawnedProcess

if TYPE_CHECKING:
    import asyncio


class HeardLate(SpawnedProcess):
    """Its standard error is read once its end is known."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast("asyncio.SubprocessTransport", transport)
        self.errors = cast("asyncio.ReadTransport", self.transport.get_pipe_transport(2))
        self.errors.pause_reading()


async def test_the_last_line_is_heard_after_the_end() -> None:
    process = HeardLate()
    with fail_after(20):
        await launching.start(process, [sys.executable, "-S", "-c", "raise SystemExit('the reason')"])
        while process.transport.get_returncode() is None:
            await anyio.lowlevel.checkpoint()
        process.errors.resume_reading()
        ending = await process.exited
    process.close()
    assert ending.note == "The worker ended with code 1: the reason"
