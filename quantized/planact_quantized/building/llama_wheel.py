"""llama-cpp-python for this machine: compiled once with progress, kept in the user's cache, installed in seconds.

The registry has it as a source archive only, so that installing it means minutes of silence, and a crash where the
processor has less than the one that it was compiled for. Use: `python -m planact_quantized.building.llama_wheel`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import unquote, urlparse

from planact_quantized.building.llama_source import PACKAGE, VERSION, SourceError, fetch_source, plain_environment
from planact_quantized.building.pip_tool import CommandError, pip_for, run_logged
from planact_quantized.building.toolchain import (
    BUILD_BACKENDS,
    BuildBackend,
    MissingToolError,
    Toolchain,
    choose_backend,
    cmake_arguments,
    find_toolchain,
    require,
)
from planact_quantized.building.wheel_build import Step, StepReport, build_wheel, lean_arguments, parallel_jobs
from planact_quantized.building.wheel_cache import WheelCache, WheelKey, cache_folder
from planact_quantized.building.wheel_progress import showing
from planact_quantized.file_lock import LockedError, locked
from planact_quantized.fitting.host import Host, read_host

if TYPE_CHECKING:
    from collections.abc import Sequence

BackendChoice: TypeAlias = Literal["auto", "cpu", "cuda", "metal", "vulkan"]

BUILD_SECONDS = 2 * 3600.0
"""How long to wait for another process that builds the same."""

FAILED, MISSING, INTERRUPTED = 1, 2, 130


class WheelError(Exception):
    """llama-cpp-python cannot be built or installed. The message says why, with the end of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is wanted."""

    backend: BackendChoice = "auto"
    constraint: Path | None = None
    """Versions for what is installed along."""

    source: Path | None = None
    """A source archive that somebody brought by hand."""

    jobs: int | None = None
    """Compilers at once; None: by cores and memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of an order."""

    backend: BuildBackend
    wheel: Path
    built: bool
    installed: bool
    """False: it was there already."""

    note: str = ""


def provide(order: Order, *, report: StepReport, toolchain: Toolchain | None = None, host: Host | None = None) -> Done:
    """See to it that llama-cpp-python is installed as ordered. Raises MissingToolError and WheelError."""
    toolchain = toolchain or find_toolchain()
    host = host or read_host()
    choice = choose_backend(toolchain)
    backend: BuildBackend = choice.backend if order.backend == "auto" else order.backend
    note = choice.note if order.backend == "auto" else ""
    cache = WheelCache(cache_folder() / "llama")
    key = wheel_key(backend, toolchain, host)
    wheel = cache.find(key)
    built = wheel is None
    try:
        if wheel is None:
            require(toolchain, backend)
            wheel = _build(order, cache, key, toolchain, host, report)
        installed = _install(order, wheel, cache, key, report)
    except CommandError as error:
        raise WheelError("\n".join((*error.tail, "", str(error)))) from None
    except (SourceError, OSError) as error:
        raise WheelError(str(error)) from None
    return Done(backend=backend, wheel=wheel, built=built, installed=installed, note=note)


def wheel_key(backend: BuildBackend, toolchain: Toolchain, host: Host) -> WheelKey:
    """Return what a build for this machine depends on."""
    accelerator = ""
    if backend == "cuda":
        accelerator = " ".join((_nvcc_release(toolchain.nvcc), *sorted({card.capability for card in toolchain.cards})))
    # Ours are told apart by the version of Planact's own that this is, not by where it lies.
    lean = tuple(Path(argument).name for argument in lean_arguments())
    return WheelKey(
        version=VERSION,
        backend=backend,
        cmake_arguments=(*lean, *cmake_arguments(toolchain, backend), *_users_arguments()),
        instruction_sets=host.instruction_sets or (host.processor,),
        accelerator=accelerator,
    )


def _users_arguments() -> list[str]:
    return shlex.split(os.environ.get("CMAKE_ARGS", ""))


def _build(
    order: Order, cache: WheelCache, key: WheelKey, toolchain: Toolchain, host: Host, report: StepReport
) -> Path:
    try:
        with locked(cache.lock_file(key), seconds=BUILD_SECONDS):
            if (there := cache.find(key)) is not None:  # somebody else built it while we waited
                return there
            report(Step(phase="fetching"))
            archive = fetch_source(given=order.source)
            folder = cache.building(key)
            report(Step(phase="preparing"))
            wheel = build_wheel(
                archive,
                pip=pip_for(sys.executable, folder),
                # The user's own come last, where they win.
                cmake_arguments=(*lean_arguments(), *cmake_arguments(toolchain, _backend(key)), *_users_arguments()),
                folder=folder,
                log=cache.log(key),
                jobs=order.jobs or parallel_jobs(host.cores, host.available_bytes),
                report=report,
                build_constraint=order.constraint,
            )
            return cache.keep(key, wheel)
    except LockedError:
        raise WheelError("Another process has been building llama.cpp for too long; try again later.") from None


def _backend(key: WheelKey) -> BuildBackend:
    return next(backend for backend in BUILD_BACKENDS if backend == key.backend)


def _install(order: Order, wheel: Path, cache: WheelCache, key: WheelKey, report: StepReport) -> bool:
    """Install a wheel with what it needs, unless it is there; return whether it had to be."""
    if installed_from() == wheel:
        return False
    report(Step(phase="installing"))
    # A build for another backend has the same version, and would count as installed.
    again = ["--force-reinstall", "--no-deps"]
    constrained = [] if order.constraint is None else ["--constraint", str(order.constraint)]
    with tempfile.TemporaryDirectory() as workplace:
        pip = pip_for(sys.executable, Path(workplace))
        for options in (again, constrained):
            run_logged(
                [*pip, "install", *options, str(wheel)],
                log=cache.log(key),
                what=f"Installing {wheel.name}",
                environ=plain_environment(),
            )
    return True


def installed_from() -> Path | None:
    """Return the wheel that llama-cpp-python was installed from; None when it is not there, or came otherwise."""
    importlib.invalidate_caches()
    try:
        text = importlib.metadata.distribution(PACKAGE).read_text("direct_url.json")
        url = urlparse(str(json.loads(text or "")["url"]))
    except (importlib.metadata.PackageNotFoundError, ValueError, LookupError, TypeError):
        return None
    if url.scheme != "file":
        return None
    path = unquote(url.path)
    return Path(path.removeprefix("/") if sys.platform == "win32" else path)  # file:///C:/…


def _nvcc_release(nvcc: str | None) -> str:
    if nvcc is None:
        return ""
    said = subprocess.run(  # noqa: S603 - the compiler itself
        [nvcc, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    ).stdout
    return next((line.strip() for line in said.splitlines() if "release" in line), "")


def main(argv: Sequence[str] | None = None) -> int:
    """Build and install; exit code 1 when that failed, 2 when something has to be installed first."""
    parser = argparse.ArgumentParser(
        prog="python -m planact_quantized.building.llama_wheel", description="Build llama-cpp-python for this machine."
    )
    parser.add_argument("--backend", choices=("auto", *BUILD_BACKENDS), default="auto")
    parser.add_argument("--constraint", type=Path, metavar="FILE", help="versions of what is installed along")
    parser.add_argument("--source", type=Path, metavar="FILE", help="the source archive, brought by hand")
    parser.add_argument("--jobs", type=int, metavar="N", help="compilers at once")
    given = parser.parse_args(argv)
    order = Order(backend=given.backend, constraint=given.constraint, source=given.source, jobs=given.jobs)
    try:
        with showing() as report:
            done = provide(order, report=report)
    except MissingToolError as error:
        sys.stderr.write(f"{error}\n")
        return MISSING
    except WheelError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. What was compiled is kept: the same command goes on from there.\n")
        return INTERRUPTED
    if done.note:
        sys.stderr.write(f"{done.note}\n")
    if done.installed:
        sys.stderr.write(f"{PACKAGE} {VERSION} for {done.backend} is installed.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
