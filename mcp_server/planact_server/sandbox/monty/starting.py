"""From settings to a worker that serves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from planact_server.sandbox.job_object import JobObject
from planact_server.sandbox.monty.launching import PlainLauncher
from planact_server.sandbox.monty.process import MontyProcess
from planact_server.sandbox.monty.worker import MontyWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_server.sandbox.monty.launching import Launcher

PROGRAM_BYTES = 256 * 1024 * 1024
"""Memory that the program has besides a plan's, mostly its own file."""


async def start(*, program: str, memory_bytes: int, cpu_seconds: int) -> MontyWorker:
    """Return a worker that serves, where nothing but limits can be put around it. Raises EngineError."""
    enclose = _enclosure(memory_bytes, cpu_seconds)
    return await start_with(PlainLauncher(program), memory_bytes=memory_bytes, enclose=enclose)


async def start_with(
    launcher: Launcher, *, memory_bytes: int, enclose: Callable[[int], JobObject] | None = None
) -> MontyWorker:
    """Return a worker that serves. Raises EngineError."""
    process = MontyProcess(launcher, memory_bytes=memory_bytes, enclose=enclose)
    await process.start()
    worker = MontyWorker(process)
    await worker.start()
    return worker


def _enclosure(memory_bytes: int, cpu_seconds: int) -> Callable[[int], JobObject] | None:
    """Return what puts limits around the program where it can put none on itself."""
    if sys.platform != "win32":
        return None
    return lambda pid: JobObject(pid, memory_bytes=PROGRAM_BYTES + 2 * memory_bytes, cpu_seconds=cpu_seconds)
