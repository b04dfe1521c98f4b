"""The file that Monty's pool starts in place of the program: enters the jail, reports, and becomes the program.

    python -I -S launch.py SETTINGS ARGUMENTS...

SETTINGS is a dict, marshalled and in hexadecimal digits, because reading JSON would be a third of the start: `program`,
`files` (what it needs to be loaded, the loader first), `parent` (the driver's process number), `report` (a descriptor
to write to), `layers` (what the driver has of the jail), `memory_bytes` and `cpu_seconds`. The ARGUMENTS are the
program's own. Standard library only, and of that as little as possible: each session waits for it.
"""

from __future__ import annotations

import importlib
import marshal
import os
import sys
from types import ModuleType
from typing import Any

_SANDBOX = os.path.realpath(f"{__file__}/../..")
_PARENTS = {
    "planact_server": [],
    "planact_server.sandbox": [_SANDBOX],
    "planact_server.sandbox.monty": [f"{_SANDBOX}/monty"],
    "planact_server.sandbox.jail": [f"{_SANDBOX}/jail"],
    "planact_server.sandbox.jail.linux": [f"{_SANDBOX}/jail/linux"],
}


def main(argv: list[str]) -> None:
    """Never returns."""
    settings: dict[str, Any] = marshal.loads(bytes.fromhex(argv[0]))  # noqa: S302 - from our own driver
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
