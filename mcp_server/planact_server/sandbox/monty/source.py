"""Where Monty's workers come from."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from typing import TYPE_CHECKING

from planact_server.sandbox import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_server.sandbox.monty.worker import MontyWorker
    from planact_tools import JSONObject


def is_installed() -> bool:
    return importlib.util.find_spec("pydantic_monty") is not None


def find_binary() -> str:
    """Return the path of the program. Raises EngineError."""
    for folder in (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", f"{os.name}_user")):
        found = shutil.which("monty", path=folder)
        if found is not None:
            return found
    found = shutil.which("monty")
    if found is None:
        raise EngineError("The program 'monty' was not found: pip install --force-reinstall pydantic-monty-runtime.")
    return found


class MontySource:
    """Starts a process for each worker."""

    name = "monty"

    def __init__(self, *, rights: JSONObject, memory_bytes: int) -> None:
        self._rights = rights
        self._memory_bytes = memory_bytes

    async def start(self) -> MontyWorker:
        """Return a worker that serves. Raises EngineError."""
        if not is_installed():
            raise EngineError("The engine 'monty' needs the package 'pydantic-monty': pip install 'planact[monty]'.")
        # Only here: the package loads a library of 10 MB, and most servers never ask for it.
        from planact_server.sandbox.monty.process import MontyProcess  # noqa: PLC0415
        from planact_server.sandbox.monty.worker import MontyWorker  # noqa: PLC0415

        process = MontyProcess(find_binary(), memory_bytes=self._memory_bytes, report=self._layers)
        await process.start()
        worker = MontyWorker(process, memory_bytes=self._memory_bytes)
        await worker.start()
        return worker

    async def aclose(self) -> None:
        """Each worker is a process of its own: there is nothing else to close."""

    def _layers(self, pid: int) -> Mapping[str, bool | str]:
        del pid
        return {"process": True, "environment": True, "language": True}
