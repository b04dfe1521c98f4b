"""`planact hosts` as a person and as a program sees it."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from planact_testing import Home

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the home folder of these tests is that of POSIX")

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def cursor_file(home: Home) -> Path:
    """Cursor's file in the home folder."""
    path = home.folder / ".cursor" / "mcp.json"
    path.parent.mkdir()
    shutil.copy(GOLDEN / "cursor.json", path)
    return path


async def test_a_host_gets_planact_and_loses_it_again(home: Home, cursor_file: Path) -> None:
    before = cursor_file.read_bytes()

    code, out, err = await home.run("hosts", "install", "Cursor")
    entry = json.loads(cursor_file.read_text())["mcpServers"]["planact"]
    assert (code, out) == (0, "")
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][-1] == "serve"
    assert f"planact hosts install cursor --config {home.folder / 'planact.toml'}" in err
    assert f"Changed {cursor_file}; the old file is mcp.json.planact-backup beside it." in err
    assert "planact hosts import cursor" in err

    code, _, err = await home.run("hosts", "install", "cursor")
    assert (code, err) == (0, "planact: Cursor has Planact already; nothing was changed.\n")

    code, _, err = await home.run("hosts", "uninstall", "cursor")
    assert (code, err) == (0, f"planact: Restored {cursor_file}.\nCursor notices by itself.\n")
    assert cursor_file.read_bytes() == before

    code, _, err = await home.run("hosts", "undo", "cursor")
    assert (code, err) == (2, "planact: Nothing was changed in Cursor that could be undone.\n")


async def test_print_and_dry_run_touch_nothing(home: Home, cursor_file: Path) -> None:
    before = {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}

    code, entry, err = await home.run("hosts", "install", "cursor", "--print")
    assert code == 0
    assert list(json.loads(entry)["mcpServers"]) == ["planact"]
    assert "cursor://anysphere.cursor-deeplink/mcp/install?name=planact&config=" in err

    code, entry, _ = await home.run("hosts", "install", "vscode", "--print", "--scope", "project", "--json")
    report = json.loads(entry)
    assert report["path"] == str(home.work / ".vscode" / "mcp.json")
    assert json.loads(report["entry"])["servers"]["planact"]["type"] == "stdio"
    assert report["link"].startswith("vscode:mcp/install?%7B%22name%22%3A%20%22planact%22")

    code, diff, _ = await home.run("hosts", "install", "cursor", "--dry-run")
    lines = diff.splitlines()
    assert (code, lines[:2]) == (0, [f"--- {cursor_file}", f"+++ {cursor_file}"])
    assert [line for line in lines[2:] if line.startswith("-")] == []
    assert '+        "planact": {' in lines

    code, out, _ = await home.run("hosts", "import", "cursor", "--adopt", "--dry-run", "--json")
    report = json.loads(out)
    assert (code, report["changed"], report["dry_run"]) == (0, True, True)
    assert report["files"] == [str(home.folder / "mcp.json"), str(cursor_file)]
    assert report["diff"].count("\n--- ") == 1
    assert {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()} == before


async def test_adopted_servers_are_started_by_planact_and_come_back_with_undo(home: Home, cursor_file: Path) -> None:
    entry = json.loads((home.folder / "mcp.json").read_text())["mcpServers"]["workshop"]
    cursor_file.write_text(json.dumps({"mcpServers": {"bench": {**entry, "env": {"A": "${env:HOME}"}}}}))
    before = cursor_file.read_bytes(), (home.folder / "mcp.json").read_bytes()

    code, out, err = await home.run("hosts", "import", "cursor", "--adopt", "--json")
    report = json.loads(out)
    assert (code, err.count("Changed")) == (0, 2)
    assert [(each["name"], each["fate"]) for each in report["servers"]] == [("bench", "added")]
    ours = json.loads(cursor_file.read_text())["mcpServers"]
    assert list(ours) == ["planact"]
    assert ours["planact"]["env"] == {"HOME": "${env:HOME}"}

    code, out, _ = await home.run("servers", "--json")
    assert {server["name"]: server["state"] for server in json.loads(out)} == {
        "bench": "ready",
        "workshop": "ready",
    }

    code, _, err = await home.run("hosts", "undo", "cursor")
    assert code == 0
    assert (cursor_file.read_bytes(), (home.folder / "mcp.json").read_bytes()) == before


async def test_what_to_do_next_is_said_only_where_planact_is_there(home: Home) -> None:
    path = home.folder / "xdg" / "Code" / "User" / "mcp.json"
    path.parent.mkdir(parents=True)
    shutil.copy(GOLDEN / "vscode.json", path)
    said: list[bool] = []
    for command in ("install", "undo", "import", "undo", "install", "uninstall"):
        code, _, err = await home.run("hosts", command, "vscode")
        assert code == 0
        said.append("start planact there" in err)
    assert said == [True, False, False, False, True, False]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
async def test_servers_that_claude_code_has_for_one_folder_are_said_not_to_be_read(home: Home, more: list[str]) -> None:
    projects = {"/srv/code": {"mcpServers": {"planact": {}, "db": {"command": "db"}}}, "/srv/else": {"mcpServers": {}}}
    (home.folder / ".claude.json").write_text(json.dumps({"projects": projects}))
    code, _, err = await home.run("hosts", "import", "claude-code", *more)
    assert code == 0
    assert "Claude Code has servers for /srv/code alone, which are not read: db." in err
    assert "/srv/else" not in err


async def test_the_entry_names_the_configuration_that_was_named(home: Home, cursor_file: Path) -> None:
    """Else the host would start a Planact that does not have the servers which it has given up."""
    named = home.work / "other.toml"
    named.touch()
    await home.run("hosts", "import", "cursor", "--adopt", "--config", "other.toml")
    assert json.loads(cursor_file.read_text())["mcpServers"]["planact"]["args"][-2:] == ["--config", str(named)]
    assert list(json.loads((home.work / "mcp.json").read_text())["mcpServers"]) == ["git", "docs"]

    _, entry, _ = await home.run("hosts", "install", "cursor", "--print")
    assert json.loads(entry)["mcpServers"]["planact"]["args"][-1] == "serve"


async def test_undo_says_which_servers_are_with_neither_or_with_both(home: Home, cursor_file: Path) -> None:
    windsurf = home.folder / ".codeium" / "windsurf" / "mcp_config.json"
    windsurf.parent.mkdir(parents=True)
    entry = json.loads(cursor_file.read_text())["mcpServers"]["git"]
    windsurf.write_text(json.dumps({"mcpServers": {"git": entry}}))
    ours = home.folder / "mcp.json"
    for host in ("cursor", "windsurf"):
        await home.run("hosts", "import", host, "--adopt")
    _, _, said = await home.run("hosts", "undo", "cursor")
    assert f"git stays in {ours}" in said
    _, _, said = await home.run("hosts", "undo", "windsurf")
    assert f"git: in Windsurf again, and still in {ours}. Take it out of there if nothing needs it." in said

    ours.write_text("{}")
    await home.run("hosts", "import", "windsurf", "--adopt")
    await home.run("hosts", "uninstall", "windsurf")
    ours.write_text("{}")
    _, _, said = await home.run("hosts", "undo", "windsurf")
    assert f"git: no longer in Windsurf, and not in {ours} either. Once more `undo` brings it back." in said
    await home.run("hosts", "undo", "windsurf")
    assert json.loads(windsurf.read_text()) == {"mcpServers": {"git": entry}}


@pytest.mark.parametrize("arguments", [["install", "cursor", "--print"], ["import", "cursor", "--dry-run"]])
async def test_a_configuration_that_is_not_there_is_wrong_usage(
    home: Home, cursor_file: Path, arguments: list[str]
) -> None:
    before = cursor_file.read_bytes()
    code, out, err = await home.run("hosts", *arguments, "--config", "nowhere.toml")
    assert (code, out) == (2, "")
    assert "nowhere.toml: there is no such file" in err
    assert cursor_file.read_bytes() == before


async def test_an_import_says_what_is_looked_up_and_what_stays(home: Home) -> None:
    path = home.work / ".vscode" / "mcp.json"
    path.parent.mkdir()
    shutil.copy(GOLDEN / "vscode.json", path)
    (home.folder / "mcp.json").write_text('{"mcpServers": {"git": {"command": "another"}}}')

    code, _, err = await home.run("hosts", "import", "VS Code", "--scope", "project")

    assert code == 0
    assert f"git stays in VS Code: {home.folder / 'mcp.json'} has another server of that name" in err
    assert "${DOCS_TOKEN}: VS Code looks it up (${input:docs-token}); set it where Planact is started." in err
    assert "planact doctor" in err
    servers = json.loads((home.folder / "mcp.json").read_text())["mcpServers"]
    assert servers["git"] == {"command": "another"}
    assert servers["docs"]["headers"] == {"Authorization": "Bearer ${DOCS_TOKEN}"}


async def test_the_list_and_the_doctor_show_the_hosts_that_are_there(home: Home, cursor_file: Path) -> None:
    await home.run("hosts", "install", "cursor")
    goose = home.folder / "xdg" / "goose" / "config.yaml"
    goose.parent.mkdir(parents=True)
    goose.write_text("extensions: [\n")
    (home.work / ".mcp.json").write_text(
        '{"mcpServers": {"planact": {"command": "/old/planact"}, "x": {"url": "http://x"}}}'
    )

    code, out, _ = await home.run("hosts", "list", "--json")
    listed = {host["host"]: host for host in json.loads(out)}
    assert (code, len(listed)) == (0, 14)
    assert {name for name, host in listed.items() if host["found"]} == {"cursor", "goose"}
    assert listed["cursor"]["files"][0] == {
        "scope": "user",
        "path": str(cursor_file),
        "exists": True,
        "planact": True,
        "this_planact": True,
        "servers": ["git", "docs"],
        "problem": None,
    }
    assert "line 2" in listed["goose"]["files"][0]["problem"]

    code, _, err = await home.run("hosts")
    rows = [line.split() for line in err.splitlines()]
    assert ["cursor", "has", "Planact", "git,", "docs", "~/.cursor/mcp.json"] in rows
    assert any(row[:4] == ["claude-code", "(project)", "has", "another"] for row in rows)

    _, out, _ = await home.run("doctor", "--json")
    found = [each for each in json.loads(out)["findings"] if each["subject"].startswith("host ")]
    assert [(each["level"], each["subject"]) for each in found] == [
        ("note", "host claude-code"),
        ("ok", "host cursor"),
        ("note", "host goose"),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["install", "curser"], ["no host 'curser'", "'cursor'", "opencode"]),
        (["install", "windsurf", "--scope", "project"], ["Windsurf has no file for one project"]),
        (["--json", "install", "cursor"], ["`planact hosts install … --json`"]),
    ],
)
async def test_wrong_usage_is_explained(home: Home, arguments: list[str], words: list[str]) -> None:
    code, out, err = await home.run("hosts", *arguments)
    assert (code, out) == (2, "")
    assert [word for word in words if word not in err] == []
