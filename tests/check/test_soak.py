"""Ten thousand plans, good, failing and hostile ones mixed, over fifty sessions: nothing of them is left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
GROWTH_MB = 30


@pytest.mark.check
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_plans_leave_nothing_behind() -> None:
    command = [sys.executable, "-P", str(SOAK), "--plans", "10000", "--sessions", "50", "--json"]
    soak = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert soak.stdout, soak.stderr
    figures = json.loads(soak.stdout)
    left = {name: found for name, found in figures.items() if name.startswith("left")}
    assert left == {"left processes": 0, "left descriptors": [], "left temporary files": []}
    assert figures["wrong answers"] == []
    assert figures["plans"] == 10_100
    assert figures["server memory growth, MB"] <= GROWTH_MB
    assert soak.returncode == 0
