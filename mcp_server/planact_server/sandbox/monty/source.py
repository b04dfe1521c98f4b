"""Where Monty's workers come from."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from typing import TYPE_CHECKING, Protocol

import anyio

from planact_server.sandbox import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_server.sandbox.job_object import JobObject
    from planact_server.sandbox.monty.launching import Launcher
    from planact_server.sandbox.monty.worker import MontyWorker
    from planact_server.sandbox.worker import JailedWorker


def is_installed() -> bool:
    return importlib.util.find_spec("pydantic_monty") is not None


class ReaderSource(Protocol):
    """Where readers come from."""

    async def start(self) -> JailedWorker: ...

    async def rest(self) -> None: ...

    async def aclose(self) -> None: ...


class MontySource:
    """Starts a process for each worker."""

    name = "monty"

    def __init__(
        self,
        readers: ReaderSource,
        *,
        memory_bytes: int,
        cpu_seconds: int,
        enclose: Callable[[int], JobObject] | None = None,
    ) -> None:
        """`readers` are jailed Python workers, one for each of ours, that read plans and run none.

        `enclose` puts limits around a process that has begun, on systems where it can put none on itself.
        """
        self._enclose = enclose
        self._memory_bytes = memory_bytes
        self._cpu_seconds = cpu_seconds
        self._launcher: Launcher | None = None
        self._readers = readers

    async def start(self) -> MontyWorker:
        """Return a worker that serves. Raises EngineError."""
        if not is_installed():
            raise EngineError("The engine 'monty' needs the package 'pydantic-monty': pip install 'planact[monty]'.")
        # Only here: the package loads a library of 10 MB, and most servers never ask for it.
        from planact_server.sandbox.monty.process import MontyProcess  # noqa: PLC0415
        from planact_server.sandbox.monty.worker import MontyWorker  # noqa: PLC0415

        process = MontyProcess(await self._launch(), memory_bytes=self._memory_bytes, enclose=self._enclose)
        reader = await self._readers.start()
        try:
            await process.start()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await reader.aclose()
            raise
        worker = MontyWorker(process, reader)
        await worker.start()
        return worker

    async def rest(self) -> None:
        """Nobody has asked for a worker for a while."""
        await self._readers.rest()

    async def aclose(self) -> None:
        """Let go of what starts workers; those that run are not its own."""
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None
        await self._readers.aclose()

    async def _launch(self) -> Launcher:
        if self._launcher is None:
            program = find_program()
            if sys.platform == "linux":
                from planact_server.sandbox.monty.jail_launcher import JailLauncher  # noqa: PLC0415

                self._launcher = await JailLauncher.open(
                    program, memory_bytes=self._memory_bytes, cpu_seconds=self._cpu_seconds
                )
            else:
                from planact_server.sandbox.monty.launching import PlainLauncher  # noqa: PLC0415

                self._launcher = PlainLauncher(program)
        return self._launcher


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
