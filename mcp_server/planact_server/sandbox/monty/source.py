"""Where Monty's workers come from: a driver for each, which the host treats like any other worker."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from planact_server.sandbox import EngineError
from planact_server.sandbox.job_object import JobObject
from planact_server.sandbox.launching import interpreter
from planact_server.sandbox.monty.launching import DRIVER_BYTES
from planact_server.sandbox.spawn_source import SpawnSource

if TYPE_CHECKING:
    from planact_server.sandbox.host import WorkerSource
    from planact_server.sandbox.worker import JailedWorker

_LAUNCH = Path(__file__).with_name("launch_driver.py")


def is_installed() -> bool:
    return importlib.util.find_spec("pydantic_monty") is not None


class MontySource:
    """Has a driver, and by it a Monty, for each worker."""

    name = "monty"

    def __init__(self, *, memory_bytes: int, cpu_seconds: int) -> None:
        self._memory_bytes = memory_bytes
        self._cpu_seconds = cpu_seconds
        self._drivers = self._source()

    async def start(self) -> JailedWorker:
        """Return a worker that serves. Raises EngineError."""
        if not is_installed():
            raise EngineError("The engine 'monty' needs the package 'pydantic-monty': pip install 'planact[monty]'.")
        return await self._drivers.start()

    async def rest(self) -> None:
        """Let go of what drivers are forked from, where they are."""
        await self._drivers.rest()

    async def aclose(self) -> None:
        """End every driver."""
        await self._drivers.aclose()

    def _source(self) -> WorkerSource:
        if sys.platform != "linux":
            enclose = self._enclose if sys.platform == "win32" else None
            return SpawnSource(lambda: self._command("driver"), memory_bytes=self._memory_bytes, enclose=enclose)
        from planact_server.sandbox.zygote_source import ZygoteSource  # noqa: PLC0415 - Windows has none

        return ZygoteSource(
            rights={},
            memory_bytes=self._memory_bytes,
            zygote=lambda control: self._command("zygote", control=control, parent=os.getpid()),
        )

    def _enclose(self, pid: int) -> JobObject:
        """Put limits around a driver and its Monty, the one process that it starts."""
        most = DRIVER_BYTES + 4 * self._memory_bytes
        return JobObject(pid, memory_bytes=most, cpu_seconds=self._cpu_seconds, processes=2)

    def _command(self, mode: str, **settings: int) -> list[str]:
        facts: dict[str, int | str | list[str]] = {
            "libraries": _folders("pydantic_monty", "anyio"),
            "program": find_program(),
            "memory_bytes": self._memory_bytes,
            "cpu_seconds": self._cpu_seconds,
            **settings,
        }
        return [interpreter(), "-I", str(_LAUNCH), mode, json.dumps(facts)]


def _folders(*packages: str) -> list[str]:
    """Return where packages lie: an interpreter that is started apart from its environment does not know."""
    found = [importlib.util.find_spec(package) for package in packages]
    places = [str(Path(spec.origin).parent.parent) for spec in found if spec is not None and spec.origin is not None]
    return list(dict.fromkeys(places))


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
