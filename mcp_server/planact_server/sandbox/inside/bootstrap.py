"""Brings the modules of this folder in and nothing else of ours.

The interpreter is bare (`-I -S`): no site-packages, no current folder, no environment. Importing this folder's
modules by their full names would first import `planact_server` and `planact_server.sandbox`, which belong to the
server; `load` therefore puts empty stand-ins for the parents into `sys.modules`. RestrictedPython is imported from
its own folder, so that no folder full of other libraries is ever on the path.

`launch.py` runs it and calls `load`; `zygote.py` and `spawned.py` confine themselves and call `seal`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_PARENTS = ("planact_server", "planact_server.sandbox")
_INSIDE = "planact_server.sandbox.inside"


def load(restricted_python: str) -> Any:
    """Import the worker with everything that a plan may need, and return it as a module.

    `restricted_python` is the package folder of RestrictedPython.
    """
    _import_folder("RestrictedPython", Path(restricted_python))
    for name in _PARENTS:
        stand_in = ModuleType(name)
        stand_in.__path__ = []
        sys.modules[name] = stand_in
    _import_folder(_INSIDE, Path(__file__).resolve().parent)
    worker = importlib.import_module(f"{_INSIDE}.worker")
    worker.prepare()
    return worker


def seal() -> None:
    """Forget where modules come from: whatever is not imported by now stays out."""
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.argv[:] = ["worker"]


def _import_folder(name: str, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"No package {name!r} in {str(folder)!r}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
