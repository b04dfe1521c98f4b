"""Host files on disk: what is written whole, what is refused, and what is remembered."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from hosts.golden_hosts import COMMAND, Somebody
from planact_bridge.hosts import (
    HostError,
    Journal,
    Launch,
    apply,
    importing,
    installing,
    look,
    read,
    undoing,
    uninstalling,
)

LAUNCH = Launch(command=COMMAND, args=("serve",))
posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and links are those of POSIX")


@pytest.fixture
def cursor(tmp_path: Path) -> Somebody:
    somebody = Somebody(tmp_path, "linux", "cursor")
    somebody.has_golden_file()
    return somebody


def install(somebody: Somebody) -> None:
    apply(installing(somebody.place, LAUNCH), somebody.journal)


def uninstall(somebody: Somebody) -> None:
    apply(uninstalling(somebody.place, somebody.journal), somebody.journal)


def undo(somebody: Somebody) -> None:
    record = somebody.journal.last(somebody.host.name)
    assert record is not None
    apply(undoing(record), somebody.journal)


@posix
def test_a_link_is_followed_and_stays_and_the_mode_of_the_file_stays(cursor: Somebody) -> None:
    real = cursor.home / "dotfiles" / "cursor.json"
    real.parent.mkdir()
    cursor.path.rename(real)
    real.chmod(0o640)
    cursor.path.symlink_to(real)

    install(cursor)

    assert cursor.path.is_symlink()
    assert "planact" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in real.parent.iterdir()) == ["cursor.json"]
    assert stat.S_IMODE((cursor.path.parent / "mcp.json.planact-backup").stat().st_mode) == 0o640


def test_what_another_program_writes_in_between_is_noticed_and_kept(cursor: Somebody) -> None:
    change = installing(cursor.place, LAUNCH)
    cursor.path.write_text('{"mcpServers": {"new": {"command": "x"}}}')
    before = cursor.files()

    with pytest.raises(HostError, match="changed by another program"):
        apply(change, cursor.journal)

    assert cursor.files() == before
    assert cursor.journal.records() == []


@pytest.mark.parametrize(
    ("host", "content", "where"),
    [
        ("cursor", b'{"mcpServers": {\n  "a": {}\n  "b": {}\n}}', "line 3, column 3"),
        ("cursor", b'{"mcpServers": []}', "no object"),
        ("cursor", b'{"mcpServers": {"a": "\xff"}}', "line 1"),
        ("codex-cli", b'a = 1\n[mcp_servers.x]\ncommand = "y\n', "line 3"),
        ("goose", b"extensions:\n  a: {\nb: 1\n", "line 4"),
    ],
)
def test_a_file_that_cannot_be_read_is_never_touched(host: str, content: bytes, where: str, tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, "linux", host)
    somebody.has_golden_file()
    somebody.path.write_bytes(content)
    before = somebody.files()

    for attempt in (
        lambda: installing(somebody.place, LAUNCH),
        lambda: uninstalling(somebody.place, somebody.journal),
        lambda: importing(somebody.place, somebody.mcp_json, somebody.machine),
    ):
        with pytest.raises(HostError) as raised:
            attempt()
        assert str(somebody.path) in str(raised.value)
        assert where in str(raised.value)
        assert "not touched" in str(raised.value)
    assert where in (look(somebody.place, somebody.machine).problem or "")
    assert somebody.files() == before


@posix
def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(cursor: Somebody) -> None:
    cursor.path.unlink()
    os.mkfifo(cursor.path)

    with pytest.raises(HostError, match="is no file"):
        read(cursor.place)


@posix
def test_a_link_to_itself_is_a_file_that_cannot_be_read(cursor: Somebody) -> None:
    cursor.path.unlink()
    cursor.path.symlink_to(cursor.path.name)

    with pytest.raises(HostError, match="cannot be read"):
        install(cursor)
    assert "cannot be read" in (look(cursor.place, cursor.machine).problem or "")


@pytest.mark.parametrize(
    "text",
    ["x: &a [*a, *a]\n", "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 4}]\n" for n in range(1, 40))],
)
def test_yaml_that_unfolds_without_end_is_refused_at_once(text: str, tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, "linux", "goose")
    somebody.path.parent.mkdir(parents=True)
    somebody.path.write_text(text)

    with pytest.raises(HostError, match="its aliases"):
        install(somebody)


def test_yaml_with_aliases_is_edited(tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, "linux", "goose")
    somebody.path.parent.mkdir(parents=True)
    somebody.path.write_text(f"a: &a {[1] * 50}\n" + "".join(f"b{n}: *a\n" for n in range(100)))

    install(somebody)

    assert "planact" in read(somebody.place).servers


def test_an_empty_file_is_one_without_servers(cursor: Somebody) -> None:
    cursor.path.write_bytes(b"")

    install(cursor)
    assert json.loads(cursor.path.read_text()) == {"mcpServers": {"planact": cursor.golden.ours}}
    uninstall(cursor)

    assert cursor.path.read_bytes() == b""


def test_uninstalling_keeps_what_was_changed_since_and_what_installing_made_goes(cursor: Somebody) -> None:
    cursor.path.write_text('{\n  "other": 1\n}\n')
    install(cursor)
    cursor.path.write_text(cursor.path.read_text().replace('"other": 1', '"other": 2'))

    uninstall(cursor)

    assert cursor.path.read_text() == '{\n  "other": 2\n}\n'


def test_undoing_keeps_what_was_changed_since(cursor: Somebody) -> None:
    before = json.loads(cursor.path.read_text())["mcpServers"]
    adopt = importing(cursor.place, cursor.mcp_json, cursor.machine, adopt=lambda _: LAUNCH)
    apply(adopt.change, cursor.journal)
    for path in (cursor.path, cursor.mcp_json):
        servers = json.loads(path.read_text())
        servers["mcpServers"]["later"] = {"command": "later"}
        path.write_text(json.dumps(servers))

    undo(cursor)

    assert json.loads(cursor.path.read_text()) == {"mcpServers": {"later": {"command": "later"}, **before}}
    assert json.loads(cursor.mcp_json.read_text()) == {"mcpServers": {"later": {"command": "later"}}}


def test_changes_are_undone_one_after_the_other(cursor: Somebody) -> None:
    stages = [cursor.path.read_bytes()]
    install(cursor)
    stages.append(cursor.path.read_bytes())
    apply(
        importing(cursor.place, cursor.mcp_json, cursor.machine, adopt=lambda _: LAUNCH).change,
        cursor.journal,
    )
    uninstall(cursor)
    assert json.loads(cursor.path.read_text()) == json.loads(stages[0])

    undo(cursor)
    undo(cursor)
    assert cursor.path.read_bytes() == stages[1]
    undo(cursor)

    assert cursor.path.read_bytes() == stages[0]
    assert [path.name for path in cursor.path.parent.iterdir()] == ["mcp.json"]
    assert cursor.journal.last("cursor") is None


def test_a_backup_never_replaces_another(cursor: Somebody) -> None:
    backup = cursor.path.with_name("mcp.json.planact-backup")
    backup.write_text("somebody's")

    install(cursor)

    assert backup.read_text() == "somebody's"
    assert cursor.path.with_name("mcp.json.planact-backup-2").read_bytes() != cursor.path.read_bytes()


def test_undoing_without_the_backup_says_so_and_uninstalling_does_without(cursor: Somebody) -> None:
    golden = cursor.path.read_bytes()
    install(cursor)
    cursor.path.with_name("mcp.json.planact-backup").unlink()
    before = cursor.files()

    with pytest.raises(HostError, match=r"backup.*gone"):
        undo(cursor)
    assert cursor.files() == before

    uninstall(cursor)
    assert cursor.path.read_bytes() == golden


def test_an_import_that_cannot_be_finished_leaves_both_files_as_they_were(cursor: Somebody) -> None:
    change = importing(cursor.place, cursor.mcp_json, cursor.machine, adopt=lambda _: LAUNCH).change
    # Planact's own file comes first; the host's changes in between.
    cursor.mcp_json.parent.mkdir()
    cursor.path.write_text("{}")

    with pytest.raises(HostError, match="changed by another program"):
        apply(change, cursor.journal)

    assert not cursor.mcp_json.exists()
    assert cursor.path.read_text() == "{}"


def test_a_damaged_journal_is_an_error_that_names_it(cursor: Somebody) -> None:
    cursor.journal.path.parent.mkdir()
    cursor.journal.path.write_text("[{}]")

    with pytest.raises(HostError, match=r"hosts\.json.*damaged"):
        Journal(cursor.journal.path).records()


def test_an_entry_of_ours_is_brought_up_to_date_and_keeps_what_the_user_added(cursor: Somebody) -> None:
    servers = {"planact": {"command": "/old/planact", "args": ["serve"], "env": {"A": "1"}, "disabled": True}}
    cursor.path.write_text(json.dumps({"mcpServers": servers}))

    install(cursor)

    assert json.loads(cursor.path.read_text()) == {
        "mcpServers": {"planact": {"command": COMMAND, "args": ["serve"], "env": {"A": "1"}}}
    }


def test_uninstalling_does_not_bring_an_older_entry_of_ours_back(cursor: Somebody) -> None:
    cursor.path.write_text('{"mcpServers": {"planact": {"command": "/old/planact"}, "x": {"command": "x"}}}')
    install(cursor)

    uninstall(cursor)

    assert json.loads(cursor.path.read_text()) == {"mcpServers": {"x": {"command": "x"}}}


@pytest.mark.parametrize("host", ["continue", "goose", "codex-cli", "opencode"])
def test_what_installing_made_goes_even_when_the_rest_was_changed_since(host: str, tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, "linux", host)
    somebody.path.parent.mkdir(parents=True)
    text = {"continue": "a: 1\n", "goose": "a: 1\n", "codex-cli": "a = 1\n", "opencode": '{\n  "a": 1\n}\n'}[host]
    somebody.path.write_text(text)
    install(somebody)
    somebody.path.write_text(somebody.path.read_text().replace("1", "2", 1))

    uninstall(somebody)

    assert somebody.path.read_text() == text.replace("1", "2")


def test_a_journal_in_an_impossible_place_leaves_the_host_as_it_was(cursor: Somebody) -> None:
    before = cursor.path.read_bytes()
    cursor.journal.path.parent.write_text("a file where the folder belongs")

    with pytest.raises(HostError, match=r"hosts\.json"):
        install(cursor)

    assert cursor.path.read_bytes() == before


def test_installing_again_keeps_the_options_that_a_user_has_added(cursor: Somebody) -> None:
    install(cursor)
    text = cursor.path.read_text().replace('"serve"', '"serve", "--config", "/x.toml"')
    assert "/x.toml" in text
    cursor.path.write_text(text)
    install(cursor)
    assert read(cursor.place).servers["planact"]["args"] == ["serve", "--config", "/x.toml"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("host", "name", "entry", "reason"),
    [
        ("zed", "sh", {"command": "sh", "args": ["-c", "D=1; echo ${D} ${D%x}"]}, "${D%x} is not understood"),
        ("zed", "sh", {"command": "sh", "args": ["-c", "D=1; echo ${D}"]}, "the variable D is not set"),
        ("cursor", "both", {"command": "x", "url": "http://x"}, "both 'command' and 'url'"),
        ("cursor", "", {"command": "x"}, "it has no name"),
        ("cursor", "pa", {"command": "uvx", "args": ["planact", "serve"]}, "it starts Planact itself"),
    ],
)
def test_what_planact_could_not_use_stays_in_the_host(
    host: str, name: str, entry: dict[str, object], reason: str, tmp_path: Path
) -> None:
    somebody = Somebody(tmp_path, "linux", host)
    somebody.path.parent.mkdir(parents=True)
    servers = {name: entry, "good": {"command": "x", "env": {"T": "${env:T}"} if host == "cursor" else {}}}
    somebody.path.write_text(json.dumps({somebody.place.dialect.keys[0]: servers}))

    done = importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=lambda _: LAUNCH)
    apply(done.change, somebody.journal)

    assert [(each.name, each.fate) for each in done.imports] == [(name, "unusable"), ("good", "added")]
    assert reason in done.imports[0].reason
    assert list(read(somebody.place).servers) == [name, "planact"]
    assert list(json.loads(somebody.mcp_json.read_text())["mcpServers"]) == ["good"]


def test_undoing_keeps_what_another_host_has_given_up_for_planact(tmp_path: Path) -> None:
    users: list[Somebody] = []
    for host in ("cursor", "windsurf"):
        (tmp_path / host).mkdir()
        somebody = Somebody(tmp_path / host, "linux", host)
        somebody.journal, somebody.mcp_json = Journal(tmp_path / "hosts.json"), tmp_path / "mcp.json"
        somebody.path.parent.mkdir(parents=True)
        somebody.path.write_text(json.dumps({"mcpServers": {"z1": {"command": "z"}, host: {"command": host}}}))
        done = importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=lambda _: LAUNCH)
        apply(done.change, somebody.journal)
        users.append(somebody)
    cursor, windsurf = users
    record = cursor.journal.last("cursor")
    assert record is not None

    change = undoing(record, cursor.journal.records())
    apply(change, cursor.journal)

    assert change.notices[0] == f"z1 stays in {cursor.mcp_json}: windsurf has given it up for Planact, too."
    assert json.loads(cursor.path.read_text())["mcpServers"] == {
        "z1": {"command": "z"},
        "cursor": {"command": "cursor"},
    }
    assert list(json.loads(cursor.mcp_json.read_text())["mcpServers"]) == ["z1", "windsurf"]

    install(cursor)
    apply(importing(cursor.place, cursor.mcp_json, cursor.machine, adopt=lambda _: LAUNCH).change, cursor.journal)
    uninstall(windsurf)
    record = cursor.journal.last("cursor")
    assert record is not None
    assert [text for text in undoing(record, cursor.journal.records()).notices if "stays" in text] == []


def test_another_configuration_replaces_the_one_before_and_other_options_stay(cursor: Somebody) -> None:
    for path in ("/a.toml", "/b.toml"):
        launch = Launch(command=COMMAND, args=("serve", "--config", path))
        apply(installing(cursor.place, launch), cursor.journal)
        text = cursor.path.read_text()
        others = '"serve", "-v", "-c", "/c.toml", "--config=/d.toml"'
        cursor.path.write_text(text.replace('"serve"', others) if '"-v"' not in text else text)
    assert read(cursor.place).servers["planact"]["args"] == ["serve", "--config", "/b.toml", "-v"]  # type: ignore[index]


def test_uninstalling_gives_back_what_every_adoption_has_taken(cursor: Somebody) -> None:
    cursor.path.write_text('{"mcpServers": {"a": {"command": "a"}}}')
    before = cursor.path.read_bytes()
    apply(importing(cursor.place, cursor.mcp_json, cursor.machine, adopt=lambda _: LAUNCH).change, cursor.journal)
    apply(installing(cursor.place, Launch(command="/new/planact", args=("serve",))), cursor.journal)
    uninstall(cursor)
    assert cursor.path.read_bytes() == before

    apply(importing(cursor.place, cursor.mcp_json, cursor.machine, adopt=lambda _: LAUNCH).change, cursor.journal)
    servers = json.loads(cursor.path.read_text())["mcpServers"]
    cursor.path.write_text(json.dumps({"mcpServers": {**servers, "b": {"command": "b"}}}))
    apply(importing(cursor.place, cursor.mcp_json, cursor.machine, adopt=lambda _: LAUNCH).change, cursor.journal)
    uninstall(cursor)
    assert json.loads(cursor.path.read_text())["mcpServers"] == {"a": {"command": "a"}, "b": {"command": "b"}}
