"""What is special about single hosts: other places of their files, other shapes, what cannot be taken over."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from hosts.golden_hosts import BY_NAME, COMMAND, Somebody
from planact_bridge.hosts import (
    HOSTS,
    Import,
    Launch,
    Machine,
    apply,
    importing,
    installing,
    places,
    read,
    uninstalling,
)

LAUNCH = Launch(command=COMMAND, args=("serve",))


def imported(somebody: Somebody, servers: dict[str, Any], *, key: str = "mcpServers") -> dict[str, Import]:
    somebody.path.parent.mkdir(parents=True, exist_ok=True)
    somebody.path.write_text(json.dumps({key: servers}))
    return {each.name: each for each in importing(somebody.place, somebody.mcp_json, somebody.machine).imports}


def test_there_are_fourteen_hosts_with_names_of_their_own() -> None:
    assert len({host.name for host in HOSTS}) == len({host.title for host in HOSTS}) == 14


def test_a_packaged_claude_desktop_on_windows_has_its_file_in_the_package(tmp_path: Path) -> None:
    local = tmp_path / "Local"
    machine = Machine(platform="windows", home=tmp_path, environ={"LOCALAPPDATA": str(local)})
    host = BY_NAME["claude-desktop"]
    assert host.user(machine) == tmp_path / "AppData" / "Roaming" / "Claude" / "claude_desktop_config.json"

    package = local / "Packages" / "Claude_abc123"
    package.mkdir(parents=True)

    assert host.user(machine) == package / "LocalCache" / "Roaming" / "Claude" / "claude_desktop_config.json"
    assert host.is_on(machine)


@pytest.mark.parametrize(
    ("host", "variable", "file"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("codex-cli", "CODEX_HOME", "config.toml"),
        ("copilot-cli", "COPILOT_HOME", "mcp-config.json"),
        ("gemini-cli", "GEMINI_CLI_HOME", ".gemini/settings.json"),
        ("continue", "CONTINUE_GLOBAL_DIR", "config.yaml"),
        ("zed", "XDG_CONFIG_HOME", "zed/settings.json"),
        ("goose", "XDG_CONFIG_HOME", "goose/config.yaml"),
        ("opencode", "XDG_CONFIG_HOME", "opencode/opencode.json"),
        ("vscode", "XDG_CONFIG_HOME", "Code/User/mcp.json"),
    ],
)
def test_a_variable_moves_a_hosts_file_unless_it_is_relative(
    host: str, variable: str, file: str, tmp_path: Path
) -> None:
    def found(value: str) -> Path:
        return BY_NAME[host].user(Machine(platform="linux", home=tmp_path, environ={variable: value}))

    assert found(str(tmp_path / "moved")) == tmp_path / "moved" / file
    assert found("moved") == found("")


def test_a_moved_lm_studio_is_found(tmp_path: Path) -> None:
    machine = Machine(platform="darwin", home=tmp_path, environ={})
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path / 'big disk'}\n")
    assert BY_NAME["lm-studio"].user(machine) == tmp_path / "big disk" / "mcp.json"


def test_opencode_keeps_the_place_and_the_comments_of_the_file_that_there_is(tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, "linux", "opencode")
    folder = somebody.path.parent
    folder.mkdir(parents=True)
    text = '{\n  "mcp": { "servers": { "git": { "type": "local", "command": ["git"], "disabled": true } } } // v2\n}\n'
    (folder / "opencode.jsonc").write_text(text)
    place = places(somebody.host, somebody.machine, somebody.work)[0]

    apply(installing(place, LAUNCH), somebody.journal)

    assert place.path.name == "opencode.jsonc"
    assert read(place).servers == {
        "git": {"type": "local", "command": ["git"], "disabled": True},
        "planact": {"type": "local", "command": [COMMAND, "serve"]},
    }
    apply(uninstalling(place, somebody.journal), somebody.journal)
    assert place.path.read_text() == text


def test_the_links_of_cursor_and_vscode_hold_the_entry() -> None:
    entry = {"command": "C:\\Program Files\\planact.exe", "args": ["serve", "ü?&+"]}

    cursor = urlsplit(BY_NAME["cursor"].link("planact", json.dumps(entry)))  # type: ignore[misc]
    query = parse_qs(cursor.query)
    assert (cursor.scheme, cursor.netloc, cursor.path) == ("cursor", "anysphere.cursor-deeplink", "/mcp/install")
    assert query["name"] == ["planact"]
    assert json.loads(base64.b64decode(query["config"][0])) == entry

    vscode = BY_NAME["vscode"].link("planact", json.dumps(entry))  # type: ignore[misc]
    start, _, rest = vscode.partition("?")
    assert start == "vscode:mcp/install"
    assert json.loads(unquote(rest)) == {"name": "planact", **entry}


NO_TEXTS = {
    "goose": "extensions:\n  mine: {type: stdio, cmd: x, args: [], enabled: true, envs: {PORT: 5, ON: true, S: t}}\n",
    "codex-cli": '[mcp_servers.mine]\ncommand = "x"\nenv = { PORT = 5, ON = true, S = "t" }\n',
    "opencode": '{"mcp": {"mine": {"type": "local", "command": ["x"],'
    ' "environment": {"PORT": 5, "ON": true, "S": "t"}}}}',
}


@pytest.mark.parametrize(("host", "text"), NO_TEXTS.items())
def test_a_value_that_is_no_text_is_written_as_one(tmp_path: Path, host: str, text: str) -> None:
    somebody = Somebody(tmp_path, "linux", host)
    somebody.path.parent.mkdir(parents=True, exist_ok=True)
    somebody.path.write_text(text)
    [found] = importing(somebody.place, somebody.mcp_json, somebody.machine).imports
    assert (found.fate, found.entry["env"]) == ("added", {"PORT": "5", "ON": "true", "S": "t"})


def test_what_planact_cannot_do_stays_in_the_host_with_the_reason(tmp_path: Path) -> None:
    found = imported(
        Somebody(tmp_path, "linux", "vscode"),
        {
            "file": {"command": "x", "envFile": "${workspaceFolder}/.env"},
            "asked": {"command": "x", "args": ["${command:pick.one}"]},
            "ours": {"command": "x", "env": {"A": "${env:PLANACT_POLICY__DEFAULT}"}},
            "text": "x",
            "good": {"command": "x", "dev": {"watch": "*"}, "sandboxEnabled": True},
        },
        key="servers",
    )

    assert {name: each.fate for name, each in found.items()} == {
        "file": "unusable",
        "asked": "unusable",
        "ours": "unusable",
        "text": "unusable",
        "good": "added",
    }
    assert "envFile" in found["file"].reason
    assert "${command:pick.one}" in found["asked"].reason
    assert "PLANACT_" in found["ours"].reason
    assert found["good"].notices == ("`sandboxEnabled` has no counterpart and is left out",)


def test_a_server_of_the_same_name_is_reported_and_not_overwritten(tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, "linux", "cursor")
    somebody.mcp_json.parent.mkdir()
    mine = '{"mcpServers": {"same": {"command": "a"}, "other": {"command": "mine"}}}'
    somebody.mcp_json.write_text(mine)
    somebody.path.parent.mkdir(parents=True)
    theirs = {"same": {"command": "a", "args": []}, "other": {"command": "theirs"}, "planact": {"command": "old"}}
    somebody.path.write_text(json.dumps({"mcpServers": theirs}))

    done = importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=lambda _: LAUNCH)
    apply(done.change, somebody.journal)

    assert {each.name: each.fate for each in done.imports} == {"same": "present", "other": "other"}
    assert str(somebody.mcp_json) in done.imports[1].reason
    assert somebody.mcp_json.read_text() == mine
    assert json.loads(somebody.path.read_text()) == {
        "mcpServers": {"other": {"command": "theirs"}, "planact": {"command": COMMAND, "args": ["serve"]}}
    }


def test_a_projects_servers_are_started_in_the_project(tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, "linux", "claude-code")
    place = places(somebody.host, somebody.machine, somebody.work)[1]
    servers = {"a": {"command": "./a.sh"}, "b": {"command": "b", "cwd": "there"}, "c": {"url": "https://c.example"}}
    place.path.write_text(json.dumps({"mcpServers": servers}))

    done = importing(place, somebody.mcp_json, somebody.machine)

    assert {each.name: each.entry for each in done.imports} == {
        "a": {"command": str(somebody.work / "a.sh"), "cwd": str(somebody.work)},
        "b": {"command": "b", "cwd": str(somebody.work / "there")},
        "c": {"url": "https://c.example"},
    }


def test_variables_that_planact_needs_are_added_to_those_that_its_entry_has(tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, "linux", "codex-cli")
    somebody.path.parent.mkdir(parents=True)
    somebody.path.write_text(
        '[mcp_servers.planact]\ncommand = "/old"\nenv_vars = ["A"]\n[mcp_servers.x]\ncommand = "x"\nenv_vars = ["B"]\n'
    )

    def launch(passes: Any) -> Launch:
        return Launch(command=COMMAND, args=("serve",), passes=passes)

    apply(importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=launch).change, somebody.journal)

    assert read(somebody.place).servers == {"planact": {"command": COMMAND, "args": ["serve"], "env_vars": ["A", "B"]}}
