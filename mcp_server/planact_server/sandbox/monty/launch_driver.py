"""The file that the host starts for a driver: brings in what that needs, and nothing of the server beside the sandbox.

    python -I launch_driver.py driver SETTINGS     a driver over standard input and output
    python -I launch_driver.py zygote SETTINGS     a process that drivers are forked from

SETTINGS is one JSON object; `libraries` in it are folders to import from.

The sandbox's front door takes two names for types from `planact_tools`; the whole of that would be a second of imports.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = Path(__file__).resolve().parent.parent.parent


def main(argv: list[str]) -> None:
    """Never returns as long as there is work."""
    server = ModuleType("planact_server")
    server.__path__ = [str(_PACKAGE)]
    tools: Any = ModuleType("planact_tools")
    tools.JSONObject = tools.JSONValue = Any
    sys.modules.update({"planact_server": server, "planact_tools": tools})
    mode, text = argv
    settings = json.loads(text)
    sys.path += [folder for folder in settings.pop("libraries") if folder not in sys.path]
    importlib.import_module(f"planact_server.sandbox.monty.{mode}").main(settings)


if __name__ == "__main__":
    main(sys.argv[1:])
