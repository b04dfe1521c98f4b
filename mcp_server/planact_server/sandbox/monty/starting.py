"""From settings to a worker that serves: finding Monty's program, and what it is started by."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from typing import TYPE_CHECKING

from planact_server.sandbox import EngineError
from planact_server.sandbox.job_object import JobObject
from planact_server.sandbox.monty.launching import PlainLauncher
from planact_server.sandbox.monty.process import MontyProcess
from planact_server.sandbox.monty.worker import MontyWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_server.sandbox.monty.launching import Launcher

PROGRAM_BYTES = 256 * 1024 * 1024
"""Memory that the program has besides a plan's, mostly its own file."""


async def start(*, memory_bytes: int, cpu_seconds: int) -> MontyWorker:
    """Return a worker that serves. Raises EngineError."""
    process = MontyProcess(
        await _launcher(memory_bytes, cpu_seconds),
        memory_bytes=memory_bytes,
        enclose=_enclosure(memory_bytes, cpu_seconds),
    )
    await process.start()
    worker = MontyWorker(process)
    await worker.start()
    return worker


def find_program() -> str:
    """Return the path of Monty's program. Raises EngineError."""
    for folder in (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user")):
        found = shutil.which("monty", path=folder)
        if found is not None:
            return found
    found = shutil.which("monty")
    if found is None:
        raise EngineError("The program 'monty' was not found: pip install --force-reinstall pydantic-monty-runtime.")
    return found


async def _launcher(memory_bytes: int, cpu_seconds: int) -> Launcher:
    program = find_program()
    if sys.platform == "linux":
        from planact_server.sandbox.monty.jail_launcher import JailLauncher  # noqa: PLC0415 - Linux's alone

        return await JailLauncher.open(program, memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)
    return PlainLauncher(program)


def _enclosure(memory_bytes: int, cpu_seconds: int) -> Callable[[int], JobObject] | None:
    """Return what puts limits around the program where it can put none on itself."""
    if sys.platform != "win32":
        return None
    return lambda pid: JobObject(pid, memory_bytes=PROGRAM_BYTES + 2 * memory_bytes, cpu_seconds=cpu_seconds)
