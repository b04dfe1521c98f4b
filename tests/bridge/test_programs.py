"""Finding `npx` and its like where a shell would, and handing arguments to Windows' batch files."""

import os
import sys
from pathlib import Path

import pytest
from anyio import fail_after

from planact_bridge import Downstream, StdioSpec
from planact_bridge.batch import batch_command_line
from planact_bridge.programs import well_known_folders
from planact_tools import ToolCall


def folders(*paths: Path) -> list[str]:
    for path in paths:
        path.mkdir(parents=True)
    return [str(path) for path in paths]


def test_the_folders_of_a_home_that_exist_are_found(tmp_path: Path) -> None:
    there = folders(tmp_path / ".local/bin", tmp_path / ".volta/bin", tmp_path / ".local/share/mise/shims")
    found = well_known_folders({"HOME": str(tmp_path)}, platform="linux")
    assert [folder for folder in found if folder.startswith(str(tmp_path))] == there


def test_on_macos_what_fnm_keeps_in_the_library_is_found(tmp_path: Path) -> None:
    (there,) = folders(tmp_path / "Library/Application Support/fnm/aliases/default/bin")
    assert there in well_known_folders({"HOME": str(tmp_path)}, platform="darwin")


def test_of_nvm_the_default_counts_and_else_the_newest(tmp_path: Path) -> None:
    old, new = folders(tmp_path / ".nvm/versions/node/v9.11.2/bin", tmp_path / ".nvm/versions/node/v22.9.0/bin")
    assert well_known_folders({"HOME": str(tmp_path)}, platform="linux")[0] == new
    alias = tmp_path / ".nvm/alias/default"
    alias.parent.mkdir()
    alias.write_text("9\n")
    assert well_known_folders({"HOME": str(tmp_path)}, platform="linux")[0] == old


def test_on_windows_folders_hang_on_variables_and_absent_ones_are_passed_over(tmp_path: Path) -> None:
    there = folders(tmp_path / "nodejs", tmp_path / "npm")
    environ = {"PROGRAMFILES": str(tmp_path), "APPDATA": str(tmp_path)}
    assert list(well_known_folders(environ, platform="win32")) == there


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script as the program")
async def test_a_server_starts_though_the_host_has_a_poor_path_and_finds_its_own_programs(
    tmp_path: Path, monkeypatch
) -> None:
    """As with `npx`: a script in the home folder that starts an interpreter from beside it."""
    home = tmp_path / ".volta" / "bin"
    home.mkdir(parents=True)
    (home / "the-interpreter").symlink_to(sys.executable)
    raw = Path(__file__).with_name("servers") / "raw.py"
    (home / "the-runner").write_text(f'#!/bin/sh\nexec the-interpreter -S "{raw}" plain\n')
    (home / "the-runner").chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.defpath)
    server = Downstream(StdioSpec(name="runner", command="the-runner"))
    with fail_after(20):
        assert (await server.call(ToolCall(name="ok", arguments={}))).value == "ok"
        await server.aclose()


@pytest.mark.parametrize(
    ("arg", "passed"),
    [
        ("plain-1.0", '^^^"plain-1.0^^^"'),
        ("a b", '^^^"a^^^ b^^^"'),
        ("a&calc", '^^^"a^^^&calc^^^"'),
        ("%PATH%", '^^^"^^^%PATH^^^%^^^"'),
        ('say "hi"', '^^^"say^^^ \\^^^"hi\\^^^"^^^"'),
        ("C:\\end\\", '^^^"C:\\end\\\\^^^"'),
    ],
)
def test_nothing_in_an_argument_of_a_batch_file_is_a_command(arg: str, passed: str) -> None:
    assert batch_command_line("npx.cmd", [arg]) == f"npx.cmd {passed}"


def test_the_path_of_a_batch_file_may_have_spaces() -> None:
    assert batch_command_line(r"C:\Program Files\npx.cmd", []) == r"C:\Program^ Files\npx.cmd"


def test_a_line_break_cannot_be_handed_to_a_batch_file() -> None:
    with pytest.raises(ValueError, match="line break"):
        batch_command_line("npx.cmd", ["a\nb"])
