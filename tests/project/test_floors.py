"""The house's floors: imports point down, and the checks that say so do notice when one does not."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDERS = {
    "mcp_server": "planact_server",
    "bridge": "planact_bridge",
    "quantized": "planact_quantized",
    "tool_packs": "planact_tools",
}
SANDBOX = CHECKOUT / "mcp_server" / "planact_server" / "sandbox"
IN_THE_WORKER = sorted(file for folder in ("inside", "jail") for file in (SANDBOX / folder).rglob("*.py"))
BROUGHT_ALONG = {
    "llama_cpp": "llama_cpp_python",
    "mcp_types": "mcp",
    "pydantic_core": "pydantic",
    "ruamel": "ruamel.yaml",
}
"""Packages whose library has another name, or that are the other half of one that we declare."""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The four packages, empty, under the project's own contracts."""
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    for package in (
        *FOLDERS.values(),
        "planact_server/sandbox",
        "planact_server/sandbox/inside",
        "planact_server/sandbox/jail",
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    return tmp_path


def test_imports_point_down() -> None:
    assert _broken_contracts(CHECKOUT, *(CHECKOUT / folder for folder in FOLDERS)) == []


def test_packages_that_import_nothing_break_no_contract(house: Path) -> None:
    assert _broken_contracts(house, house) == []


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("planact_tools/climbing.py", "import planact_server.sandbox", "Floors"),
        ("planact_tools/climbing.py", "import planact_quantized", "Floors"),
        ("planact_bridge/climbing.py", "import planact_server.sandbox", "Floors"),
        ("planact_bridge/sideways.py", "import planact_quantized", "The bridge"),
        ("planact_quantized/sideways.py", "import planact_bridge", "The bridge"),
        ("planact_server/sandbox/inside/reaching_out.py", "import planact_tools", "What runs inside the jail"),
        ("planact_server/sandbox/jail/reaching_out.py", "import planact_bridge", "What runs inside the jail"),
    ],
)
def test_an_import_that_points_elsewhere_breaks_a_contract(house: Path, module: str, line: str, contract: str) -> None:
    (house / module).write_text(line + "\n", encoding="utf-8")
    assert any(name.startswith(contract) for name in _broken_contracts(house, house))


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_outer_folder_is_no_package(folder: str) -> None:
    assert not (CHECKOUT / folder / "__init__.py").exists()
    assert [path.parent.name for path in (CHECKOUT / folder).glob("*/__init__.py")] == [FOLDERS[folder]]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("line", ["import {}", "from {} import anything"])
def test_importing_an_outer_folder_is_a_lint_error(folder: str, line: str) -> None:
    ended = subprocess.run(
        [_script("ruff"), "check", "--select", "TID251", "--output-format", "concise", "--stdin-filename", "x.py", "-"],
        cwd=CHECKOUT,
        input=line.format(folder) + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert f"import {FOLDERS[folder]}" in ended.stdout


@pytest.mark.parametrize("file", IN_THE_WORKER, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_the_worker_imports_the_standard_library_and_restricted_python_only(file: Path) -> None:
    ours = ("planact_server.sandbox.inside", "planact_server.sandbox.jail")
    assert {
        module
        for module in _imports(file)
        if module.split(".")[0] not in {*sys.stdlib_module_names, "RestrictedPython"} and not module.startswith(ours)
    } == set()


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + extras["local"] + extras["monty"]
    declared = {re.split(r"[^\w.-]", line)[0].lower().replace("-", "_") for line in lines}
    imported = {
        module.split(".")[0]
        for folder, package in FOLDERS.items()
        for file in (CHECKOUT / folder / package).rglob("*.py")
        for module in _imports(file)
    }
    libraries = {
        BROUGHT_ALONG.get(name, name).lower() for name in imported - {*sys.stdlib_module_names, *FOLDERS.values()}
    }
    assert libraries - declared == set()


def test_every_contract_is_named_in_the_documentation() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    told = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for contract in settings["tool"]["importlinter"]["contracts"]:
        assert contract["name"] in told


def _broken_contracts(house: Path, *search: Path) -> list[str]:
    """Names of the contracts that the packages found in `search` break."""
    path = os.pathsep.join(str(folder) for folder in search)
    ended = subprocess.run(
        [_script("lint-imports"), "--no-cache", "--config", house / "pyproject.toml"],
        cwd=house,
        env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert "Contracts:" in ended.stdout, ended.stdout + ended.stderr
    broken = [line.removesuffix(" BROKEN") for line in ended.stdout.splitlines() if line.endswith(" BROKEN")]
    assert bool(broken) == bool(ended.returncode)
    return broken


def _imports(file: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                found += [f"{module}.{alias.name}" for alias in names]
            case _:
                pass
    return found


def _script(name: str) -> str:
    path = shutil.which(name, path=str(Path(sys.executable).parent))
    assert path is not None, f"{name!r} is not installed: run `make test`."
    return path
