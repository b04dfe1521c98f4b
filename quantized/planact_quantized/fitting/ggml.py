"""ggml's own functions about devices, in a process that has loaded llama_cpp.

`python -m planact_quantized.fitting.ggml` prints what ggml and llama.cpp say about this machine, as one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from planact_quantized.backend import BackendError
from planact_quantized.fitting.devices import Device, DeviceKind

_KINDS: dict[int, DeviceKind] = {1: "gpu", 2: "igpu", 3: "accelerator"}
"""Of `enum ggml_backend_dev_type`; 0 is the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHandle(Device):
    """A device as ggml holds it."""

    pointer: int


class Ggml:
    """The functions. Raises BackendError (`unavailable`) where this build lacks one."""

    def __init__(self, llama_cpp: Any) -> None:
        folder = Path(str(llama_cpp.__file__)).parent / "lib"
        ending = {"win32": "{}.dll", "darwin": "lib{}.dylib"}.get(sys.platform, "lib{}.so")
        files = [folder / ending.format(name) for name in ("ggml", "ggml-base", "llama")]
        # llama_cpp has loaded these files already; the same ones are handed out again.
        self._libraries = [ctypes.CDLL(str(file)) for file in files if file.exists()]
        text, pointer, size = ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)
        self._load_all = self._function("ggml_backend_load_all", None)
        self._count = self._function("ggml_backend_dev_count", ctypes.c_size_t)
        self._get = self._function("ggml_backend_dev_get", pointer, ctypes.c_size_t)
        self._name = self._function("ggml_backend_dev_name", text, pointer)
        self._description = self._function("ggml_backend_dev_description", text, pointer)
        self._kind = self._function("ggml_backend_dev_type", ctypes.c_int, pointer)
        self._memory = self._function("ggml_backend_dev_memory", None, pointer, size, size)

    def devices(self) -> list[DeviceHandle]:
        """Return every device but the CPU. Loads the drivers of this build."""
        self._load_all()
        pointers = map(self._get, range(self._count()))
        return [self._device(pointer) for pointer in pointers if self._kind(pointer) in _KINDS]

    def _device(self, pointer: int) -> DeviceHandle:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._memory(pointer, ctypes.byref(free), ctypes.byref(total))
        return DeviceHandle(
            name=self._name(pointer).decode(errors="replace"),
            description=(self._description(pointer) or b"").decode(errors="replace"),
            kind=_KINDS[self._kind(pointer)],
            free_bytes=free.value,
            total_bytes=total.value,
            pointer=pointer,
        )

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        # Which library of ggml has it differs by system and version.
        for library in self._libraries:
            if hasattr(library, name):
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
                return function
        raise BackendError(
            f"This build of llama.cpp lacks {name!r}. Build it again with `planact models setup`.", fault="unavailable"
        )


def main() -> int:
    """Print what ggml and llama.cpp say about this machine."""
    llama: Any = import_module("llama_cpp")
    answer = {
        "devices": [asdict(device) for device in Ggml(llama).devices()],
        "llama_cpp": str(llama.__version__),
        "gpu_offload": bool(llama.llama_supports_gpu_offload()),
        "system_info": llama.llama_print_system_info().decode(errors="replace").strip(" |"),
    }
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
