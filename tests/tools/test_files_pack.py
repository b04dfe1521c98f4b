"""The files pack: what its tools do inside their folder, and what they say when they do not."""

import os
import stat
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_tools import PackError, ToolCall, ToolError, load_pack
from planact_tools.packs import files as files_pack
from planact_tools.packs.files import Files
from planact_tools.packs.rooted import Glob

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
async def ask(root: Path) -> AsyncGenerator[Ask]:
    pack = load_pack("files", base=root.parent, state=root.parent / "state", options={"root": "root"})

    async def ask(tool: str, **arguments: Any) -> Any:
        with anyio.fail_after(5):
            return (await pack.call(ToolCall(name=tool, arguments=arguments))).value

    yield ask
    await pack.aclose()


async def refusal(asked: Awaitable[Any]) -> str:
    with pytest.raises(ToolError) as caught:
        await asked
    return caught.value.message


async def test_what_is_written_is_read(ask: Ask, root: Path) -> None:
    info = await ask("write_text", path="a.md", text="grüße\r\n")

    assert (info["path"], info["kind"], info["size"]) == ("a.md", "file", 9)
    assert await ask("read_text", path="./a.md") == "grüße\r\n"
    assert await ask("file_info", path="a.md") == info
    assert (root / "a.md").read_bytes() == "grüße\r\n".encode()


async def test_only_reading_tools_are_marked_so(tmp_path: Path) -> None:
    definitions = await load_pack("files", base=tmp_path, state=tmp_path).definitions()

    assert {each.name: (each.read_only, each.destructive) for each in definitions} == {
        "list_directory": (True, None),
        "file_info": (True, None),
        "read_text": (True, None),
        "write_text": (None, True),
        "append_text": (None, False),
        "find_files": (True, None),
        "search_text": (True, None),
        "make_directory": (None, False),
        "move": (None, True),
        "delete": (None, True),
    }


async def test_without_a_root_the_folder_is_made_in_the_state_folder(tmp_path: Path) -> None:
    pack = load_pack("files", base=tmp_path, state=tmp_path / "state")
    await pack.call(ToolCall(name="write_text", arguments={"path": "a", "text": "x"}))
    await pack.aclose()

    assert pack.identity == f"shipped:files:{tmp_path / 'state' / 'files'}"
    assert (tmp_path / "state" / "files" / "a").read_text() == "x"


@pytest.mark.parametrize("given", ["nowhere", "file", 3, ""])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, given: Any) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(PackError, match="Pack 'files': Option 'root'"):
        load_pack("files", base=tmp_path, state=tmp_path, options={"root": given})


async def test_a_root_that_is_gone_is_an_error_naming_it(ask: Ask, root: Path) -> None:
    root.rmdir()

    assert await refusal(ask("list_directory")) == (
        f"The folder {str(root)!r} cannot be opened: No such file or directory."
    )


async def test_a_file_is_replaced_in_one_step_keeping_its_permissions(ask: Ask, root: Path) -> None:
    (root / "a").write_text("old")
    (root / "a").chmod(0o640)
    with (root / "a").open() as reader:
        await ask("write_text", path="a", text="new")
        assert reader.read() == "old"

    assert (root / "a").read_text() == "new"
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o640
    assert [each.name for each in root.iterdir()] == ["a"]


async def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    ask: Ask, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_is_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (root / "a").write_text("old")
    monkeypatch.setattr(files_pack, "_write_all", disk_is_full)

    assert await refusal(ask("write_text", path="a", text="new")) == "'a' cannot be used: No space left on device."
    assert [(each.name, each.read_text()) for each in root.iterdir()] == [("a", "old")]


async def test_text_is_appended(ask: Ask, root: Path) -> None:
    await ask("append_text", path="log", text="one\n")
    assert (await ask("append_text", path="log", text="two\n"))["size"] == 8
    assert (root / "log").read_text() == "one\ntwo\n"


async def test_a_large_file_is_read_in_parts(ask: Ask, root: Path) -> None:
    (root / "big").write_bytes(b"x" * 999_999 + "ü".encode() + b"end")

    assert await refusal(ask("read_text", path="big")) == (
        "'big' has 1,000,004 bytes, more than the 1,000,000 that are read at once. Read it in parts: "
        "offset=0, limit=1000000, then offset=1000000 and so on."
    )
    assert await ask("read_text", path="big", limit=1_000_000) == "x" * 999_999 + "ü"
    assert await ask("read_text", path="big", offset=1_000_000) == "end"
    assert await ask("read_text", path="big", offset=1_000_004) == ""
    assert await ask("read_text", path="big", offset=5_000_000) == ""


@given(text=st.text(st.characters(codec="utf-8"), max_size=40), limit=st.integers(1, 7))
def test_parts_join_to_the_text(tmp_path_factory: pytest.TempPathFactory, text: str, limit: int) -> None:
    root = tmp_path_factory.getbasetemp()
    (root / "text").write_bytes(text.encode())
    files = Files(root.resolve())

    parts = [files.read_text("text", offset, limit) for offset in range(0, len(text.encode()) + 1, limit)]

    assert "".join(parts) == text


async def test_what_is_no_text_is_refused(ask: Ask, root: Path) -> None:
    (root / "image").write_bytes(b"PNG\xff\xd8")

    assert await refusal(ask("read_text", path="image")) == "'image' is not UTF-8 text: byte 3 does not belong there."
    assert "not valid Unicode at character 1" in await refusal(ask("write_text", path="a", text="x\udc80"))


async def test_folders_are_made_listed_and_removed(ask: Ask, root: Path) -> None:
    assert (await ask("make_directory", path="a/b/"))["path"] == "a/b"
    await ask("make_directory", path="a/b")
    await ask("write_text", path="a/z.txt", text="12")

    listed = await ask("list_directory", path="a")
    assert [(each["path"], each["kind"]) for each in listed] == [("a/b", "folder"), ("a/z.txt", "file")]
    assert "'a' cannot be used: Directory not empty" in await refusal(ask("delete", path="a"))
    await ask("delete", path="a/b")
    await ask("delete", path="a/z.txt")
    await ask("delete", path="a")
    assert list(root.iterdir()) == []
    assert await refusal(ask("make_directory", path=".")) == ("'.' is this pack's folder itself; name something in it.")


async def test_moving_never_replaces_unasked(ask: Ask, root: Path) -> None:
    (root / "sub").mkdir()
    for name in ("a", "b", "sub/c"):
        (root / name).write_text(name)

    assert await refusal(ask("move", source="a", destination="b")) == "'b' exists already."
    assert await refusal(ask("move", source="sub", destination="b")) == "'b' exists already."
    assert await refusal(ask("move", source="a", destination="sub", overwrite=True)) == (
        "'sub' is a folder; only a file can be overwritten, by a file."
    )
    assert await refusal(ask("move", source="sub", destination="sub/d")) == (
        "'sub' cannot be moved to itself or into itself."
    )
    assert (await ask("move", source="a", destination="b", overwrite=True))["path"] == "b"
    assert (await ask("move", source="sub", destination="new"))["kind"] == "folder"
    assert (await ask("move", source="b", destination="new/b"))["path"] == "new/b"
    assert sorted(str(each.relative_to(root)) for each in root.rglob("*")) == ["new", "new/b", "new/c"]
    assert (root / "new" / "b").read_text() == "a"


async def test_files_are_found_by_pattern(ask: Ask, root: Path) -> None:
    for name in ("a.py", "b.md", "src/c.py", "src/deep/d.py", "src/deep/[x].py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()

    assert await ask("find_files", pattern="*.py") == ["a.py"]
    assert await ask("find_files", pattern="**/*.py") == [
        "a.py", "src/c.py", "src/deep/[x].py", "src/deep/d.py"
    ]  # fmt: skip
    assert await ask("find_files", pattern="**/?.py", path="src") == ["src/c.py", "src/deep/d.py"]
    assert await ask("find_files", pattern="src/**/deep/[[]*") == ["src/deep/[x].py"]
    assert await ask("find_files", pattern="**", limit=2) == ["a.py", "b.md"]
    assert await refusal(ask("find_files", pattern="../*")) == (
        "The pattern '../*' goes up with '..'. Write the path as it is seen from this pack's folder."
    )


_NAMES = st.sampled_from(["a", "b", "ab", "a.b"])
_STEPS = st.sampled_from(["**", "*", "a", "?", "a*", "[ab]", "*b"])


@given(steps=st.lists(_STEPS, min_size=1, max_size=4), names=st.lists(_NAMES, min_size=1, max_size=4))
def test_patterns_match_as_pathlib_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], names: list[str]
) -> None:
    glob = Glob("/".join(steps))
    state = glob.start
    for name in names:
        state = glob.step(state, name)

    assert glob.accepts(state) == _matches(steps, names)


def _matches(steps: list[str], names: list[str]) -> bool:
    """The same by plain recursion, for comparison."""
    if not steps:
        return not names
    if steps[0] == "**":
        return any(_matches(steps[1:], names[skipped:]) for skipped in range(len(names) + 1))
    return bool(names) and Path(names[0]).match(steps[0]) and _matches(steps[1:], names[1:])


def test_a_pattern_made_to_backtrack_is_quick() -> None:
    glob = Glob("/".join(["**", "a"] * 200))
    state = glob.start
    for _ in range(400):
        state = glob.step(state, "a")
    assert glob.accepts(state)


async def test_text_is_searched_for_line_by_line(ask: Ask, root: Path) -> None:
    (root / "src").mkdir()
    (root / "src" / "a.py").write_text("import os\n\n  Import sys\n")
    (root / "b.md").write_text("no imports here, but: import")
    (root / "image").write_bytes(b"import\0")

    assert await ask("search_text", text="import") == [
        {"path": "b.md", "line": 1, "text": "no imports here, but: import"},
        {"path": "src/a.py", "line": 1, "text": "import os"},
    ]
    assert await ask("search_text", text="IMPORT", pattern="**/*.py", ignore_case=True) == [
        {"path": "src/a.py", "line": 1, "text": "import os"},
        {"path": "src/a.py", "line": 3, "text": "Import sys"},
    ]
    assert len(await ask("search_text", text="import", limit=1)) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names that are no Unicode need a Linux file system")
async def test_a_name_that_is_no_unicode_is_shown_as_far_as_it_is(ask: Ask, root: Path) -> None:
    (root / os.fsdecode(b"a\xff")).write_text("x")

    assert [each["path"] for each in await ask("list_directory")] == ["a\\xff"]
    assert await ask("find_files", pattern="*") == ["a\\xff"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../x", "'../x' goes up with '..'. Write the path as it is seen from this pack's folder."),
        ("a/../../x", "'a/../../x' goes up with '..'. Write the path as it is seen from this pack's folder."),
        ("/etc/passwd", "'/etc/passwd' is absolute. Paths start from this pack's folder, like 'notes/today.md'."),
        ("a\0b", r"'a\x00b' contains a null character."),
        ("\udc80", r"'\udc80' is not valid Unicode text."),
        ("", "'' is this pack's folder itself; name something in it."),
        ("no", "'no' does not exist."),
        ("no/no/x", "'no/no/x' cannot be reached: there is no folder 'no'."),
        ("file/x", "'file/x' cannot be reached: 'file' is a file, not a folder."),
        ("folder", "'folder' is a folder, not a file."),
        ("n" * 300, f"'{'n' * 300}' cannot be used: File name too long."),
    ],
)
async def test_a_path_that_cannot_be_read_is_named_as_it_was_given(
    ask: Ask, root: Path, path: str, message: str
) -> None:
    (root / "file").touch()
    (root / "folder").mkdir()

    assert await refusal(ask("read_text", path=path)) == message
