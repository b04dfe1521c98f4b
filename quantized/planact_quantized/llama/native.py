"""llama.cpp itself: loaded late, its words kept for our errors, its devices by name.

Everything here is for the child process that holds a model. llama_cpp has no types of use, so its functions are
`Any` here, and what goes in and out of them is typed one floor up.
"""

from __future__ import annotations

import ctypes
import importlib
import re
import sys
from collections import deque
from typing import Any

from planact_quantized.backend import BackendError
from planact_quantized.fitting.ggml import DeviceHandle, Ggml

WARNING, ERROR, CONTINUED = 3, 4, 5
"""Levels of `enum ggml_log_level`."""

_MEMORY = re.compile(
    r"out of memory|(?:failed|unable) to (?:allocate|reserve)|allocat\w+ .*failed|insufficient memory|bad_alloc",
    re.IGNORECASE,
)


class Log:
    """What llama.cpp has said lately. It has one log for the whole process."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=2000)

    def take(self, level: int, text: bytes, _data: object) -> None:
        """Receive one piece, from any thread of llama.cpp."""
        line = text.decode(errors="replace")
        if level == CONTINUED and self._lines:
            level, before = self._lines.pop()
            line = before + line
        self._lines.append((level, line))
        if level == ERROR:
            # On its way to an abort ggml says here what a device has reported; our memory is lost with the process.
            sys.stderr.write(line)

    def clear(self) -> None:
        self._lines.clear()

    def text(self) -> str:
        return "".join(line for _, line in list(self._lines))

    def reason(self) -> str:
        """Return why the last thing failed, in llama.cpp's words: its last errors, the first of them first."""
        lines = [line.strip() for level, line in list(self._lines) if level in (WARNING, ERROR) and line.strip()]
        return "; ".join(line.rstrip(".") for line in lines[-3:]) or "llama.cpp gave no reason"

    def tells_of_memory(self) -> bool:
        """Return whether something did not fit."""
        return any(_MEMORY.search(line) for level, line in list(self._lines) if level in (WARNING, ERROR))


class Library:
    """llama_cpp with its log caught. One per process; see `library()`."""

    def __init__(self) -> None:
        try:
            self.api: Any = importlib.import_module("llama_cpp")
        except ImportError as error:
            raise BackendError(
                f"llama-cpp-python cannot be loaded ({error}). Run `planact models setup`.", fault="unavailable"
            ) from None
        except (OSError, RuntimeError) as error:
            raise BackendError(
                f"llama-cpp-python is broken: {error}. Build it again with `planact models setup`.", fault="unavailable"
            ) from None
        self.log = Log()
        # Kept: ctypes frees a callback that nobody holds, and llama.cpp calls this one for ever.
        self._callback = self.api.llama_log_callback(self.log.take)
        self.api.llama_log_set(self._callback, ctypes.c_void_p(0))
        self.api.llama_backend_init()

    @property
    def version(self) -> str:
        """Return the version of llama-cpp-python, which is tied to one of llama.cpp."""
        return str(self.api.__version__)

    def devices(self) -> list[DeviceHandle]:
        """Return what ggml can put layers on besides the CPU. Loads the drivers of this build."""
        return Ggml(self.api).devices()


_loaded: list[Library] = []


def library() -> Library:
    """Return llama.cpp, loading it the first time. Raises BackendError (`unavailable`)."""
    if not _loaded:
        _loaded.append(Library())
    return _loaded[0]


def flag_reader() -> Any:
    """Return a C function that says whether the byte its argument points at is set, for ggml's abort callback.

    ggml asks after every node of its graph, several hundred times a token. A Python function would take the GIL each
    time; `strlen` of a two-byte buffer that ends in 0 gives 0 or 1 without it.
    """
    runtime = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    return runtime.strlen
