"""Building llama-cpp-python: once, with progress, never half; pip and the compiler are stand-ins."""

import hashlib
import io
import json
import os
import signal
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from planact_quantized.building import llama_source, llama_wheel, wheel_build
from planact_quantized.building.llama_source import SourceError, extract, fetch_source
from planact_quantized.building.llama_wheel import Order, WheelError, provide, wheel_key
from planact_quantized.building.pip_tool import pip_for
from planact_quantized.building.toolchain import MissingToolError, NvidiaCard, Toolchain
from planact_quantized.building.wheel_build import Progress, Step, parallel_jobs
from planact_quantized.building.wheel_cache import WheelCache
from planact_quantized.building.wheel_progress import showing
from planact_quantized.fitting.host import Host
from planact_testing import appears

CHECKOUT = Path(__file__).parents[2]
FAKE_PIP = Path(__file__).with_name("fake_pip.py")
HOST = Host(
    processor="a processor", cores=8, total_bytes=2**34, available_bytes=2**33, instruction_sets=("avx2", "fma")
)
TOOLS = Toolchain(
    system="debian", machine="x86_64", compiler="/usr/bin/c++", nvcc=None, cards=(), driver="", glslc=None
)
CARD = NvidiaCard(name="a card", capability="8.9")


def quiet(step: Step) -> None:
    """Report nothing."""


class Bench:
    """A cache of its own, a source archive, and a pip that compiles nothing."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "pip"
        self.folder.mkdir()
        self.cache = folder / "cache"
        (self.folder / "archive").write_bytes(_archive())
        self.hash = hashlib.sha256(_archive()).hexdigest()
        self.pip = [sys.executable, str(FAKE_PIP), str(self.folder)]
        monkeypatch.setenv("PLANACT_CACHE", str(self.cache))
        monkeypatch.delenv("CMAKE_ARGS", raising=False)
        monkeypatch.setattr(llama_source, "SHA256", self.hash)
        for module in (llama_source, llama_wheel):
            monkeypatch.setattr(module, "pip_for", lambda python, workplace: self.pip)
        monkeypatch.setattr(llama_wheel, "installed_from", self.installed)

    def installed(self) -> Path | None:
        file = self.folder / "installed"
        return Path(file.read_text()) if file.exists() else None

    def asked(self) -> list[dict[str, object]]:
        file = self.folder / "asked"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def commands(self) -> list[object]:
        return [each["command"] for each in self.asked()]

    def script(self) -> str:
        """Return a program that builds as the bench would, in a process of its own."""
        return (
            "import signal, sys; from pathlib import Path\n"
            # A shell's background jobs begin with this signal ignored.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from planact_quantized.building import llama_source, llama_wheel\n"
            f"llama_source.SHA256 = {self.hash!r}\n"
            f"llama_source.pip_for = llama_wheel.pip_for = lambda *_: {self.pip!r}\n"
            f"file = Path({str(self.folder / 'installed')!r})\n"
            "llama_wheel.installed_from = lambda: Path(file.read_text()) if file.exists() else None\n"
            "llama_wheel.require = lambda *_: None\n"
            "sys.exit(llama_wheel.main(['--backend', 'cpu', '--jobs', '1']))\n"
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_the_first_time_it_is_built_and_installed_and_the_second_time_nothing_happens(bench: Bench) -> None:
    first = provide(Order(backend="cpu"), report=quiet, toolchain=TOOLS, host=HOST)
    assert (first.built, first.installed, first.backend) == (True, True, "cpu")
    assert first.wheel.read_bytes() == b"whole"
    assert bench.commands() == ["download", "wheel", "install", "install"]
    second = provide(Order(backend="cpu"), report=quiet, toolchain=TOOLS, host=HOST)
    assert second == replace(first, built=False, installed=False)
    assert len(bench.commands()) == 4


def test_another_environment_is_served_from_the_cache_without_a_compiler(bench: Bench) -> None:
    provide(Order(backend="cpu"), report=quiet, toolchain=TOOLS, host=HOST)
    (bench.folder / "installed").unlink()
    again = provide(Order(backend="cpu"), report=quiet, toolchain=replace(TOOLS, compiler=None), host=HOST)
    assert (again.built, again.installed) == (False, True)


def test_every_step_is_reported(bench: Bench) -> None:
    steps: list[Step] = []
    provide(Order(backend="cpu"), report=steps.append, toolchain=TOOLS, host=HOST)
    assert [(step.phase, step.done, step.total) for step in steps] == [
        ("fetching", 0, 0),
        ("preparing", 0, 0),
        ("configuring", 0, 0),
        ("compiling", 0, 0),
        ("compiling", 1, 2),
        ("compiling", 2, 2),
        ("packing", 0, 0),
        ("installing", 0, 0),
    ]


def test_what_is_installed_along_is_held_to_the_constraints(bench: Bench, tmp_path: Path) -> None:
    pins = tmp_path / "pins.txt"
    done = provide(Order(backend="cpu", constraint=pins), report=quiet, toolchain=TOOLS, host=HOST)
    assert [each["arguments"] for each in bench.asked() if each["command"] == "install"] == [
        ["--force-reinstall", "--no-deps", str(done.wheel)],
        ["--constraint", str(pins), str(done.wheel)],
    ]


def test_a_failed_build_shows_the_end_of_its_log_and_leaves_nothing_to_be_used(bench: Bench) -> None:
    (bench.folder / "fail").touch()
    with pytest.raises(WheelError) as error:
        provide(Order(backend="cpu"), report=quiet, toolchain=TOOLS, host=HOST)
    key = wheel_key("cpu", TOOLS, HOST)
    cache = WheelCache(bench.cache / "llama")
    lines = str(error.value).splitlines()
    assert "fatal error: no such header" in lines
    assert lines[-1] == (f"Compiling llama.cpp failed: it ended with code 1. All that it wrote is in {cache.log(key)}")
    assert cache.find(key) is None
    assert "install" not in bench.commands()
    (bench.folder / "fail").unlink()
    assert provide(Order(backend="cpu"), report=quiet, toolchain=TOOLS, host=HOST).wheel.read_bytes() == b"whole"


def test_a_second_try_goes_on_in_the_same_folder(bench: Bench) -> None:
    (bench.folder / "fail").touch()
    with pytest.raises(WheelError):
        provide(Order(backend="cpu"), report=quiet, toolchain=TOOLS, host=HOST)
    folder = WheelCache(bench.cache / "llama").building(wheel_key("cpu", TOOLS, HOST))
    compiled = folder / "source" / "llama_cpp_python-0.3.36" / "compiled"
    compiled.touch()
    (bench.folder / "fail").unlink()
    wheels: list[bool] = []
    provide(Order(backend="cpu"), report=lambda step: wheels.append(compiled.exists()), toolchain=TOOLS, host=HOST)
    assert wheels[3:5] == [True, True]
    assert bench.commands().count("download") == 1
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_an_interrupted_build_takes_its_compilers_along(bench: Bench, sign: signal.Signals, code: int) -> None:
    (bench.folder / "hang").touch()
    with (bench.folder / "errors").open("w") as errors, anyio.fail_after(20):
        async with await anyio.open_process([sys.executable, "-c", bench.script()], stderr=errors) as process:
            await appears(bench.folder / "pids")
            pids = [int(pid) for pid in (bench.folder / "pids").read_text().split()]
            process.send_signal(sign)
            assert await process.wait() == code
        while any(map(_lives, pids)):
            await anyio.sleep(0.01)
    said = (bench.folder / "errors").read_text()
    assert "Traceback" not in said
    if sign == signal.SIGINT:
        assert "the same command goes on from there" in said
    assert list((bench.cache / "llama").glob("*/*.whl")) == []


async def test_two_at_once_build_once(bench: Bench) -> None:
    done: list[int] = []

    async def build() -> None:
        ended = await anyio.run_process([sys.executable, "-c", bench.script()], check=False)
        done.append(ended.returncode)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(build)
            group.start_soon(build)
    assert done == [0, 0]
    assert bench.commands().count("wheel") == 1


def test_without_a_compiler_nothing_is_fetched(bench: Bench) -> None:
    with pytest.raises(MissingToolError, match=r"no C.. compiler: sudo apt install build-essential"):
        provide(Order(backend="cpu"), report=quiet, toolchain=replace(TOOLS, compiler=None), host=HOST)
    assert bench.commands() == []


def test_the_build_gets_the_options_of_its_backend_and_the_users_last(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_BLAS=on '-DX=a b'")
    tools = replace(TOOLS, nvcc="/opt/cuda/bin/nvcc", cards=(CARD, replace(CARD, capability="12.0")))
    monkeypatch.setattr(llama_wheel, "_nvcc_release", lambda nvcc: "release 13.0")
    done = provide(Order(backend="auto", jobs=3), report=quiet, toolchain=tools, host=HOST)
    assert done.backend == "cuda"
    asked = next(each for each in bench.asked() if each["command"] == "wheel")
    assert asked["CMAKE_BUILD_PARALLEL_LEVEL"] == "3"
    arguments = str(asked["CMAKE_ARGS"])
    assert arguments.startswith("-DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama.cpp_INCLUDE=")
    assert arguments.endswith(
        "-DGGML_CUDA=on '-DCMAKE_CUDA_ARCHITECTURES=120;89' -DCMAKE_CUDA_COMPILER=/opt/cuda/bin/nvcc "
        "-DGGML_BLAS=on '-DX=a b'"
    )


def test_a_card_that_stays_unused_is_said(bench: Bench) -> None:
    done = provide(Order(), report=quiet, toolchain=replace(TOOLS, cards=(CARD,)), host=HOST)
    assert done.backend == "cpu"
    assert done.note.startswith("a card stays unused, because CUDA's compiler (nvcc) is not installed: sudo apt")
    assert provide(Order(backend="cpu"), report=quiet, toolchain=replace(TOOLS, cards=(CARD,)), host=HOST).note == ""


def test_what_makes_a_build_different_makes_its_key_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    key = wheel_key("cpu", TOOLS, HOST)
    others = [
        replace(key, version="0.3.37"),
        replace(key, python_tag="cp311"),
        replace(key, platform="macosx-14-arm64"),
        replace(key, backend="vulkan"),
        replace(key, cmake_arguments=(*key.cmake_arguments, "-DGGML_BLAS=on")),
        replace(key, instruction_sets=("avx2", "avx512f", "fma")),
        replace(key, accelerator="release 13.0 8.9"),
    ]
    names = {each.name for each in (key, *others)}
    assert len(names) == len(others) + 1
    assert wheel_key("cpu", TOOLS, HOST).name == key.name
    assert key.name.startswith("0.3.36-py3-")
    assert not any(str(CHECKOUT) in argument for argument in key.cmake_arguments)


def test_pip_is_not_taken_from_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloned project may well hold a file of that name."""
    (tmp_path / "pip.py").write_text("open('ran', 'w').close()")
    (tmp_path / "venv.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    command = pip_for(sys.executable, tmp_path / "workplace")
    assert "-P" in command
    assert not (tmp_path / "ran").exists()


def test_the_version_is_the_pinned_one() -> None:
    pins = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").split()
    assert f"{llama_source.PACKAGE}=={llama_source.VERSION}" in pins


def test_a_source_that_is_not_the_one_is_refused(bench: Bench, tmp_path: Path) -> None:
    (bench.folder / "archive").write_bytes(b"something else")
    with pytest.raises(SourceError, match=r"is not the source archive of .*: its hash is another"):
        fetch_source()
    with pytest.raises(SourceError, match="There is no file"):
        fetch_source(given=tmp_path / "nothing")
    by_hand = tmp_path / "brought.tar.gz"
    by_hand.write_bytes(_archive())
    assert fetch_source(given=by_hand).read_bytes() == _archive()
    assert bench.commands() == ["download"]


def test_one_file_can_be_taken_out_of_the_source(bench: Bench) -> None:
    found = extract("models/ggml-vocab-qwen2.gguf")
    assert found.read_bytes() == b"vocabulary"
    assert extract("models/ggml-vocab-qwen2.gguf") == found
    with pytest.raises(SourceError, match="no file 'models/other'"):
        extract("models/other")
    assert bench.commands() == ["download"]


@pytest.mark.parametrize(("cores", "gib", "jobs"), [(8, 16, 8), (8, 4, 2), (2, 64, 2), (4, 0, 1), (1, 1, 1)])
def test_compilers_run_side_by_side_as_far_as_memory_allows(cores: int, gib: int, jobs: int) -> None:
    assert parallel_jobs(cores, gib * 2**30) == jobs


def test_progress_of_make_is_understood_too() -> None:
    steps: list[Step] = []
    progress = Progress(steps.append)
    for line in (
        "[  7%] Building CXX object a.o\n",
        "[  7%] Building CXX object b.o\n",
        "noise [3/4]\n",
        "[100%] Done\n",
    ):
        progress.read(line)
    assert steps == [Step(phase="compiling", done=7, total=100), Step(phase="compiling", done=100, total=100)]


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with showing() as report:
        report(Step(phase="fetching"))
        for done in range(1, 101):
            report(Step(phase="compiling", done=done, total=100))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["llama.cpp: fetching", "llama.cpp: compiling 1/100", "llama.cpp: compiling 10/100"]
    assert len(lines) == 12


def test_the_options_that_leave_things_out_name_a_file_that_is_there() -> None:
    include = Path(wheel_build.lean_arguments()[1].split("=", 1)[1])
    assert "LLAMA_BUILD_COMMON OFF" in include.read_text(encoding="utf-8")


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in (
            ("pyproject.toml", b""),
            ("vendor/llama.cpp/models/ggml-vocab-qwen2.gguf", b"vocabulary"),
        ):
            member = tarfile.TarInfo(f"llama_cpp_python-0.3.36/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    # gzip writes the time of day.
    return packed.getvalue()[:4] + b"\0\0\0\0" + packed.getvalue()[8:]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that nobody has waited for yet is dead as well.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
