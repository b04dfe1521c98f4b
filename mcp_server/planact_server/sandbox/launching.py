"""How the bare interpreter is started that workers live in, or are forked from."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anyio

from planact_server.sandbox import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_tools import JSONValue

_LAUNCH = Path(__file__).parent / "inside" / "launch.py"

WORKING_FOLDER = Path(sys.executable).anchor or "/"
"""Where it runs: no folder of the user's."""

LAST_WORDS_SECONDS = 0.5
"""How long the standard error of a process that has ended is waited for: the news of its end may come before it."""

# Windows cannot seed its random numbers without SystemRoot. Nothing else of the user's environment goes in.
ENVIRONMENT = {name: os.environ[name] for name in ("SYSTEMROOT",) if sys.platform == "win32" and name in os.environ}


def command(mode: Literal["zygote", "spawned"], **settings: JSONValue) -> list[str]:
    """Return the command line. Raises EngineError where something is not installed."""
    facts = {"restricted_python": _restricted_python(), "parent": os.getpid(), **settings}
    # -I shuts out the user's folder and PYTHONPATH; -S shuts out site-packages, ours included.
    return [interpreter(), "-I", "-S", str(_LAUNCH), mode, json.dumps(facts)]


async def start(protocol: asyncio.SubprocessProtocol, argv: Sequence[str], **settings: Any) -> None:
    """Start a process that `protocol` watches. Raises EngineError.

    asyncio cannot be cancelled in the middle of that: the pipes that it has not reached are never closed, and the
    protocol may hear of its process when nobody is left to end it. So whoever is cancelled here waits for the few
    milliseconds, and has a process to end.
    """
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(
        loop.subprocess_exec(lambda: protocol, *argv, env=ENVIRONMENT, cwd=WORKING_FOLDER, **settings)
    )
    try:
        await asyncio.shield(starting)
    except OSError as error:
        raise EngineError(f"No interpreter could be started from {sys.executable!r}: {error}") from error
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([starting])
        raise


def interpreter() -> str:
    # On Windows that of an environment only starts another one, which limits on a process would not reach.
    return getattr(sys, "_base_executable", sys.executable) if sys.platform == "win32" else sys.executable


def _restricted_python() -> str:
    spec = importlib.util.find_spec("RestrictedPython")
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("The package 'RestrictedPython' is not installed; install 'planact' with its dependencies.")
    return spec.submodule_search_locations[0]


class Tail:
    """The last that a process wrote to its standard error: enough for the end of a traceback, never more."""

    SIZE = 4096

    def __init__(self) -> None:
        self._kept = b""

    def add(self, data: bytes) -> None:
        self._kept = (self._kept + data)[-self.SIZE :]

    def last_line(self) -> str:
        """The line that says what happened; empty when nothing was written."""
        lines = self._kept.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else ""
