"""Nothing outside the root: whatever the path says, whatever lies in the folder, whoever swaps links in.

Each test has a sentinel beside the root. Both kinds of Folder must hold; the one for Windows runs here, too.
"""

import contextlib
import errno
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planact_tools import ToolCall, ToolError, load_pack
from planact_tools.packs import files as files_pack
from planact_tools.packs.files import Files
from planact_tools.packs.rooted import Folder, RefusedError, descend
from planact_tools.packs.rooted.paths import PathFolder

if sys.platform == "win32":
    pytest.skip("making links needs a privilege on Windows", allow_module_level=True)

from planact_tools.packs.rooted import descriptors
from planact_tools.packs.rooted.descriptors import DescriptorFolder

SECRET = "the sentinel's own text"


@pytest.fixture(params=[DescriptorFolder, PathFolder])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Folder]:
    """How a root is opened; the tools use it, too."""
    monkeypatch.setattr(files_pack, "open_root", request.param.open_root)
    return request.param.open_root


@pytest.fixture
def outside(tmp_path: Path) -> Generator[Path]:
    """A folder beside the root, which must be the same at the end."""
    folder = tmp_path / "outside"
    make_outside(folder)
    yield folder
    assert snapshot(folder) == {"secret": SECRET, "sub": None, "sub/secret": SECRET}


def make_outside(folder: Path) -> None:
    (folder / "sub").mkdir(parents=True)
    (folder / "secret").write_text(SECRET)
    (folder / "sub" / "secret").write_text(SECRET)


def snapshot(folder: Path) -> dict[str, str | None]:
    found = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else None for path in found}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def every_call(files: Files, path: str) -> Iterator[Callable[[], object]]:
    """Every tool, with this path wherever a path can be given."""
    yield lambda: files.read_text(path)
    yield lambda: files.list_directory(path)
    yield lambda: files.file_info(path)
    yield lambda: files.find_files("**", path)
    yield lambda: files.search_text("sentinel", path=path)
    yield lambda: files.find_files(path)
    yield lambda: files.search_text("sentinel", pattern=path)
    yield lambda: files.write_text(path, "written")
    yield lambda: files.append_text(path, "appended")
    yield lambda: files.make_directory(path)
    yield lambda: files.move("own", path)
    yield lambda: files.write_text("own", "again")
    yield lambda: files.move("own", path, overwrite=True)
    yield lambda: files.move(path, "moved")
    yield lambda: files.move(path, "moved", overwrite=True)
    yield lambda: files.delete(path)


_NAMES = st.sampled_from(
    ["..", ".", "", "in", "out", "deep", "secret", "sub", "loop", "gone", "file", "own", "~", "..."]
)
_PATHS = st.lists(_NAMES, min_size=1, max_size=5).map("/".join) | st.sampled_from(
    ["/", "//", "../outside/secret", "in/../../outside/secret", "..\\outside\\secret", "{outside}/secret", "{outside}"]
)


def make_tricky_root(root: Path, outside: Path) -> None:
    """A folder full of links that lead out, in, nowhere and round in circles."""
    (root / "in" / "deep").mkdir(parents=True)
    (root / "file").write_text("file")
    (root / "own").write_text("own")
    (root / "out").symlink_to(outside)
    (root / "secret").symlink_to(outside / "secret")
    (root / "gone").symlink_to(outside / "new")
    (root / "loop").symlink_to(root)
    (root / "in" / "out").symlink_to(Path("..", "..", "outside"))
    (root / "in" / "deep" / "secret").symlink_to(outside / "sub" / "secret")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.lists(_PATHS, min_size=1, max_size=4))
def test_no_path_reads_or_changes_anything_outside(
    opener: Callable[[Path], Folder], tmp_path_factory: pytest.TempPathFactory, paths: list[str]
) -> None:
    base = tmp_path_factory.mktemp("containment").resolve()
    root, outside = base / "root", base / "outside"
    make_outside(outside)
    make_tricky_root(root, outside)
    files = Files(root)
    try:
        for path in paths:
            for call in every_call(files, path.format(outside=outside)):
                with contextlib.suppress(ToolError):
                    assert SECRET not in repr(call())
        assert snapshot(outside) == {"secret": SECRET, "sub": None, "sub/secret": SECRET}
        assert sorted(path.name for path in base.iterdir()) == ["outside", "root"]
    finally:
        shutil.rmtree(base)


def test_links_are_shown_and_not_followed(opener: Callable[[Path], Folder], root: Path, outside: Path) -> None:
    make_tricky_root(root, outside)
    files = Files(root)

    assert {info.path: info.kind for info in files.list_directory(".")} == {
        "file": "file", "gone": "link", "in": "folder", "loop": "link", "out": "link", "own": "file", "secret": "link"
    }  # fmt: skip
    assert files.find_files("**") == ["file", "own"]
    assert files.file_info("gone").kind == "link"
    for path, message in [
        ("secret", "'secret' is a link; links are not followed."),
        ("gone", "'gone' is a link; links are not followed."),
        ("out/secret", "'out/secret' cannot be reached: 'out' is a link; links are not followed."),
        ("in/out/secret", "'in/out/secret' cannot be reached: 'in/out' is a link; links are not followed."),
    ]:
        for call in (files.read_text, lambda path: files.append_text(path, "x")):
            with pytest.raises(ToolError) as caught:
                call(path)
            assert caught.value.message == message


def test_a_link_swapped_in_for_a_file_after_the_check_is_not_followed(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = descriptors.check_kind

    def check_then_swap(*arguments: Any) -> None:
        check(*arguments)
        (root / "file").unlink()
        (root / "file").symlink_to(outside / "secret")

    for use in (lambda folder: folder.read("file"), lambda folder: folder.append("file")):
        (root / "file").unlink(missing_ok=True)
        (root / "file").touch()
        monkeypatch.setattr(descriptors, "check_kind", check_then_swap)
        with DescriptorFolder.open_root(root) as folder, pytest.raises(RefusedError, match="is a link"):
            use(folder)


def test_a_link_swapped_in_for_an_open_folder_changes_nothing_for_it(root: Path, outside: Path) -> None:
    (root / "sub").mkdir()
    with descend(DescriptorFolder.open_root(root), ["sub"]) as folder:
        (root / "sub").rename(root / "elsewhere")
        (root / "sub").symlink_to(outside)
        folder.create("new", mode=None).close()
        assert folder.find("secret") is None

    assert (root / "elsewhere" / "new").exists()


def test_a_folder_by_path_notices_a_link_swapped_in(root: Path, outside: Path) -> None:
    (root / "sub").mkdir()
    with descend(PathFolder.open_root(root), ["sub"]) as folder:
        (root / "sub").rename(root / "elsewhere")
        (root / "sub").symlink_to(outside)
        for use in (folder.read, folder.append, folder.remove, folder.make_folder, folder.find):
            with pytest.raises(RefusedError, match="leads through a link"):
                use("secret")


def test_links_swapped_all_the_time_never_let_a_call_out(root: Path, outside: Path) -> None:
    """The same as a race: one thread swaps a folder and a link, another one reads and writes through it."""
    (root / "real").mkdir()
    (root / "link").symlink_to(outside / "sub")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name in ("real", "link"):
                with contextlib.suppress(OSError):
                    (root / name).rename(root / "door")
                    (root / "door").rename(root / name)

    files = Files(root)
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(300):
            for call in (lambda: files.write_text("door/secret", "x"), lambda: files.append_text("door/secret", "y")):
                with contextlib.suppress(ToolError):
                    call()
            with contextlib.suppress(ToolError):
                assert set(files.read_text("door/secret")) <= {"x", "y"}
            with contextlib.suppress(ToolError):
                files.delete("door/secret")
    finally:
        stop.set()
        thread.join(5)


def test_a_file_with_a_second_name_outside_is_not_appended_to(
    opener: Callable[[Path], Folder], root: Path, outside: Path
) -> None:
    os.link(outside / "secret", root / "twin")
    files = Files(root)

    with pytest.raises(ToolError, match=r"'twin' has another name as well \(a hard link\)"):
        files.append_text("twin", "more")
    files.write_text("twin", "other")

    assert (root / "twin").read_text() == "other"


def test_pipes_and_sockets_are_refused_at_once(
    opener: Callable[[Path], Folder], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)  # a socket's path is short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        files = Files(root)
        with_odd = {"pipe": "other", "socket": "other"}
        assert {info.path: info.kind for info in files.list_directory()} == with_odd
        assert files.find_files("**") == []
        assert files.search_text("x") == []
        for name in with_odd:
            for call in every_call(files, name):
                with contextlib.suppress(ToolError):
                    call()
            with pytest.raises(ToolError, match=f"'{name}' is a pipe, a socket or a device, not a file"):
                files.read_text(name)
            with pytest.raises(ToolError, match="is a link, a pipe, a socket or a device; only files and folders"):
                files.delete(name)
        assert {info.path: info.kind for info in files.list_directory()} == with_odd | {"own": "file"}


async def test_a_pipe_does_not_hang_a_call(root: Path) -> None:
    os.mkfifo(root / "pipe")
    pack = load_pack("files", base=root, state=root, options={"root": str(root)})

    with anyio.fail_after(5):
        for tool, more in (("read_text", {}), ("append_text", {"text": "x"}), ("write_text", {"text": "x"})):
            with pytest.raises(ToolError):
                await pack.call(ToolCall(name=tool, arguments={"path": "pipe", **more}))


def test_a_folder_nested_too_deep_is_refused_and_nothing_stays_open(
    opener: Callable[[Path], Folder], root: Path
) -> None:
    here = root
    for _ in range(70):
        here = here / "d"
    here.mkdir(parents=True)
    files = Files(root)
    before = _open_descriptors()

    with pytest.raises(ToolError, match=r"'\.' goes down more than 64 folders, at"):
        files.find_files("**")

    (root / "a").touch()
    assert files.find_files("**", limit=1) == ["a"]
    assert _open_descriptors() == before


def _open_descriptors() -> int:
    folder = Path("/dev/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@pytest.mark.parametrize("name", ["a:b", "CON", "nul.txt", "a.", "a ", "a\\b", "com1", "a?", "a|b"])
def test_names_that_windows_reads_otherwise_are_refused(root: Path, name: str) -> None:
    with PathFolder.open_root(root) as folder, pytest.raises(RefusedError, match="is not a name that Windows can keep"):
        folder.create(name, mode=None)


def test_moving_works_where_there_are_no_hard_links(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    (root / "a").write_text("a")
    (root / "b").write_text("b")
    monkeypatch.setattr(os, "link", no_links)
    files = Files(root)

    with pytest.raises(ToolError, match="'b' exists already"):
        files.move("a", "b")
    files.move("a", "c")

    assert snapshot(root) == {"b": "b", "c": "a"}
