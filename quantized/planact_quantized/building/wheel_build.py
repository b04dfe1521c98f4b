"""Compiling llama-cpp-python into a wheel, with progress; what was compiled before an interruption is not lost."""

from __future__ import annotations

import re
import shlex
import shutil
import tarfile
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, TypeAlias

from planact_quantized.building.llama_source import plain_environment
from planact_quantized.building.pip_tool import run_logged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Phase: TypeAlias = Literal["fetching", "preparing", "configuring", "compiling", "packing", "installing"]

BYTES_PER_JOB = 3 * 1024**3 // 2
"""Of memory, for one compiler."""

LEAN = ("-DLLAVA_BUILD=OFF",)
"""Without vision, which needs libraries that take a quarter of the compiling; plans are text."""

_STEP = re.compile(r"^\s*\[\s*(\d+)/(\d+)\]")
_PERCENT = re.compile(r"^\s*\[\s*(\d+)%\]")
_PHASES: tuple[tuple[str, Phase], ...] = (
    ("Installing build dependencies", "preparing"),
    ("Configuring CMake", "configuring"),
    ("Building project with", "compiling"),
    ("Installing project into wheel", "packing"),
    ("Making wheel", "packing"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far it is."""

    phase: Phase
    done: int = 0
    total: int = 0
    """0: nobody knows yet."""


StepReport: TypeAlias = "Callable[[Step], None]"


class Progress:
    """Reads the words of pip, CMake and Ninja, and reports every step once."""

    def __init__(self, report: StepReport) -> None:
        self._report = report
        self._last = Step(phase="preparing")

    def read(self, line: str) -> None:
        step = self._understood(line)
        if step is not None and step != self._last:
            self._last = step
            self._report(step)

    def _understood(self, line: str) -> Step | None:
        if found := _STEP.match(line):
            return Step(phase="compiling", done=int(found[1]), total=int(found[2]))
        if found := _PERCENT.match(line):
            return Step(phase="compiling", done=int(found[1]), total=100)
        return next((Step(phase=phase) for words, phase in _PHASES if words in line), None)


def parallel_jobs(cores: int, available_bytes: int) -> int:
    """Return how many compilers may run at once: one per core, as far as memory allows."""
    return max(1, min(cores, available_bytes // BYTES_PER_JOB))


def build_wheel(
    archive: Path,
    *,
    pip: Sequence[str],
    cmake_arguments: Sequence[str],
    folder: Path,
    log: Path,
    jobs: int,
    report: StepReport,
    build_constraint: Path | None = None,
) -> Path:
    """Compile the source archive and return the wheel, in `folder`. Raises CommandError.

    `folder` is kept between tries by the caller: what is compiled already is not compiled again.
    """
    source = _unpacked(archive, folder)
    # Left by an interrupted try, perhaps half written.
    shutil.rmtree(source / "llama_cpp" / "lib", ignore_errors=True)
    out, scratch = folder / "out", folder / "tmp"
    for made in (out, scratch):
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
    environ = plain_environment() | {
        "CMAKE_ARGS": shlex.join(cmake_arguments),
        "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(scratch),
    }
    environ.pop("NINJA_STATUS", None)
    if build_constraint is not None:
        environ["PIP_BUILD_CONSTRAINT"] = str(build_constraint)
    command = [*pip, "wheel", "--verbose", "--no-deps", "--wheel-dir", str(out)]
    run_logged(
        [*command, f"--config-settings=build-dir={folder / 'build'}", str(source)],
        log=log,
        what="Compiling llama.cpp",
        environ=environ,
        on_line=Progress(report).read,
    )
    return next(out.glob("*.whl"))


def lean_arguments() -> tuple[str, ...]:
    """Return the options that leave out what Planact never loads."""
    include = files("planact_quantized.building").joinpath("fewer_targets.cmake")
    return (*LEAN, f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={include}")


def _unpacked(archive: Path, folder: Path) -> Path:
    source = folder / "source" / archive.name.removesuffix(".tar.gz")
    whole = folder / "source.whole"
    if not whole.exists():
        shutil.rmtree(folder / "source", ignore_errors=True)
        with tarfile.open(archive) as packed:
            packed.extractall(folder / "source", filter="data")
        whole.touch()
    return source
