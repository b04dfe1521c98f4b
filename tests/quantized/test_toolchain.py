"""What a system can build with, and what it is told to install; programs are stand-ins on a PATH of the test."""

from dataclasses import replace
from pathlib import Path

import pytest

from planact_quantized.building.toolchain import (
    BuildTarget,
    MissingToolError,
    NvidiaCard,
    Toolchain,
    choose_backend,
    cmake_arguments,
    find_toolchain,
    require,
)

CARD = NvidiaCard(name="NVIDIA L4", capability="8.9")
NOTHING = Toolchain(system="", machine="x86_64", compiler=None, nvcc=None, cards=(), driver="", glslc=None)
SMI = "echo 'NVIDIA L4, 8.9, 580.65'; echo 'NVIDIA L4, 8.9, 580.65'"


class Programs:
    """A folder that is all of PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, name: str, script: str = "exit 0", *, below: str = "") -> str:
        file = self.folder / below / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return str(file)

    def found(self, **variables: str) -> Toolchain:
        environ = {"PATH": str(self.folder), **variables}
        return find_toolchain(environ=environ, system="linux", os_release=self.folder / "os-release")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setattr("planact_quantized.building.toolchain._CUDA_FOLDERS", ())
    return Programs(tmp_path)


def test_a_bare_system_has_nothing(programs: Programs) -> None:
    assert replace(programs.found(), machine="x86_64") == NOTHING


def test_what_is_on_the_path_is_found(programs: Programs) -> None:
    compiler, nvcc, glslc = (programs.command(name) for name in ("g++", "nvcc", "glslc"))
    programs.command("nvidia-smi", SMI)
    found = programs.found()
    assert (found.compiler, found.nvcc, found.glslc) == (compiler, nvcc, glslc)
    assert (found.cards, found.driver) == ((CARD, CARD), "580.65")


def test_variables_name_other_compilers(programs: Programs) -> None:
    programs.command("g++")
    mine = programs.command("my-c++")
    nvcc = programs.command("nvcc", below="toolkit/bin")
    found = programs.found(CXX="my-c++ -pipe", CUDA_HOME=str(programs.folder / "toolkit"))
    assert (found.compiler, found.nvcc) == (mine, nvcc)
    assert programs.found(CXX="gone").compiler is None


@pytest.mark.parametrize("script", ["exit 9", "echo 'NVIDIA-SMI has failed'", "echo"])
def test_a_driver_that_does_not_answer_is_no_driver(programs: Programs, script: str) -> None:
    programs.command("nvidia-smi", script)
    found = programs.found()
    assert (found.cards, found.driver) == ((), "")


@pytest.mark.parametrize(
    ("release", "advice"),
    [
        ("ID=ubuntu\nID_LIKE=debian\n", "sudo apt install build-essential"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "sudo apt install build-essential"),
        ("ID=fedora\n", "sudo dnf install gcc-c++ make"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install gcc-c++ make"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "sudo zypper install gcc-c++ make"),
        ("ID=arch\n", "sudo pacman -S base-devel"),
        ("ID=alpine\n", "sudo apk add build-base linux-headers"),
        ("ID=unheard-of\n", "install GCC or Clang with C++ from your system's packages"),
    ],
)
def test_each_system_is_told_its_own_command(programs: Programs, release: str, advice: str) -> None:
    (programs.folder / "os-release").write_text(release)
    with pytest.raises(MissingToolError) as error:
        require(programs.found(), "cpu")
    assert str(error.value) == f"llama.cpp has to be compiled, and there is no C++ compiler: {advice}."


@pytest.mark.parametrize(
    ("system", "backend", "message"),
    [
        ("debian", "cuda", "needs its compiler (nvcc), which is neither on PATH nor in CUDA_HOME: sudo apt"),
        ("arch", "vulkan", "needs its shader compiler (glslc): sudo pacman"),
        ("debian", "metal", "Metal is Apple's"),
    ],
)
def test_what_a_backend_needs_besides_is_said(system: str, backend, message: str) -> None:
    with pytest.raises(MissingToolError) as error:
        require(replace(NOTHING, system=system, compiler="/usr/bin/c++"), backend)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("toolchain", "expected"),
    [
        (NOTHING, BuildTarget(backend="cpu")),
        (replace(NOTHING, nvcc="/usr/bin/nvcc"), BuildTarget(backend="cpu")),
        (replace(NOTHING, nvcc="/usr/bin/nvcc", cards=(CARD,)), BuildTarget(backend="cuda")),
        (replace(NOTHING, system="darwin", machine="arm64"), BuildTarget(backend="metal")),
        (replace(NOTHING, system="darwin", machine="x86_64"), BuildTarget(backend="cpu")),
        (
            replace(NOTHING, system="arch", cards=(CARD,)),
            BuildTarget(
                backend="cpu",
                note="NVIDIA L4 stays unused, because CUDA's compiler (nvcc) is not installed: sudo pacman -S cuda.",
            ),
        ),
    ],
)
def test_the_best_that_can_be_built_is_chosen(toolchain: Toolchain, expected: BuildTarget) -> None:
    assert choose_backend(toolchain) == expected


@pytest.mark.parametrize(
    ("backend", "cards", "expected"),
    [
        ("cpu", (CARD,), ()),
        ("metal", (), ("-DGGML_METAL=on",)),
        ("vulkan", (), ("-DGGML_VULKAN=on",)),
        ("cuda", (CARD, CARD), ("-DGGML_CUDA=on", "-DCMAKE_CUDA_ARCHITECTURES=89", "-DCMAKE_CUDA_COMPILER=/c/nvcc")),
        ("cuda", (), ("-DGGML_CUDA=on", "-DCMAKE_CUDA_ARCHITECTURES=native", "-DCMAKE_CUDA_COMPILER=/c/nvcc")),
    ],
)
def test_each_backend_has_its_options(backend, cards: tuple[NvidiaCard, ...], expected: tuple[str, ...]) -> None:
    assert cmake_arguments(replace(NOTHING, nvcc="/c/nvcc", cards=cards), backend) == expected
