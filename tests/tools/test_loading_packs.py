"""Packs by name, by file, by folder; what is wrong with one stays with that one."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from planact_tools import PackError, ToolCall, load_pack, load_packs, shipped_packs

GOOD = '''
from __future__ import annotations
from dataclasses import dataclass
from planact_tools import tool

@dataclass(frozen=True)
class Point:
    x: int

@tool(read_only=True)
def double(point: Point) -> Point:
    """Double it."""
    return Point(x=point.x * 2)

def helper() -> None: ...
'''


def write(folder: Path, name: str, source: str) -> Path:
    path = folder / name
    path.write_text(source, encoding="utf-8")
    return path


async def test_every_decorated_function_of_a_file_is_a_tool(tmp_path: Path) -> None:
    path = write(tmp_path, "my-pack.py", GOOD)

    pack = load_pack("./my-pack.py", base=tmp_path, state=tmp_path)

    assert (pack.name, pack.identity) == ("my-pack", str(path))
    assert [definition.name for definition in await pack.definitions()] == ["double"]
    assert (await pack.call(ToolCall(name="double", arguments={"point": {"x": 2}}))).value == {"x": 4}


async def test_the_readmes_pack_works(tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "tool_packs" / "README.md"
    write(tmp_path, "greetings.py", readme.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0])

    pack = load_pack("./greetings.py", base=tmp_path, state=tmp_path)

    result = await pack.call(ToolCall(name="greet", arguments={"name": "Ada", "times": 2}))
    assert result.value == ["Hello Ada!", "Hello Ada!"]


async def test_a_file_may_make_its_pack_itself(tmp_path: Path) -> None:
    source = GOOD + 'from planact_tools import Pack\npack = Pack("mine", [double])\n'
    path = write(tmp_path, "mine.py", source)

    pack = load_pack("mine.py", base=tmp_path, state=tmp_path)

    assert (pack.name, pack.identity) == ("mine", str(path))
    write(tmp_path, "other.py", source)
    with pytest.raises(PackError, match=r"makes a pack called 'mine', but a file's stem is its server name"):
        load_pack("other.py", base=tmp_path, state=tmp_path)


async def test_imported_tools_belong_to_the_file_that_defines_them(tmp_path: Path) -> None:
    source = GOOD + "from planact_tools.packs.calendar import Calendar\nstolen = Calendar.check_availability\n"
    write(tmp_path, "mine.py", source)

    pack = load_pack("mine.py", base=tmp_path, state=tmp_path)

    assert [definition.name for definition in await pack.definitions()] == ["double"]


def test_an_interrupt_is_the_packs_own_where_none_can_come_from_a_keyboard(tmp_path: Path) -> None:
    write(tmp_path, "broken.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_pack("./broken.py", base=tmp_path, state=tmp_path)
    with ThreadPoolExecutor() as threads:
        loading = threads.submit(load_pack, "./broken.py", base=tmp_path, state=tmp_path)
        assert isinstance(loading.exception(10), PackError)


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("import planact_tools\nx = nowhere\n", 2, "NameError: name 'nowhere' is not defined"),
        ("a = 1\ndef broken(:\n", 2, "SyntaxError: invalid syntax"),
        ("import json\n\njson.loads('{')\n", 3, "JSONDecodeError: Expecting property name"),
        ("import sys\nsys.exit('bye')\n", 2, "SystemExit: bye"),
        ("from planact_tools import tool\n\n\n@tool\ndef f(x) -> int:\n    return 1\n", 4, "Parameter 'x' of tool 'f'"),
        ("import not_there_at_all\n", 1, "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("raise GeneratorExit\n", 1, "GeneratorExit"),
        ("import asyncio\nraise asyncio.CancelledError('x')\n", 2, "CancelledError: x"),
        ("class Own(BaseException): ...\nraise Own('x')\n", 2, "Own: x"),
        ("class Own(Exception):\n    def __str__(self): 1 / 0\nraise Own\n", 3, "Own: (its message cannot be shown)"),
        ("import sys\ndel sys.modules[__name__]\n1 / 0\n", 3, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_file_is_an_error_with_file_line_and_reason(
    tmp_path: Path, source: str, line: int, reason: str
) -> None:
    path = write(tmp_path, "broken.py", source)
    modules = set(sys.modules)

    with pytest.raises(PackError) as caught:
        load_pack("./broken.py", base=tmp_path, state=tmp_path)

    assert (caught.value.file, caught.value.line) == (path, line)
    assert caught.value.message.startswith(f"Pack file {str(path)!r}, line {line}: {reason}")
    assert not [name for name in set(sys.modules) - modules if name.startswith("planact_pack_")]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("calender", "No pack 'calender' is shipped. Did you mean 'calendar'? A pack of your own is a path"),
        ("weather", "No pack 'weather' is shipped. Shipped are calendar, files."),
        ("./nothing.py", "nothing.py' cannot be read: No such file or directory"),
        ("./empty.py", "empty.py' has no tools: put `@tool` above its functions."),
        ("./folder", "The pack folder './folder' has no .py file"),
        ("./null.py", "null.py': "),
    ],
)
def test_what_is_no_pack_is_an_error_that_says_why(tmp_path: Path, spec: str, message: str) -> None:
    write(tmp_path, "empty.py", "x = 1\n")
    write(tmp_path, "null.py", "x = '\0'\n")
    (tmp_path / "folder").mkdir()

    with pytest.raises(PackError) as caught:
        load_pack(spec, base=tmp_path, state=tmp_path)

    assert message.removesuffix(": ") in caught.value.message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")

    with pytest.raises(PackError, match="is not a regular file"):
        load_pack("./pipe.py", base=tmp_path, state=tmp_path)


def test_a_folder_brings_a_pack_for_each_file_and_a_problem_for_each_broken_one(tmp_path: Path) -> None:
    folder = tmp_path / "packs"
    folder.mkdir()
    write(folder, "b.py", GOOD)
    write(folder, "a.py", GOOD)
    write(folder, "broken.py", "x = nowhere\n")
    write(folder, "_helper.py", "raise RuntimeError\n")
    write(folder, "notes.txt", "no Python\n")

    loaded = load_packs("./packs", base=tmp_path, state=tmp_path)

    assert [pack.name for pack in loaded.packs] == ["a", "b"]
    assert [(problem.file, problem.line) for problem in loaded.problems] == [(folder / "broken.py", 1)]


def test_a_folder_of_several_is_not_one_pack(tmp_path: Path) -> None:
    write(tmp_path, "a.py", GOOD)
    write(tmp_path, "b.py", GOOD)

    with pytest.raises(PackError) as caught:
        load_pack("./", base=tmp_path, state=tmp_path)

    assert caught.value.message == "'./' is a folder of 2 packs; name one of them: './a.py', './b.py'."


def test_a_file_that_prints_does_not_write_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "loud.py", GOOD + 'print("hello")\n')

    load_pack("loud.py", base=tmp_path, state=tmp_path)

    assert capsys.readouterr() == ("", "hello\n")


async def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.py", GOOD)
    load_pack("mine.py", base=tmp_path, state=tmp_path)
    stamp = path.stat()
    write(tmp_path, "mine.py", GOOD.replace("double", "triple"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    pack = load_pack("mine.py", base=tmp_path, state=tmp_path)

    assert [definition.name for definition in await pack.definitions()] == ["triple"]
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("name", [pack.name for pack in shipped_packs()])
async def test_a_shipped_pack_opens_nothing_before_it_is_called(tmp_path: Path, name: str) -> None:
    state = tmp_path / "state"

    pack = load_pack(name, base=tmp_path, state=state)

    assert pack.name == name
    assert all(definition.description for definition in await pack.definitions())
    assert all(definition.read_only or definition.destructive is not None for definition in await pack.definitions())
    assert not state.exists()
    await pack.aclose()


def test_options_that_a_pack_does_not_take_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "mine.py", GOOD)
    for spec, message in [
        ("calendar", "Pack 'calendar': It has no option 'rot'; it takes none."),
        ("files", "Pack 'files': It has no option 'rot'; it takes 'root'."),
        ("mine.py", f"Pack {str(tmp_path / 'mine.py')!r} takes no options; 'rot' was given."),
    ]:
        with pytest.raises(PackError) as caught:
            load_pack(spec, base=tmp_path, state=tmp_path, options={"rot": "x"})
        assert caught.value.message == message


STUCK = {
    "sleeping": "import time\ntime.sleep(60)",
    "computing": "while True: pass",
    "trying again": "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except Exception:\n        pass",
    "deaf": "import time\nfor _ in 'ab':\n    try:\n        time.sleep(60)\n    except:\n        pass\ntime.sleep(60)",
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("source", STUCK.values(), ids=STUCK)
def test_a_pack_that_never_ends_loading_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    assert sys.platform != "win32"
    monkeypatch.setattr("planact_tools.loading.LOAD_SECONDS", 0.2)
    write(tmp_path, "good.py", GOOD)
    stuck = write(tmp_path, "stuck.py", f"print('noise')\n{source}")
    before = signal.getsignal(signal.SIGALRM)

    loaded = load_packs("./", base=tmp_path, state=tmp_path)

    assert [pack.name for pack in loaded.packs] == ["good"]
    (problem,) = loaded.problems
    assert str(problem).startswith(f"Pack file {str(stuck)!r} took longer than 0.2 s to load. Keep slow work out of")
    assert capsys.readouterr().out == ""
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)) == (before, (0.0, 0.0))


async def test_a_pack_is_loaded_where_its_tools_run(tmp_path: Path) -> None:
    """What a file makes at its top level belongs to the thread that it is made in."""
    source = """
import asyncio, sqlite3
from planact_tools import tool
loop, db = asyncio.get_event_loop(), sqlite3.connect(":memory:")

@tool(read_only=True)
async def one() -> int:
    return db.execute("SELECT 1").fetchone()[0]
"""
    write(tmp_path, "base.py", source)
    pack = load_pack("./base.py", base=tmp_path, state=tmp_path)
    assert (await pack.call(ToolCall(name="one", arguments={}))).value == 1


def test_a_pack_that_runs_into_a_timeout_of_its_own_says_so(tmp_path: Path) -> None:
    write(tmp_path, "late.py", "raise TimeoutError('no answer')")
    with pytest.raises(PackError, match=r"late\.py', line 1: TimeoutError: no answer"):
        load_pack("./late.py", base=tmp_path, state=tmp_path)
