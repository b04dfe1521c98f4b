"""The models on this machine: what is recorded, found, replaced and removed."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from planact_quantized.models import large_files
from planact_quantized.models.candidates import examine, safe_name
from planact_quantized.models.gguf import GGUFError
from planact_quantized.models.large_files import NoSpaceError
from planact_quantized.models.store import ModelError, ModelNotFoundError, ModelStore
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "state" / "models")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_gguf(tmp_path / "tiny.F16.gguf")


def files(store: ModelStore) -> list[str]:
    """Every file in the store's folder, locks aside."""
    found = (path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith(".lock"))


def test_a_new_store_is_empty_and_makes_no_folder(store: ModelStore) -> None:
    assert store.models() == ()
    assert not store.folder.exists()


def test_an_added_file_is_recorded_with_what_its_header_says(store: ModelStore, tiny: Path) -> None:
    model = store.add(examine(tiny)).model
    assert store.models() == (model,)
    assert (model.id, model.quantization, model.architecture, model.owned) == ("tiny.F16", "F16", "qwen2", True)
    assert model.path == store.folder / "tiny.F16.gguf"
    assert model.sha256 == hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert (model.bytes, model.problem, model.source) == (tiny.stat().st_size, None, str(tiny))
    assert files(store) == ["index.json", "tiny.F16.gguf"]


def test_the_users_own_file_may_be_overwritten_in_place(store: ModelStore, tiny: Path) -> None:
    before, told = tiny.read_bytes(), list[int]()
    model = store.add(examine(tiny), report=lambda done, total: told.append(done)).model
    make_gguf(tiny, seed=1)
    assert model.path.read_bytes() == before
    assert told[-1] == len(before)
    assert store.models()[0].problem is None


def test_a_copy_needs_room(store: ModelStore, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_files, "free_bytes", lambda folder: large_files.SPARE_BYTES)
    with pytest.raises(NoSpaceError, match=r"'tiny.F16.gguf' needs 223 kB"):
        store.add(examine(tiny))
    assert files(store) == []


def test_an_interrupted_copy_leaves_nothing(store: ModelStore, tiny: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add(examine(tiny), report=interrupt)
    assert files(store) == []
    assert store.models() == ()


def test_what_a_process_that_died_left_is_swept_away_after_a_day(store: ModelStore, tiny: Path) -> None:
    old, new = (store.incoming / f"{digit * 16}.gguf" for digit in "ab")
    kept = store.incoming / "coder.gguf.partial"
    for path in (old, new, kept):
        path.write_bytes(b"x")
    for path in (old, kept):
        os.utime(path, (0, 0))
    store.add(examine(tiny))
    assert [path.exists() for path in (old, new, kept)] == [False, True, True]


def test_the_same_content_is_there_once(store: ModelStore, tiny: Path, tmp_path: Path) -> None:
    first = store.add(examine(tiny))
    again = store.add(examine(make_gguf(tmp_path / "other name.gguf")))
    assert (first.already_there, again.already_there) == (False, True)
    assert again.model == first.model
    assert files(store) == ["index.json", "tiny.F16.gguf"]


def test_other_content_of_the_same_name_gets_a_name_of_its_own(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny))
    other = make_gguf(tiny, seed=1)
    assert store.add(examine(other)).model.path == store.folder / "tiny.F16-2.gguf"
    assert [model.id for model in store.models()] == ["tiny.F16", "tiny.F16-2"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-x", "a b", "x" * 101, "ü"])
def test_a_name_that_could_be_mistaken_is_refused(store: ModelStore, tiny: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be a model's name"):
        store.add(examine(tiny), name=name)
    assert store.models() == ()


def test_a_name_that_is_taken_is_refused(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny), name="mine")
    with pytest.raises(ModelError, match="There is already a model 'mine'"):
        store.add(examine(make_gguf(tiny, seed=1)), name="mine")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("..", "model"),
        ("a b/c:d", "a-b-c-d"),
        (".hidden", "hidden"),
        ("Ünï", "n"),
        ("", "model"),
        ("con\x00\n", "con"),
    ],
)
def test_a_name_from_anywhere_becomes_one_part_of_a_path(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_linked_file_is_only_referred_to(store: ModelStore, tiny: Path) -> None:
    model = store.add(examine(tiny), link=True).model
    assert (model.path, model.owned) == (tiny, False)
    assert files(store) == ["index.json"]
    store.remove(model.id)
    assert tiny.exists()
    assert store.models() == ()


@pytest.mark.parametrize("name", ["tiny.F16", "TINY.f16", "tiny", "tiny.F16.gguf"])
def test_a_model_is_found_by_id_beginning_or_file_name(store: ModelStore, tiny: Path, name: str) -> None:
    model = store.add(examine(tiny)).model
    assert store.find(name) == model
    assert store.find(str(model.path)) == model


def test_a_beginning_of_several_is_said_to_be_one(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny), name="coder-a")
    store.add(examine(make_gguf(tiny, seed=1)), name="coder-b")
    with pytest.raises(ModelNotFoundError, match="beginning of several models: coder-a, coder-b"):
        store.find("coder")


def test_a_known_model_that_is_not_here_comes_with_the_command_that_fetches_it(store: ModelStore) -> None:
    with pytest.raises(ModelNotFoundError, match=r"`planact models pull tiny-agent-a-0.5b:Q4_K_M` fetches it"):
        store.resolve("tiny-agent-a-0.5b")


def test_any_file_can_be_resolved_without_being_recorded(store: ModelStore, tiny: Path) -> None:
    model = store.resolve(str(tiny))
    assert (model.path, model.owned, model.quantization) == (tiny, False, "F16")
    assert store.models() == ()


def test_a_path_of_a_user_who_does_not_exist_is_no_model(store: ModelStore) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no file '~nobody"):
        store.resolve("~nobody-of-that-name/tiny.gguf")


def test_a_file_that_was_replaced_is_looked_at_again(store: ModelStore, tiny: Path) -> None:
    before = store.add(examine(tiny), link=True, name="mine").model
    make_gguf(tiny, seed=1, layers=3)
    assert store.find("mine").problem == "its file was changed"
    after = store.resolve("mine")
    assert after.sha256 == hashlib.sha256(tiny.read_bytes()).hexdigest() != before.sha256
    assert after.parameters > before.parameters
    assert store.find("mine") == after
    assert after.problem is None


def test_a_file_that_was_replaced_by_garbage_is_refused(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny), link=True, name="mine")
    tiny.write_bytes(b"garbage")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        store.resolve("mine")


def test_a_file_that_is_gone_is_said_to_be_and_makes_room_for_a_new_one(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny)).model.path.unlink()
    assert store.models()[0].problem == "its file is gone"
    with pytest.raises(ModelError, match=r"is gone: .*`planact models rm tiny.F16` forgets it"):
        store.resolve("tiny.F16")
    assert store.add(examine(tiny)).model.problem is None
    assert [model.id for model in store.models()] == ["tiny.F16"]


def test_removing_deletes_our_file_and_nothing_else(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny), name="a")
    store.add(examine(make_gguf(tiny.with_name("b.gguf"), seed=1)), name="b")
    store.remove("a")
    assert [model.id for model in store.models()] == ["b"]
    assert files(store) == ["b.gguf", "index.json"]
    assert tiny.exists()


def test_an_index_that_calls_a_strangers_file_ours_deletes_nothing(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny))
    index = store.folder / "index.json"
    record = json.loads(index.read_text())
    for path in ("../../tiny.F16.gguf", str(tiny)):
        record["models"][0]["path"] = path
        index.write_text(json.dumps(record))
        store.remove("tiny.F16")
        assert tiny.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1, "models": [{}]}', '{"version": 99}', "\0" * 100])
def test_a_damaged_index_is_rebuilt_from_what_lies_there(store: ModelStore, tiny: Path, damage: str) -> None:
    store.add(examine(tiny))
    (store.folder / "broken.gguf").write_bytes(b"GGUF")
    (store.incoming / "half.gguf").write_bytes(tiny.read_bytes())
    (store.folder / "index.json").write_text(damage)
    (model,) = store.models()
    assert (model.id, model.path, model.origin, model.owned) == (
        "tiny.F16",
        store.folder / "tiny.F16.gguf",
        "found",
        True,
    )
    assert any("was damaged" in notice for notice in store.notices)
    assert any("Left out: 'broken.gguf'" in notice for notice in store.notices)
    aside = [name for name in files(store) if name.startswith("index.damaged-")]
    assert [(store.folder / name).read_text() for name in aside] == [damage]
    assert ModelStore(store.folder).models() == (model,)


def test_an_index_with_a_path_that_no_file_has_is_rebuilt(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny))
    index = store.folder / "index.json"
    record = json.loads(index.read_text())
    record["models"][0]["path"] = "a\0b"
    index.write_text(json.dumps(record))
    (model,) = store.models()
    assert (model.path, model.problem) == (store.folder / "tiny.F16.gguf", None)
    assert any("null character" in notice for notice in store.notices)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_an_index_that_is_no_file_is_put_aside(store: ModelStore, tiny: Path, make: Callable[[Path], None]) -> None:
    """Reading a pipe would wait for ever."""
    store.add(examine(tiny))
    (store.folder / "index.json").unlink()
    make(store.folder / "index.json")
    assert [model.id for model in store.models()] == ["tiny.F16"]
    assert any("it is not a file" in notice for notice in store.notices)


def test_what_a_newer_planact_wrote_is_kept(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny))
    index = store.folder / "index.json"
    record = json.loads(index.read_text())
    record["models"][0]["measured"] = record["news"] = {"speed": 12}
    index.write_text(json.dumps(record))
    store.accept("some-licence", how="flag")
    after = json.loads(index.read_text())
    assert after["models"][0]["measured"] == after["news"] == {"speed": 12}


def test_a_licence_is_accepted_once_and_for_good(store: ModelStore) -> None:
    assert not store.accepted("qwen-research")
    store.accept("qwen-research", how="terminal")
    assert ModelStore(store.folder).accepted("qwen-research")
    assert not store.accepted("another")


def test_what_has_arrived_of_a_download_can_be_thrown_away(store: ModelStore) -> None:
    (store.incoming / "big.gguf.partial").write_bytes(b"x" * 1000)
    (store.incoming / "nothing.gguf.partial").write_bytes(b"")
    assert store.arriving() == {"big.gguf": 1000}
    assert store.discard_arriving("other.gguf") is None
    assert store.discard_arriving("big.gguf") == 1000
    assert store.arriving() == {}


def test_what_another_process_takes_away_meanwhile_is_no_hindrance(store: ModelStore, tiny: Path) -> None:
    for name in ("0123456789abcdef.gguf", "big.gguf.partial"):
        (store.incoming / name).symlink_to(store.incoming / "gone")  # listed, and not there when it is looked at
    assert store.arriving() == {}
    assert store.add(examine(tiny)).model.id == "tiny.F16"


def test_a_file_that_goes_while_it_is_looked_at_again_is_named(store: ModelStore, tiny: Path) -> None:
    model = store.add(examine(tiny)).model
    with pytest.raises(ModelError, match=r"tiny\.F16\.gguf' cannot be used: No such file"):
        store.refreshed(model, report=lambda *_: model.path.unlink(missing_ok=True))


def test_a_record_with_a_path_that_is_too_long_is_named(store: ModelStore, tiny: Path) -> None:
    store.add(examine(tiny))
    index = store.folder / "index.json"
    record = json.loads(index.read_text())
    record["models"][0]["path"] = "x" * 300
    index.write_text(json.dumps(record))
    with pytest.raises(ModelError, match="File name too long"):
        store.resolve("tiny.F16")


def test_a_rebuild_that_is_interrupted_is_done_the_next_time(
    store: ModelStore, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(examine(tiny))
    (store.folder / "index.json").write_text("{")

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("planact_quantized.models.store.examine", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.models()
    assert [model.id for model in store.models()] == ["tiny.F16"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError, match=r"file.* cannot be used"):
        ModelStore(tmp_path / "file" / "models").add(examine(tiny))


def test_what_cannot_be_a_model_is_never_a_candidate(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="no weights"):
        examine(make_gguf(tmp_path / "m.gguf", tensors=False))


ADD = """
import sys
from pathlib import Path
from planact_quantized.models.candidates import examine
from planact_quantized.models.store import ModelStore
store, candidate = ModelStore(Path(sys.argv[1])), examine(Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
store.add(candidate)
"""


@pytest.mark.check
def test_processes_that_add_at_once_do_not_lose_each_others_models(store: ModelStore, tmp_path: Path) -> None:
    paths = [make_gguf(tmp_path / f"m{number}.gguf", seed=number) for number in range(4)]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-P", "-c", ADD, store.folder, path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for path in paths
        ]
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.wait(30) for process in processes] == [0] * 4
    assert [model.id for model in store.models()] == ["m0", "m1", "m2", "m3"]
