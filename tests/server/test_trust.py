"""Whether a folder's files are still the ones that the user trusted."""

import os
from pathlib import Path

import pytest

from planact_server.store import Store
from planact_server.trust import (
    MOST_FILE_BYTES,
    FolderFiles,
    TrustError,
    changes,
    examine,
    fingerprint,
    local_pack,
    trust_folder,
)

PACK = "def hello(): ...\n"
needs_links = pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    (place / "tools" / "inner").mkdir(parents=True)
    (place / "planact.toml").write_text('packs = ["calendar", "./mine.py", "./tools"]\n')
    (place / "mcp.json").write_text('{"mcpServers": {}}')
    (place / "mine.py").write_text(PACK)
    (place / "tools" / "a.py").write_text(PACK)
    (place / "tools" / "inner" / "b.py").write_text(PACK)
    return place


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "state") as opened:
        yield opened


def examined(folder: Path) -> FolderFiles:
    files = examine(folder)
    assert files is not None
    return files


def changed(folder: Path, store: Store) -> tuple[str, ...]:
    trusted = store.trusted_folder(str(folder.resolve()))
    assert trusted is not None
    return changes(examined(folder), trusted)


def test_a_folder_with_neither_file_brings_nothing(tmp_path: Path) -> None:
    assert examine(tmp_path) is None


def test_the_fingerprint_covers_both_files_and_the_packs_that_they_name(folder: Path) -> None:
    assert list(fingerprint(examined(folder))) == [
        "planact.toml",
        "mcp.json",
        "./mine.py",
        "./tools/a.py",
        "./tools/inner/b.py",
    ]
    assert examined(folder).packs == {"./mine.py": folder / "mine.py", "./tools": folder / "tools"}
    assert examined(folder).names == ("planact.toml", "mcp.json")


def test_an_unchanged_folder_stays_trusted(folder: Path, store: Store) -> None:
    trust_folder(store, examined(folder))
    assert changed(folder, store) == ()


def test_a_cache_that_python_writes_is_no_change(folder: Path, store: Store) -> None:
    trust_folder(store, examined(folder))
    (folder / "tools" / "__pycache__").mkdir()
    (folder / "tools" / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"x")
    assert changed(folder, store) == ()


def test_every_change_is_named(folder: Path, store: Store) -> None:
    trust_folder(store, examined(folder))
    (folder / "mcp.json").unlink()
    (folder / "mine.py").write_text("import os\n")
    (folder / "tools" / "c.py").write_text(PACK)
    assert changed(folder, store) == ("./mine.py changed", "./tools/c.py is new", "mcp.json is gone")


def test_a_pack_file_that_appears_later_is_a_change(folder: Path, store: Store) -> None:
    (folder / "mine.py").unlink()
    trust_folder(store, examined(folder))
    (folder / "mine.py").write_text("import os\n")
    assert changed(folder, store) == ("./mine.py is new",)


def test_another_folder_with_the_same_files_is_not_trusted(folder: Path, store: Store, tmp_path: Path) -> None:
    trust_folder(store, examined(folder))
    folder.rename(tmp_path / "elsewhere")
    assert store.trusted_folder(str((tmp_path / "elsewhere").resolve())) is None


@needs_links
def test_a_link_to_the_folder_is_the_folder(folder: Path, store: Store, tmp_path: Path) -> None:
    trust_folder(store, examined(folder))
    (tmp_path / "link").symlink_to(folder)
    assert changed(tmp_path / "link", store) == ()


@needs_links
def test_a_linked_file_is_trusted_by_what_it_leads_to(folder: Path, store: Store, tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    target.write_text("{}")
    (folder / "mcp.json").unlink()
    (folder / "mcp.json").symlink_to(target)
    trust_folder(store, examined(folder))
    assert changed(folder, store) == ()
    target.write_text('{"mcpServers": {"evil": {"command": "x"}}}')
    assert changed(folder, store) == ("mcp.json changed",)


@needs_links
def test_a_pack_that_links_to_another_folder_cannot_be_trusted(folder: Path, store: Store, tmp_path: Path) -> None:
    (folder / "tools" / "linked").symlink_to(tmp_path)
    with pytest.raises(TrustError, match=r"linked' is a link to a folder"):
        trust_folder(store, examined(folder))


@needs_links
@pytest.mark.parametrize("name", ["planact.toml", "mcp.json"])
def test_a_pipe_is_refused_without_waiting(tmp_path: Path, name: str, store: Store) -> None:
    os.mkfifo(tmp_path / name)
    files = examined(tmp_path)
    assert files.problem == f"{str(tmp_path.resolve() / name)!r} is a pipe or device, not a file."
    with pytest.raises(TrustError, match="is a pipe or device"):
        trust_folder(store, files)


@needs_links
def test_a_pipe_as_a_pack_is_refused_without_waiting(folder: Path) -> None:
    (folder / "mine.py").unlink()
    os.mkfifo(folder / "mine.py")
    with pytest.raises(TrustError, match="is a pipe or device"):
        fingerprint(examined(folder))


@needs_links
def test_an_endless_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "planact.toml").symlink_to("/dev/zero")
    assert "is a pipe or device" in str(examined(tmp_path).problem)


@needs_links
def test_a_link_that_leads_nowhere_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "planact.toml").symlink_to(tmp_path / "nothing")
    assert examine(tmp_path) is None


@needs_links
def test_a_link_to_itself_is_reported(tmp_path: Path) -> None:
    (tmp_path / "planact.toml").symlink_to(tmp_path / "planact.toml")
    assert "cannot be read" in str(examined(tmp_path).problem)


def test_a_folder_in_the_place_of_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").mkdir()
    assert examined(tmp_path).problem == f"{str(tmp_path.resolve() / 'mcp.json')!r} is a folder, not a file."


def test_an_enormous_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "planact.toml").write_bytes(b"#" * (MOST_FILE_BYTES + 1))
    assert str(examined(tmp_path).problem).endswith(f"is larger than {MOST_FILE_BYTES:,} bytes.")


@pytest.mark.parametrize("text", ["packs = 3", "packs = [1, []]", "packs = [", "[packs]\na = 1", '"\\uD800"'])
def test_packs_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "planact.toml").write_text(text)
    assert examined(tmp_path).packs == {}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("calendar", None),
        ("my-pack", None),
        ("./mine.py", "mine.py"),
        ("mine.py", "mine.py"),
        ("tools/more", "tools/more"),
        ("../up", "../up"),
        (".", "."),
    ],
)
def test_a_pack_is_local_when_it_looks_like_a_path(tmp_path: Path, spec: str, path: str | None) -> None:
    assert local_pack(spec, tmp_path) == (None if path is None else tmp_path / path)
