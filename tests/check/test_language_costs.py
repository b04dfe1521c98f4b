"""What the language policy may cost, as `benchmarks/language.py` measures it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LANGUAGE = Path(__file__).parents[2] / "benchmarks" / "language.py"


@pytest.mark.check
@pytest.mark.parametrize("loops", ["loop", "methods", "unpacking"])
def test_a_plan_is_about_as_fast_as_plain_python(loops: str) -> None:
    command = [sys.executable, "-P", str(LANGUAGE), "--json", "--rounds", "3", "--only", loops]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)

    assert len(figures) >= 3
    assert {name: row for name, row in figures.items() if row["aim"] and row["plan"] > row["aim"]} == {}
