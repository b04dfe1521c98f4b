"""Fourteen hosts, three platforms: into their files and out again leaves every byte as it was."""

import json
from pathlib import Path
from typing import Any

import pytest

from hosts.golden_hosts import COMMAND, GOLDEN, PLATFORMS, Somebody
from planact_bridge.hosts import (
    ENTRY,
    Launch,
    Platform,
    apply,
    importing,
    installing,
    look,
    read,
    undoing,
    uninstalling,
)

LAUNCH = Launch(command=COMMAND, args=("serve",))


def adopting(passes: Any) -> Launch:
    return Launch(command=COMMAND, args=("serve",), passes=passes)


@pytest.fixture(params=GOLDEN)
def somebody(request: pytest.FixtureRequest, tmp_path: Path) -> Somebody:
    """One user for each host, on one platform or another."""
    return Somebody(tmp_path, PLATFORMS[list(GOLDEN).index(request.param) % 3], request.param)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("host", GOLDEN)
def test_in_adopted_undone_and_out_again_leaves_every_byte(host: str, platform: Platform, tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, platform, host)
    somebody.has_golden_file()
    before = somebody.files()

    apply(installing(somebody.place, LAUNCH), somebody.journal)
    installed = somebody.files()
    apply(importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=adopting).change, somebody.journal)
    adopted = somebody.path.read_bytes()
    record = somebody.journal.last(host)
    assert record is not None
    apply(undoing(record), somebody.journal)
    assert somebody.files() == installed
    apply(uninstalling(somebody.place, somebody.journal), somebody.journal)

    assert somebody.files() == before
    assert not somebody.mcp_json.exists()
    assert adopted != installed[somebody.golden.at[platform]] != before[somebody.golden.at[platform]]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("host", GOLDEN)
def test_a_hosts_files_are_where_the_platform_has_them(host: str, platform: Platform, tmp_path: Path) -> None:
    somebody = Somebody(tmp_path, platform, host)

    assert somebody.path == somebody.home / somebody.golden.at[platform]
    project = None if somebody.host.project is None else somebody.host.project(somebody.work)
    assert project == (None if somebody.golden.project is None else somebody.work / somebody.golden.project)


def test_installing_adds_one_entry_and_nothing_else(somebody: Somebody) -> None:
    before = somebody.has_golden_file()
    servers = read(somebody.place).servers

    apply(installing(somebody.place, LAUNCH), somebody.journal)

    assert read(somebody.place).servers == {**servers, ENTRY: somebody.golden.ours}
    assert without_our_lines(before, somebody.path.read_bytes())


def test_installing_twice_changes_nothing_the_second_time(somebody: Somebody) -> None:
    somebody.has_golden_file()
    apply(installing(somebody.place, LAUNCH), somebody.journal)
    once = somebody.files()

    assert not installing(somebody.place, LAUNCH).changed
    assert somebody.files() == once


def test_uninstalling_restores_the_very_bytes_and_leaves_no_backup(somebody: Somebody) -> None:
    somebody.has_golden_file()
    before = somebody.files()
    apply(installing(somebody.place, LAUNCH), somebody.journal)
    assert sorted(somebody.files()) == [name for path in before for name in (path, f"{path}.planact-backup")]

    apply(uninstalling(somebody.place, somebody.journal), somebody.journal)

    assert somebody.files() == before


@pytest.mark.parametrize("is_installed_before", [True, False])
def test_uninstalling_after_an_adoption_restores_the_very_bytes(somebody: Somebody, is_installed_before: bool) -> None:
    before = somebody.has_golden_file()
    if is_installed_before:
        apply(installing(somebody.place, LAUNCH), somebody.journal)
    apply(importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=adopting).change, somebody.journal)

    apply(uninstalling(somebody.place, somebody.journal), somebody.journal)

    assert somebody.path.read_bytes() == before


def test_uninstalling_without_any_record_removes_just_what_installing_adds(somebody: Somebody) -> None:
    before = somebody.has_golden_file()
    apply(installing(somebody.place, LAUNCH), somebody.journal)
    somebody.journal.path.unlink()

    apply(uninstalling(somebody.place, somebody.journal), somebody.journal)

    assert somebody.path.read_bytes() == before


def test_a_file_that_was_not_there_is_gone_again(somebody: Somebody) -> None:
    apply(installing(somebody.place, LAUNCH), somebody.journal)
    assert read(somebody.place).servers == {ENTRY: somebody.golden.ours}

    apply(uninstalling(somebody.place, somebody.journal), somebody.journal)

    assert list(somebody.home.iterdir()) == []


def test_an_import_writes_the_servers_in_planacts_spelling_and_leaves_the_host_alone(somebody: Somebody) -> None:
    somebody.has_golden_file()
    before = somebody.files()

    done = importing(somebody.place, somebody.mcp_json, somebody.machine)
    apply(done.change, somebody.journal)

    written = json.loads(somebody.mcp_json.read_text())["mcpServers"]
    home = json.dumps(str(somebody.home))[1:-1]
    assert written == json.loads(json.dumps(somebody.golden.imported).replace("HOME", home))
    assert {name: spelled for each in done.imports for name, spelled in each.passes.items()} == somebody.golden.passes
    assert somebody.files() == before
    assert somebody.mcp_json.stat().st_mode & 0o077 == 0


def test_adopting_leaves_planact_alone_in_the_host_and_passes_its_secrets_on(somebody: Somebody) -> None:
    somebody.has_golden_file()

    apply(importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=adopting).change, somebody.journal)

    servers = read(somebody.place).servers
    assert list(servers) == [*somebody.golden.stays, ENTRY]
    passes = somebody.golden.passes
    ours = somebody.host.dialect.adopt(servers[ENTRY], somebody.machine)
    assert set(ours.passes) == set(passes)


def test_undoing_an_adoption_restores_the_very_bytes_on_both_sides(somebody: Somebody) -> None:
    somebody.has_golden_file()
    before = somebody.files()
    somebody.mcp_json.parent.mkdir()
    mcp_json = b'{"mcpServers": {"mine": {"command": "x"}}} // one line\n'
    somebody.mcp_json.write_bytes(mcp_json)
    apply(importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=adopting).change, somebody.journal)
    assert "mine" in somebody.mcp_json.read_text()
    record = somebody.journal.last(somebody.host.name)
    assert record is not None

    apply(undoing(record), somebody.journal)

    assert somebody.files() == before
    assert somebody.mcp_json.read_bytes() == mcp_json
    assert somebody.journal.records() == []


def test_taking_planact_out_after_an_adoption_gives_the_host_its_servers_back(somebody: Somebody) -> None:
    somebody.has_golden_file()
    before = somebody.path.read_bytes()
    apply(importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=adopting).change, somebody.journal)

    change = uninstalling(somebody.place, somebody.journal)
    apply(change, somebody.journal)

    assert somebody.path.read_bytes() == before
    assert change.notices[0].startswith("Its own servers are in it again: ")
    assert somebody.mcp_json.exists()  # Planact keeps them, too


def test_taking_planact_out_gives_the_servers_back_whatever_else_has_changed(somebody: Somebody) -> None:
    somebody.has_golden_file()
    servers = read(somebody.place).servers
    apply(installing(somebody.place, LAUNCH), somebody.journal)
    apply(importing(somebody.place, somebody.mcp_json, somebody.machine, adopt=adopting).change, somebody.journal)

    apply(uninstalling(somebody.place, somebody.journal), somebody.journal)

    assert read(somebody.place).servers == servers


def test_looking_shows_the_other_servers(somebody: Somebody) -> None:
    somebody.has_golden_file()

    seen = look(somebody.place, somebody.machine)

    parts_of_the_host = {"developer", "postgres-context-server"}
    assert (seen.exists, seen.planact, seen.problem) == (True, None, None)
    assert set(seen.servers) == {*somebody.golden.imported, *somebody.golden.stays} - parts_of_the_host


def without_our_lines(before: bytes, after: bytes) -> bool:
    """Return whether every line from before is still there, in order; a comma may have been added to one."""
    left = iter(after.split(b"\n"))
    missing = [line for line in before.split(b"\n") if not any(same(line, other) for other in left)]
    return not missing


def same(line: bytes, other: bytes) -> bool:
    return (
        line == other or (line.replace(b",", b"") == other.replace(b",", b"")) or other.startswith(line.rstrip(b"}\r"))
    )
