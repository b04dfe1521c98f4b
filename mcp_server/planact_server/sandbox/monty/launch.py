"""The file that Monty's pool starts in place of the program: enters the jail, reports, and becomes the program.

    python -I -S launch.py SETTINGS ARGUMENTS...

SETTINGS is one JSON object: `program`, `files` (what it needs to be loaded, the loader first), `parent` (the host's
process number), `report` (a path to write to), `rights`. The ARGUMENTS are the program's own. Standard library only.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_PARENTS = {"planact_server": [], "planact_server.sandbox": [str(Path(__file__).resolve().parent.parent)]}


def main(argv: list[str]) -> None:
    """Never returns."""
    settings: dict[str, Any] = json.loads(argv[0])
    for name, path in _PARENTS.items():
        stand_in = ModuleType(name)
        stand_in.__path__ = path  # the front doors stay out: they belong to the server
        sys.modules[name] = stand_in
    confining = importlib.import_module("planact_server.sandbox.monty.confining")
    confining.become(settings, argv[1:])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:
        os._exit(1)
