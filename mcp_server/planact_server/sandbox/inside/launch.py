"""The file that the host starts: loads what a worker needs into a bare interpreter, then becomes what was asked for.

    python -I -S launch.py zygote  SETTINGS     a process that workers are forked from
    python -I -S launch.py spawned SETTINGS     a worker over standard input and output

SETTINGS is one JSON object: `restricted_python` (its package folder), `parent` (the host's process id), `rights`
(jail.Rights) and whatever else the mode takes.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_SANDBOX = "planact_server.sandbox"


def main(argv: list[str]) -> None:
    """Never returns as long as there is work."""
    mode, text = argv
    settings: dict[str, Any] = json.loads(text)
    _bootstrap().load(settings.pop("restricted_python"))
    sandbox = sys.modules[_SANDBOX]
    sandbox.__path__ = [str(_HERE.parent)]  # where the jail is; the front door stays the empty stand-in
    entry = importlib.import_module(f"{_SANDBOX}.inside.{mode}")
    sandbox.__path__ = []
    entry.main(**settings)


def _bootstrap() -> Any:
    spec = importlib.util.spec_from_file_location("bootstrap", _HERE / "bootstrap.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"No 'bootstrap.py' in {str(_HERE)!r}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1:])
