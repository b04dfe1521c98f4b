"""`planact servers`: health, logs, restart."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from bridge.authorization_server import Guarded  # noqa: TID251  # a folder of tests
from planact_bridge import ServerFiles
from planact_bridge.log_file import older
from planact_testing import Home, act, planact, workshop


async def test_how_a_server_stands_in_a_planact_that_serves_is_shown_too(home: Home) -> None:
    home.configure('[policy]\nallow = ["*.*"]\n', workshop=workshop())
    async with home.serve() as client:
        assert (await act(client, "lookup(key='x')"))["status"] in ("ok", "error")
        (board,) = (home.folder / "state" / "running").glob("*.json")
        with anyio.fail_after(20):
            while json.loads(board.read_text())["servers"]["workshop"]["state"] != "ready":
                await anyio.sleep(0.05)
        _, out, _ = await home.run("servers", "--json")
        (report,) = json.loads(out)
        here, (there,) = report["health"], report["running"]
        assert (here["state"], here["starts"], here["losses"], here["last_error"]) == ("ready", 1, 0, None)
        assert here["era"] in ("handshake", "stateless")
        assert (there["planact"], there["state"], there["starts"]) == (int(board.stem), "ready", 1)
        assert there["pid"] != here["pid"] > 0
    assert not board.exists()


async def test_what_cannot_be_read_of_a_servers_tools_is_told_by_doctor_servers_and_tools(home: Home) -> None:
    raw = Path(__file__).parents[1] / "bridge" / "servers" / "raw.py"
    home.configure("", raw={"command": sys.executable, "args": [str(raw), "dirty"]})
    _, out, _ = await home.run("servers", "--json")
    (report,) = json.loads(out)
    assert report["skipped"] == [
        "entry 13: its name is 5",
        "entry 14: it is no object: 'not a tool'",
        "ok: the list has this name twice; the first one counts",
    ]
    assert report["defects"] == [
        "no_schema: it has no input schema; any argument is passed on",
        "no_object: its input schema is 'nope', no object; any argument is passed on",
        "odd_required: 'required' is no list of names and was ignored",
        "odd_required: input a: type 'text' is unknown; not checked",
        "said_yes: readOnlyHint is 'yes', neither true nor false, and was ignored",
        "true_property: no schema for 'b'; any value is passed on",
    ]
    code, _, said = await home.run("doctor")
    assert code == 0
    told = said.partition("• server raw describes tools in a way that cannot be read whole\n")[2].splitlines()
    assert [line.strip() for line in told[:7]] == [
        *report["defects"][:5],
        "… `planact servers --json` has all 6",
        "These tools work all the same: what cannot be read is not checked before a call.",
    ]
    code, _, said = await home.run("tools", "show", "raw.no_object")
    assert (code, "# note: its input schema is 'nope'" in said) == (0, True)


async def test_what_a_server_that_does_not_start_said_is_shown_afterwards(home: Home) -> None:
    home.configure("", lathe=workshop("--broken"))
    await home.run("servers", "restart", "lathe")
    code, out, _ = await home.run("servers", "logs", "lathe")
    assert code == 0
    assert "the lathe is missing" in out
    assert "it exited with code 1" in out.splitlines()[-1]


def test_a_log_is_followed_into_the_file_that_takes_its_place(home: Home) -> None:
    log = ServerFiles(home.folder / "state" / "servers", "git").log
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\n")
    command = planact("servers", "logs", "git", "--follow", "--lines", "1")
    with subprocess.Popen(command, env=home.environment, cwd=home.work, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "two\n"
        with log.open("a") as file:
            file.write("three\n")
        log.rename(older(log))
        log.write_text("four\n")
        assert [process.stdout.readline() for _ in range(2)] == ["three\n", "four\n"]
        process.kill()


@pytest.mark.parametrize(
    ("count", "lines"), [("0", []), ("2", ["two", "three\x1b"]), ("9", ["one", "two", "three\x1b"])]
)
async def test_so_many_of_the_newest_lines_of_a_log_are_printed(home: Home, count: str, lines: list[str]) -> None:
    log = ServerFiles(home.folder / "state" / "servers", "git").log
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\nthree\x1b\n")
    code, out, _ = await home.run("servers", "logs", "git", "-n", count)
    assert (code, out.splitlines()) == (0, [line.replace("\x1b", "\\x1b") for line in lines])
    code, out, _ = await home.run("servers", "logs", "git", "-n", count, "--json")
    assert (code, json.loads(out)) == (0, lines)


async def test_a_log_that_is_followed_is_no_json(home: Home) -> None:
    code, out, said = await home.run("servers", "logs", "workshop", "--follow", "--json")
    assert (code, out) == (2, "")
    assert "--follow" in said


async def test_a_server_without_a_log_is_said_to_have_none(home: Home) -> None:
    home.configure("", workshop=workshop(), unset={"command": "x", "env": {"A": "${NOPE_NOT_SET}"}})
    for name, reason in (
        ("workshop", "Server 'workshop' has written nothing yet"),
        ("workshp", "There is no server 'workshp'. Did you mean 'workshop'?"),
        ("unset", "the variable NOPE_NOT_SET is not set"),
    ):
        code, _, said = await home.run("servers", "logs", name)
        assert (code, reason in said) == (2, True), said


async def test_what_cannot_be_used_or_has_not_answered_is_not_called_trusted(home: Home) -> None:
    silent = {"command": sys.executable, "args": ["-c", "import time; time.sleep(60)"]}
    home.configure(
        '[servers]\nstart_timeout_seconds = 1\n[policy]\ntrust = ["workshop"]\n',
        workshop=workshop(),
        silent=silent,
        unset={"command": "x", "env": {"A": "${NOPE_NOT_SET}"}},
    )
    _, out, _ = await home.run("servers", "--json")
    stands = {each["name"]: each for each in json.loads(out)}
    assert {name: each["trusted"] for name, each in stands.items()} == {
        "workshop": True,
        "silent": False,
        "unset": False,
    }
    assert (stands["unset"]["state"], "NOPE_NOT_SET" in stands["unset"]["error"]) == ("unusable", True)


async def test_a_restart_says_whether_the_server_starts(home: Home) -> None:
    home.configure("", workshop=workshop(), lathe=workshop("--broken"))
    code, _, said = await home.run("servers", "restart", "workshop")
    assert (code, "workshop starts here" in said) == (0, True)
    code, out, _ = await home.run("servers", "restart", "lathe", "--json")
    assert code == 1
    assert "the lathe is missing" in json.loads(out)["last_error"]
    code, _, said = await home.run("servers", "restart", "lath")
    assert (code, "There is no server 'lath'. Did you mean 'lathe'?" in said) == (2, True)


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    server = Guarded()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.check
async def test_a_login_is_made_in_a_browser_used_and_forgotten(home: Home, guarded: Guarded) -> None:
    browser = home.folder / "browser.py"
    browser.write_text("import sys, urllib.request\nurllib.request.urlopen(sys.argv[1]).read()\n")
    home.environment["BROWSER"] = f"{sys.executable} {browser} %s"
    home.environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    home.configure("", locked={"url": guarded.url})

    code, out, said = await home.run("servers", "login", "locked")
    assert (code, out) == (0, "")
    assert "logged in to locked; kept in " in said
    _, out, _ = await home.run("servers", "--json")
    assert json.loads(out)[0]["state"] == "ready"
    code, _, _ = await home.run("servers", "logout", "locked")
    assert (code, len(guarded.revoked)) == (0, 1)
    assert not list((home.folder / "state" / "servers").glob("*.login.json"))


async def test_no_login_is_offered_where_none_can_be(home: Home) -> None:
    home.configure("", workshop=workshop(), keyed={"url": "https://h/mcp", "headers": {"authorization": "Bearer x"}})
    for name, why in (("workshop", "is started by a command"), ("keyed", "has an 'Authorization' in 'headers'")):
        code, _, said = await home.run("servers", "login", name)
        assert (code, why in said) == (2, True)
