"""`make demo` and `make test` on a bare machine: one environment, made once, and one clear line where it cannot be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
COMMANDS = ("sh", "cat", "cksum", "dirname", "ln", "mkdir", "rm")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this system")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with the files that setting up reads, and `bin/`: the only commands there are."""
    (tmp_path / ".ci").mkdir()
    for name in (".ci/setup", "pyproject.toml", "constraints.txt"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for name in COMMANDS:
        (tmp_path / "bin" / name).symlink_to(_which(name))
    return tmp_path


def test_an_old_python_is_named_and_nothing_is_made(machine: Path) -> None:
    _command(machine, "python3", 'case "$1" in --version) echo "Python 3.9.18" ;; *) exit 1 ;; esac')
    ended = _setup(machine, "runtime")
    assert ended.stderr.splitlines() == ["Planact needs Python 3.11 or newer, but python3 is Python 3.9.18."]
    assert ended.returncode == 1
    assert not (machine / ".venv").exists()


def test_a_newer_python_beside_an_old_python3_is_used(machine: Path) -> None:
    _command(machine, "python3", "exit 1")
    _command(machine, "python3.12", _ENVIRONMENT)
    assert _setup(machine, "runtime").returncode == 0
    assert (machine / "log").read_text(encoding="utf-8") == "installed .\n"


def test_a_python_without_its_venv_package_is_told_its_name(machine: Path) -> None:
    _command(machine, "python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    ended = _setup(machine, "dev")
    assert ended.stderr.splitlines() == [
        "python3 cannot make virtual environments: install the package python3-venv, then run make again."
    ]
    assert ended.returncode == 1
    assert not (machine / ".venv").exists()


def test_a_second_run_does_nothing_until_the_pins_change(machine: Path) -> None:
    _command(machine, "python3", _ENVIRONMENT)
    assert _setup(machine, "runtime").stderr == "Setting up .venv, once; half a minute or so ...\n"
    assert _setup(machine, "runtime").stderr == ""
    with (machine / "constraints.txt").open("a", encoding="utf-8") as pins:
        pins.write("# changed\n")
    _setup(machine, "runtime")
    assert (machine / "log").read_text(encoding="utf-8") == "installed .\n" * 2


def test_the_developers_environment_serves_the_demo_too(machine: Path) -> None:
    _command(machine, "python3", _ENVIRONMENT)
    for wanted in ("runtime", "dev", "runtime", "dev"):
        assert _setup(machine, wanted).returncode == 0
    assert (machine / "log").read_text(encoding="utf-8") == "installed .\ninstalled .[dev]\nbuilt llama.cpp\n"


def test_a_failed_installation_is_tried_again(machine: Path) -> None:
    _command(machine, "python3", _ENVIRONMENT)
    (machine / "offline").touch()
    failed = _setup(machine, "dev")
    assert (failed.returncode, failed.stderr.splitlines()[1:]) == (
        1,
        ["Installing Planact's dependencies did not work; the lines above say why."],
    )
    (machine / "offline").unlink()
    assert _setup(machine, "dev").returncode == 0


def test_uv_is_used_where_it_is_installed(machine: Path) -> None:
    _command(machine, "environment", _ENVIRONMENT)
    _command(
        machine,
        "uv",
        'echo "$1 $2" >>log; test $1 = pip || { mkdir -p .venv/bin; ln -s "$PWD/bin/environment" .venv/bin/python; }',
    )
    assert _setup(machine, "dev").returncode == 0
    assert (machine / "log").read_text(encoding="utf-8") == "venv --quiet\npip install\nbuilt llama.cpp\n"


def test_llama_cpp_is_built_for_the_tests_and_not_for_the_demo(machine: Path) -> None:
    _command(machine, "python3", _ENVIRONMENT)
    for wanted in ("runtime", "dev", "dev"):
        assert _setup(machine, wanted).returncode == 0
    assert (machine / "log").read_text(encoding="utf-8") == "installed .\ninstalled .[dev]\nbuilt llama.cpp\n"


def test_without_a_compiler_the_tests_are_set_up_and_it_is_said(machine: Path) -> None:
    _command(machine, "python3", _ENVIRONMENT)
    (machine / "compiler").write_text("2", encoding="utf-8")
    ended = _setup(machine, "dev")
    assert (ended.returncode, ended.stderr.splitlines()[1:]) == (
        0,
        ["no compiler", "Until then the tests that need llama.cpp are skipped."],
    )
    (machine / "compiler").unlink()
    assert _setup(machine, "dev").returncode == 0
    assert (machine / "log").read_text(encoding="utf-8") == "installed .[dev]\nbuilt llama.cpp\n"


def test_a_failed_build_of_llama_cpp_is_not_passed_over(machine: Path) -> None:
    _command(machine, "python3", _ENVIRONMENT)
    (machine / "compiler").write_text("1", encoding="utf-8")
    ended = _setup(machine, "dev")
    assert (ended.returncode, ended.stderr.splitlines()[2:]) == (
        1,
        ["Building llama.cpp did not work; the lines above say why. LLAMA=skip goes on without it."],
    )
    assert _setup(machine, "dev").returncode == 1
    skipped = _setup(machine, "dev", LLAMA="skip")
    assert (skipped.returncode, skipped.stderr) == (0, "LLAMA=skip: the tests that need llama.cpp are skipped.\n")


def test_make_lists_its_targets(machine: Path) -> None:
    shown = subprocess.run(
        [_which("make"), "help"], cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    targets = {line.split()[1] for line in shown.splitlines() if line.startswith("  make ")}
    assert targets >= {"demo", "local", "test", "check", "lint", "types", "floors", "format", "clean", "help"}


_ENVIRONMENT = """
case "$1 $2" in
    "-m venv") mkdir -p .venv/bin; ln -s "$0" .venv/bin/python ;;
    "-m pip") test ! -e offline || exit 1; for package; do :; done; echo "installed $package" >>log ;;
    "-m planact_quantized.building.llama_wheel")
        test ! -e compiler || { echo "no compiler" >&2; exit "$(cat compiler)"; }
        echo "built llama.cpp" >>log ;;
esac
"""
"""A stand-in for Python: recent enough, makes an environment that holds itself, writes down what is installed; a file
`compiler` makes it fail to build llama.cpp, with the exit code that it holds."""


def _command(machine: Path, name: str, script: str) -> None:
    file = machine / "bin" / name
    file.write_text(f"#!{machine}/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)


def _setup(machine: Path, wanted: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(machine / "bin" / "sh"), ".ci/setup", wanted],
        cwd=machine,
        env={"PATH": str(machine / "bin"), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _which(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"{name!r} is missing on {sys.platform!r}."
    return path
