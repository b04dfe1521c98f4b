"""The wheel, built and installed as a stranger would have it: outside the checkout, with nothing of ours beside it."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = pytest.mark.check  # builds, and installs twice

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ["planact_bridge", "planact_quantized", "planact_server", "planact_tools"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def files(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of an environment that holds the wheel and, beneath it, this environment's libraries."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    place = {name: Path(sysconfig.get_path(name, "venv", vars={"base": str(home)})) for name in ("scripts", "purelib")}
    python = place["scripts"] / Path(sys.executable).name
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    _run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=home)
    # A folder that a .pth file names is searched, but the .pth files in it are not read: the libraries are there,
    # the checkout's editable installation is not.
    (place["purelib"] / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return place["scripts"]


def test_the_wheel_holds_the_four_packages_and_nothing_beside_them(files: list[str]) -> None:
    assert {name.split("/")[0] for name in files} == {*PACKAGES, "planact-0.1.0.dist-info"}


def test_every_package_says_that_it_is_typed(files: list[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(files)


def test_the_wheel_holds_every_module_below_the_four_folders_and_no_test(files: list[str]) -> None:
    sources = {
        file.relative_to(folder).as_posix()
        for folder in (CHECKOUT / "mcp_server", CHECKOUT / "bridge", CHECKOUT / "quantized", CHECKOUT / "tool_packs")
        for file in folder.rglob("*.py")
    }
    packed = {name for name in files if name.endswith(".py")}
    assert packed == sources
    assert not [name for name in packed if Path(name).name.startswith(("test_", "conftest"))]


def test_the_metadata_says_what_can_be_imported_and_by_which_python(metadata: Message) -> None:
    assert sorted(metadata.get_all("Import-Name", [])) == PACKAGES
    assert metadata["Name"] == "planact"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("Provides-Extra") == ["all", "dev", "local", "monty"]


def test_the_extra_all_brings_the_local_planner_and_the_plain_installation_does_not(metadata: Message) -> None:
    required = metadata.get_all("Requires-Dist", [])
    markers = {line.partition("; ")[2] for line in required if line.startswith("llama-cpp-python")}
    assert markers == {"extra == 'local'", "extra == 'all'"}


@pytest.mark.parametrize("package", PACKAGES)
def test_an_installed_package_comes_from_the_wheel(scripts: Path, tmp_path: Path, package: str) -> None:
    script = f"import {package} as package; print(package.__file__)"
    found = _run(_python(scripts), "-P", "-c", script, cwd=tmp_path)
    assert Path(found.strip()).is_relative_to(scripts.parent)


@pytest.mark.parametrize("arguments", [["-P", "-m", "planact_server"], None], ids=["module", "command"])
def test_the_installed_command_says_its_version(scripts: Path, tmp_path: Path, arguments: list[str] | None) -> None:
    command = [_command(scripts)] if arguments is None else [_python(scripts), *arguments]
    assert _run(*command, "--version", cwd=tmp_path) == "planact 0.1.0\n"


def test_the_installed_command_lists_its_subcommands(scripts: Path, tmp_path: Path) -> None:
    shown = _run(_command(scripts), "--help", cwd=tmp_path)
    for name in ("demo", "serve", "run", "tools", "servers", "packs", "doctor"):
        assert name in shown


def test_a_folder_called_like_one_of_ours_hides_nothing(scripts: Path, tmp_path: Path) -> None:
    for name in ("bridge", "quantized", "tool_packs", "mcp_server"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('shadowed')", encoding="utf-8")
    script = f"import {', '.join(PACKAGES)}; print('ok')"
    assert _run(_python(scripts), "-c", script, cwd=tmp_path) == "ok\n"


def _python(scripts: Path) -> Path:
    return scripts / Path(sys.executable).name


def _command(scripts: Path) -> Path:
    return scripts / ("planact.exe" if os.name == "nt" else "planact")


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PLANACT"))}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
