"""Where Monty's workers come from: a driver for each, which the host treats like any other worker."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from planact_server.sandbox import EngineError
from planact_server.sandbox.spawn_source import SpawnSource

if TYPE_CHECKING:
    from planact_server.sandbox.worker import JailedWorker

_LAUNCH = Path(__file__).with_name("launch_driver.py")


def is_installed() -> bool:
    return importlib.util.find_spec("pydantic_monty") is not None


class MontySource:
    """Starts a driver, and by it a Monty, for each worker."""

    name = "monty"

    def __init__(self, *, memory_bytes: int, cpu_seconds: int) -> None:
        facts = json.dumps({"memory_bytes": memory_bytes, "cpu_seconds": cpu_seconds})
        command = [sys.executable, "-I", str(_LAUNCH), facts]
        self._drivers = SpawnSource(lambda: command, memory_bytes=memory_bytes)

    async def start(self) -> JailedWorker:
        """Return a worker that serves. Raises EngineError."""
        if not is_installed():
            raise EngineError("The engine 'monty' needs the package 'pydantic-monty': pip install 'planact[monty]'.")
        return await self._drivers.start()

    async def rest(self) -> None:
        """Nothing is held that a rest would free."""

    async def aclose(self) -> None:
        """Each worker is a process of its own: there is nothing else to close."""
