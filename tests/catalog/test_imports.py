"""A server starts without what only a search or a call needs."""

import subprocess
import sys

HEAVY = ("numpy", "httpx2", "jsonschema", "referencing")


def test_nothing_heavy_is_loaded_before_the_first_search_or_call() -> None:
    code = (
        "import sys; from planact_server.catalog import search, signatures, validation;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]\n"


def test_what_ranks_tools_is_loaded_by_the_first_search() -> None:
    code = "import sys, planact_server.app; print('planact_server.catalog.search' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False\n"
