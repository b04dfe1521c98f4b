"""The process that quantizes: llama.cpp can abort it, and nobody else is hurt.

Started as `python -m planact_quantized.models.quantize_child REQUEST`, a JSON object; without a target it only works
out what would come. What llama.cpp says goes to standard output as it is; the exit code says how it went. It ends, and
takes what it was writing with it, when standard input ends: then its parent is gone.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

FAILED = 3
NO_LLAMA_CPP = 4

ROWS_BYTES = 512 << 20
"""How much of one tensor is kept in memory; llama.cpp's own 8 GiB is a whole small machine."""


def main(argv: list[str]) -> int:
    request: dict[str, Any] = json.loads(argv[1])
    target = Path(request["target"]) if request["target"] is not None else None
    threading.Thread(target=_end_with_parent, args=[target], daemon=True).start()
    try:
        llama: Any = importlib.import_module("llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        sys.stdout.write(f"{error}\n")
        return NO_LLAMA_CPP
    say = llama.llama_log_callback(_say)
    llama.llama_log_set(say, None)
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = request["file_type"]
    parameters.nthread = request["threads"]
    parameters.allow_requantize = request["allow_requantize"]
    parameters.dry_run = target is None
    parameters.max_buf_size = ROWS_BYTES
    source = os.fsencode(request["source"])
    failed = llama.llama_model_quantize(source, os.fsencode(target or ""), ctypes.byref(parameters))
    return FAILED if failed else 0


def _say(_level: int, text: bytes, _data: object) -> None:
    os.write(1, text)


def _end_with_parent(target: Path | None) -> None:
    while os.read(0, 4096):
        pass
    if target is not None:
        target.unlink(missing_ok=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
