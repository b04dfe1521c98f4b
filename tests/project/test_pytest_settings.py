"""A warning fails a test, wherever it comes from: pytest's settings say so, and the plugins do not undo it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.check  # each test starts pytest again

CHECKOUT = Path(__file__).parents[2]

WARNING_TESTS = """
import socket
import warnings

import anyio
import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_plain():
    warnings.warn("plain", UserWarning)


async def test_coroutine():
    await anyio.sleep(0)
    warnings.warn("coroutine", DeprecationWarning)


def test_thread():
    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(warnings.warn, "thread", ResourceWarning)


def test_left_open():
    socket.socket()


async def test_never_awaited():
    anyio.sleep(0)


def test_good():
    pass
"""


@pytest.mark.parametrize("distribution", [[], ["-n", "1"]], ids=["one process", "xdist"])
def test_a_warning_fails_its_test(tmp_path: Path, distribution: list[str]) -> None:
    ended = _pytest(tmp_path, WARNING_TESTS, *distribution)
    told = {line.partition("::")[2].split(" ")[0] for line in ended.splitlines() if line.startswith("FAILED ")}
    assert told == {"test_plain", "test_coroutine", "test_thread", "test_left_open", "test_never_awaited"}
    assert "5 failed, 1 passed" in ended


def test_an_unknown_marker_is_an_error(tmp_path: Path) -> None:
    assert "'chek' not found" in _pytest(tmp_path, "import pytest\n\n\n@pytest.mark.chek\ndef test_it(): ...\n")


def test_checks_run_only_when_asked_for(tmp_path: Path) -> None:
    source = "import pytest\n\n\n@pytest.mark.check\ndef test_slow(): ...\n\n\ndef test_quick(): ...\n"
    assert "1 passed, 1 deselected" in _pytest(tmp_path, source)
    assert "1 passed, 1 deselected" in _pytest(tmp_path, source, "-m", "check")


def _pytest(folder: Path, source: str, *arguments: str) -> str:
    (folder / "test_sample.py").write_text(source, encoding="utf-8")
    settings = ["-c", str(CHECKOUT / "pyproject.toml"), "--rootdir", str(folder), "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *settings, *arguments, str(folder / "test_sample.py")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stdout + ended.stderr
