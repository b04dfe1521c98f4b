"""How processes of ours that load llama.cpp are started: the same environment, and nothing of the user's folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

INTERPRETER = (sys.executable, "-P", "-X", "no_debug_ranges")
"""-P keeps the current folder, which may be anybody's, out of what can be imported. Without the marks under its
lines a traceback fits into the last words of a process."""

# ggml loads backends that lie in the current folder, so it must be none that a cloned project could have filled.
FOLDER = Path(sys.executable).anchor or "/"

_NAMES = frozenset(
    {
        *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "XDG_DATA_DIRS"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
        *("PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE"),
        *("SYSTEMROOT", "WINDIR", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "PROGRAMDATA", "PROGRAMFILES"),
    }
)
_PREFIXES = (
    *("GGML_", "LLAMA_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_"),
    *("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "ROCM_", "HSA_", "AMD_", "VK_", "SYCL_", "ONEAPI_", "ZE_", "MTL_", "METAL_"),
)


def module(name: str) -> tuple[str, ...]:
    """Return the command that runs a module of ours."""
    return (*INTERPRETER, "-m", name)


def environment() -> dict[str, str]:
    """Return what libraries and drivers need of our environment; nobody's tokens and keys are among it."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _NAMES or name.upper().startswith(_PREFIXES)
    }
    # Before it aborts, ggml would start a debugger on itself for a backtrace, which takes seconds.
    passed.setdefault("GGML_NO_BACKTRACE", "1")
    search = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return passed | ({"PYTHONPATH": os.pathsep.join(search)} if search else {})


def options() -> dict[str, Any]:
    """Return what keeps signals of a terminal (Ctrl-C, hang-up) from the child: it ends when its parent wants it to."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def ending(code: int) -> str:
    """Return how a process ended, for a sentence about it: `ended with code 1`, `was ended by SIGSEGV`."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
