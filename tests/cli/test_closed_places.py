"""Files and outputs that nobody can read or write: told in one line, never a traceback."""

import errno
import os
import subprocess
import sys

import pytest

from planact_testing import Home, planact

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the modes, links and devices are those of POSIX")


@pytest.mark.parametrize("command", [["servers"], ["doctor"], ["init"]])
@pytest.mark.parametrize("closed", [True, False])
async def test_a_configuration_folder_that_cannot_be_entered(home: Home, command: list[str], closed: bool) -> None:
    folder = home.folder / ("closed" if closed else "x" * 300)
    if closed:
        if os.getuid() == 0:
            pytest.skip("nothing is closed to root")
        folder.mkdir(mode=0)
    home.environment["XDG_CONFIG_HOME"] = str(folder)
    code, _, said = await home.run(*command)
    assert code == 2
    assert f"planact.toml' cannot be read: {os.strerror(errno.EACCES if closed else errno.ENAMETOOLONG)}" in said
    assert "Traceback" not in said


async def test_a_folder_whose_files_are_links_to_themselves_keeps_nobody_from_starting(home: Home) -> None:
    for name in ("planact.toml", "mcp.json"):
        (home.work / name).symlink_to(name)
    code, _, said = await home.run("tools")
    assert code == 0
    assert os.strerror(errno.ELOOP) in said


@pytest.mark.parametrize(
    ("command", "redirected"),
    [
        (["hosts", "--json"], ">/dev/full"),
        (["--version"], ">/dev/full"),
        (["run", "--code", "-", "--json"], ">&-"),
    ],
)
def test_an_output_that_takes_nothing(home: Home, command: list[str], redirected: str) -> None:
    if sys.platform != "linux" and "full" in redirected:
        pytest.skip("only Linux has /dev/full")
    process = subprocess.run(
        ["sh", "-c", f'"$@" {redirected}', "sh", *planact(*command, cold=True)],
        env=home.environment,
        cwd=home.work,
        input="1",
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith("planact: Standard output ")
    assert "Traceback" not in process.stderr


def test_who_has_seen_enough_may_stop_reading(home: Home) -> None:
    command = planact("hosts", "--json", cold=True)
    with subprocess.Popen(command, env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
