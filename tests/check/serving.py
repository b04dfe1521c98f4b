"""Planact serving over HTTP, as a real process."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.streams.text import TextReceiveStream

from planact_testing import planact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from planact_testing import Home


@asynccontextmanager
async def serving(home: Home, *arguments: str) -> AsyncIterator[str]:
    """Start `planact serve --http` on a free port, and give the URL."""
    command = planact("serve", "--http", "127.0.0.1:0", *arguments, cold=True)
    async with started(command, home) as url:
        yield url


@asynccontextmanager
async def started(command: list[str], home: Home) -> AsyncIterator[str]:
    """Start what says on standard error at which URL it serves, and give the URL."""
    async with await anyio.open_process(command, env=home.environment, cwd=home.work) as process:
        try:
            assert process.stderr is not None
            errors = TextReceiveStream(process.stderr)
            heard = ""
            with anyio.fail_after(60):
                while not (said := re.search(r"http://\S+/mcp", heard)):
                    heard += await errors.receive()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_drain, errors)
                yield said.group()
                process.terminate()
        finally:
            if process.returncode is None:
                process.kill()


async def _drain(errors: TextReceiveStream) -> None:
    async for _ in errors:
        pass
