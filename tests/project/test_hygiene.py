"""The hygiene check finds what it looks for, wherever it stands, and nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

# Broken up by a bar, so that this file passes the check itself.
HOSTS = [text.replace("|", "") for text in ("py|pi.org", "registry.npm|js.org", "files.python|hosted.org")]
FOLDERS = [text.replace("|", "") for text in ("/wo|rk/main", "/ro|ot/.cache", "/ho|me/ada/planact", "cd /fa|rm")]
FINE = [
    text.replace("|", "")
    for text in (
        "a PyPI package",
        "~/wo|rk/planact",
        "$HOME/work",
        "/rooted",
        "/workshop",
        "framework/main",
        "https://example.com/home/",
    )
]

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("git") is None, reason="no bash or no git on this system"
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    shutil.copy(CHECKOUT / ".ci" / "hygiene", tmp_path / ".ci")
    _git(tmp_path, "init", "--quiet")
    return tmp_path


@pytest.mark.parametrize("text", [*HOSTS, *FOLDERS])
def test_a_line_that_must_not_be_there_is_shown(repository: Path, text: str) -> None:
    checked = _check(repository, f"one\nsee {text} there\n")
    assert checked.stdout == f"notes.md:2:see {text} there\n"
    assert checked.returncode == 1


@pytest.mark.parametrize("text", FINE)
def test_what_only_looks_alike_passes(repository: Path, text: str) -> None:
    checked = _check(repository, f"see {text} there\n")
    assert (checked.returncode, checked.stdout) == (0, "")


def _check(repository: Path, text: str) -> subprocess.CompletedProcess[str]:
    (repository / "notes.md").write_text(text, encoding="utf-8")
    _git(repository, "add", ".")
    command = ["bash", str(repository / ".ci" / "hygiene")]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def _git(repository: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True, timeout=30)
