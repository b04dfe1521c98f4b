"""Plans made of pieces of attacks, run as plans are: what they hold afterwards is looked at like any result."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.child import Child

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCRIPT = Path(__file__).with_name("run_atheris.py")


@pytest.fixture(scope="module")
def plans() -> Iterator[Child]:
    child = Child("fuzz.serve_plans")
    yield child
    child.close()


def test_no_plan_gets_at_the_machinery(plans: Child) -> None:
    assert plans.ask({"seed": 1, "plans": 100}) == []
    assert plans.last["ran"] > 60, "most plans must pass the policy, or nothing is tried"


@pytest.mark.check
@given(st.binary(max_size=400))
@settings(
    max_examples=3000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_plan_gets_at_the_machinery_whatever_it_is(plans: Child, data: bytes) -> None:
    assert plans.ask({"data": data.hex()}) == []


@pytest.mark.check
def test_the_fuzzer_sees_leaks_that_are_planted_in_what_plans_call() -> None:
    child = Child("fuzz.serve_plans", "--plant")
    try:
        findings = child.ask({"seed": 1, "plans": 60}, fresh=False)
    finally:
        child.close()

    kinds = {finding.partition("\n")[0].partition(" is ")[2] for finding in findings}
    assert {"a module", "a file", "the namespace of a module or of a session"} <= kinds


@pytest.mark.check
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize(("planted", "status"), [([], 0), (["--plant"], 77)])
def test_atheris_finds_what_is_planted_and_nothing_else(tmp_path: Path, planted: list[str], status: int) -> None:
    ended = subprocess.run(
        [sys.executable, _SCRIPT, "--seconds", "30", "--folder", str(tmp_path), *planted],
        capture_output=True,
        timeout=240,
        check=False,
    )

    assert ended.returncode == status, ended.stderr.decode(errors="replace")[-4000:]
