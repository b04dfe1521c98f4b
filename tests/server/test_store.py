"""What outlives a process, on real files."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from planact_server.sessions import SavedSession
from planact_server.store import FILE_NAME, RememberedDecision, Retention, Store, StoredRun, StoreError
from planact_tools import JSONObject, ToolDefinition

ANSWER: JSONObject = {"status": "ok", "variables": {"z": [3, 5], "é": None}}
posix_only = pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def save(store: Store, run: str, answer: JSONObject = ANSWER) -> None:
    store.save_run(run, client="local", session="s_1", answer=answer)


def test_a_run_is_there_for_the_next_process(tmp_path: Path) -> None:
    clock = Clock()
    with Store.open(tmp_path / "deep" / "state", clock=clock) as store:
        save(store, "r_1")
    with Store.open(tmp_path / "deep" / "state", clock=clock) as store:
        assert store.load_run("r_1") == ("local", ANSWER)
        assert store.list_runs() == (
            StoredRun(run="r_1", client="local", session="s_1", status="ok", ended=1_000_000.0),
        )
        assert store.load_run("r_2") is None
        assert store.notices == ()


def test_runs_are_listed_newest_first_up_to_a_limit(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=lambda: 7.0) as store:
        for run in ("r_1", "r_2", "r_3"):
            save(store, run)
        assert [stored.run for stored in store.list_runs(2)] == ["r_3", "r_2"]


def test_saving_a_run_again_replaces_it(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        save(store, "r_1")
        save(store, "r_1", {"status": "error"})
        assert store.load_run("r_1") == ("local", {"status": "error"})


def test_an_answer_that_json_cannot_carry_is_kept_as_far_as_it_can(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        save(store, "r_1", {"status": "ok", "result": [float("nan"), "\ud800"]})
        assert store.load_run("r_1") == ("local", {"status": "ok", "result": ["nan", "\\ud800"]})


def test_a_session_comes_back_until_it_is_forgotten(tmp_path: Path) -> None:
    saved = SavedSession(
        session="s_1",
        client="local",
        variables={"x": [1, {"y": None}]},
        definitions={"f": "def f(): ..."},
        unsaved=("helper",),
    )
    with Store.open(tmp_path) as store:
        store.save_session(saved)
    with Store.open(tmp_path) as store:
        assert store.load_session("s_1") == saved
        assert store.forget_session("s_1") is True
        assert store.forget_session("s_1") is False
        assert store.load_session("s_1") is None


def test_a_catalogue_comes_back_by_identity(tmp_path: Path) -> None:
    definitions = (
        ToolDefinition(name="a", read_only=True, output_schema={"type": "string"}),
        ToolDefinition(name="b", description="é", title="B", destructive=True, icons=[{"src": "data:,x"}]),
    )
    with Store.open(tmp_path) as store:
        store.save_definitions("npx server", definitions)
        assert store.cached_definitions("npx server") == definitions
        assert store.cached_definitions("npx other") is None


def test_the_era_of_a_server_is_kept_apart_from_its_catalogue(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.save_era("npx server", "handshake")
        store.save_era("npx server", "stateless")
    with Store.open(tmp_path) as store:
        assert store.cached_era("npx server") == "stateless"
        assert store.cached_era("npx other") is None


def test_a_catalogue_of_another_version_is_no_catalogue(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.save_definitions("id", [ToolDefinition(name="a")])
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("""UPDATE catalogues SET definitions = '[{"name": "a", "colour": 1}]'""")
    db.close()
    with Store.open(tmp_path) as store:
        assert store.cached_definitions("id") is None


def test_trust_in_a_folder_is_remembered_and_taken_back(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.trust_folder("/p", {"planact.toml": "aa"})
        store.trust_folder("/p", {"planact.toml": "bb", "mcp.json": "cc"})
        store.trust_folder("/a", {})
        assert store.trusted_folder("/p") == {"planact.toml": "bb", "mcp.json": "cc"}
        assert store.trusted_folders() == ("/a", "/p")
        assert store.distrust_folder("/p") is True
        assert store.distrust_folder("/p") is False
        assert store.trusted_folder("/p") is None


def test_decisions_are_remembered_by_identity_and_tool(tmp_path: Path) -> None:
    first = RememberedDecision(identity="npx git", tool="commit", definition_hash="h1", verdict="allow")
    second = RememberedDecision(identity="npx git", tool="", definition_hash="h2", verdict="deny")
    with Store.open(tmp_path) as store:
        store.save_decision(RememberedDecision(identity="npx git", tool="commit", definition_hash="h", verdict="deny"))
        store.save_decision(first)
        store.save_decision(second)
        assert store.decisions("npx git") == (second, first)
        assert store.decisions("npx other") == ()
        assert store.forget_decision("npx git", "commit") is True
        assert store.decisions("npx git") == (second,)


def test_old_runs_sessions_and_catalogues_go_when_the_store_is_opened(tmp_path: Path) -> None:
    clock = Clock()
    keep = Retention(run_seconds=100, session_seconds=100, catalogue_seconds=100)

    def fill(store: Store, name: str) -> None:
        save(store, name)
        store.save_session(SavedSession(session=name, client="local", variables={}))
        store.save_definitions(name, [])

    with Store.open(tmp_path, clock=clock) as store:
        fill(store, "old")
        store.trust_folder("/p", {})
        clock.now += 101
        fill(store, "new")
    with Store.open(tmp_path, clock=clock, retention=keep) as store:
        assert [(store.load_run(n), store.load_session(n), store.cached_definitions(n)) for n in ("old", "new")] == [
            (None, None, None),
            (("local", ANSWER), SavedSession(session="new", client="local", variables={}), ()),
        ]
        assert store.trusted_folder("/p") == {}


@pytest.mark.parametrize(
    "keep", [Retention(runs=2), Retention(run_bytes=3_000)], ids=["by count", "by size of the newest together"]
)
def test_only_the_newest_runs_stay(tmp_path: Path, keep: Retention) -> None:
    clock = Clock()
    with Store.open(tmp_path, clock=clock) as store:
        for number in range(5):
            clock.now += 1
            save(store, f"r_{number}", {"status": "ok", "output": "x" * 1_000})
    with Store.open(tmp_path, clock=clock, retention=keep) as store:
        assert [stored.run for stored in store.list_runs()] == ["r_4", "r_3"]


def test_only_the_newest_sessions_stay(tmp_path: Path) -> None:
    with Store.open(tmp_path, clock=lambda: 1.0) as store:
        for number in range(4):
            store.save_session(SavedSession(session=f"s_{number}", client="local", variables={}))
    with Store.open(tmp_path, clock=lambda: 1.0, retention=Retention(sessions=2)) as store:
        assert [store.load_session(f"s_{n}") is not None for n in range(4)] == [False, False, True, True]


@posix_only
def test_only_the_owner_can_read_the_state(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with Store.open(folder) as store:
        save(store, "r_1")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"state": 0o700, FILE_NAME: 0o600, f"{FILE_NAME}-wal": 0o600, f"{FILE_NAME}-shm": 0o600}


@posix_only
def test_a_folder_that_others_may_write_to_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with Store.open(tmp_path) as store:
        assert store.notices == (f"Other users may write to the state folder {tmp_path}: chmod 700 {tmp_path}",)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_damaged_file_is_moved_aside_and_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with Store.open(tmp_path, clock=lambda: 77.0) as store:
        save(store, "r_1")
        assert store.load_run("r_1") == ("local", ANSWER)
        [notice] = store.notices
    assert f"is kept as '{FILE_NAME}.damaged-77'" in notice
    assert (tmp_path / f"{FILE_NAME}.damaged-77").read_bytes() == content


def test_damage_found_while_working_is_survived(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for number in range(50):
            save(store, f"r_{number}", {"status": "ok", "output": "x" * 5_000})
    path = tmp_path / FILE_NAME
    with Store.open(tmp_path) as store:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        assert store.load_run("r_7") is None
        save(store, "r_new")
        assert store.load_run("r_new") == ("local", ANSWER)
        assert len(store.notices) == 1
    assert len(list(tmp_path.glob("*.damaged-*"))) >= 1


def test_a_second_damaged_file_does_not_replace_the_first(tmp_path: Path) -> None:
    for content in (b"one" * 400, b"two" * 400):
        (tmp_path / FILE_NAME).write_bytes(content)
        Store.open(tmp_path, clock=lambda: 5.0).close()
    kept = {path.name: path.read_bytes()[:3] for path in tmp_path.glob("*.damaged-*")}
    assert kept == {f"{FILE_NAME}.damaged-5": b"one", f"{FILE_NAME}.damaged-5-1": b"two"}


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match=r"written by a newer Planact \(version 99; this one knows \d+\)"):
        Store.open(tmp_path)
    assert list(tmp_path.glob("*.damaged-*")) == []


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="PLANACT_HOME names another folder"):
        Store.open(tmp_path / "file" / "state")


def test_a_closed_store_says_so_and_closing_twice_is_fine(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.load_run("r_1")


def test_looking_for_a_store_creates_nothing(tmp_path: Path) -> None:
    assert not Store.exists(tmp_path)
    assert list(tmp_path.iterdir()) == []
    Store.open(tmp_path).close()
    assert Store.exists(tmp_path)


def test_threads_share_a_store(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        threads = [threading.Thread(target=save, args=(store, f"r_{number}")) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.list_runs(100)) == 20


WRITER = """
import sys
from pathlib import Path
from planact_server.store import Store
with Store.open(Path(sys.argv[1])) as store:
    for number in range(40):
        store.save_run(f"r_{sys.argv[2]}_{number}", client="c", session="s", answer={"status": "ok"})
"""


def test_processes_share_a_file_that_neither_has_made_yet(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], stderr=subprocess.PIPE)
        for name in ("one", "two", "three")
    ]
    errors = [writer.communicate(timeout=60)[1] for writer in writers]
    assert errors == [b"", b"", b""]
    with Store.open(tmp_path) as store:
        assert len(store.list_runs(1_000)) == 120
        assert store.notices == ()


def test_a_second_store_of_a_process_takes_no_lock_of_the_first_away(tmp_path: Path) -> None:
    """Another process that is the last to leave clears the log away; it must see that somebody is still there."""
    with Store.open(tmp_path) as store:
        save(store, "r_1")
        with Store.open(tmp_path):
            pass
        for number in range(3):
            subprocess.run([sys.executable, "-c", WRITER, str(tmp_path), f"other{number}"], check=True, timeout=60)
            save(store, f"r_{number + 2}")
            assert len(store.list_runs(1_000)) == 40 * (number + 1) + number + 2
    with Store.open(tmp_path) as store:
        assert len(store.list_runs(1_000)) == 124


def test_half_a_character_is_an_error_that_says_so(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for look_up in (store.cached_era, store.load_run, lambda name: save(store, name)):
            with pytest.raises(StoreError, match="Half a character"):
                look_up("s_\ud800")


class FailingCommits(sqlite3.Connection):
    fails = False

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.fails:
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *values)  # type: ignore[arg-type]


def test_a_transaction_that_cannot_be_committed_holds_up_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=FailingCommits, **options))
    with Store.open(tmp_path) as store:
        monkeypatch.setattr(FailingCommits, "fails", True)
        with pytest.raises(StoreError, match="disk is full"):
            save(store, "r_1")
        monkeypatch.setattr(FailingCommits, "fails", False)
        save(store, "r_2")
        assert [run.run for run in store.list_runs(10)] == ["r_2"]
