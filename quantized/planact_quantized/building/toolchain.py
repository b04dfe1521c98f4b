"""What this system can build llama.cpp with, and what to install where something is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

BuildBackend: TypeAlias = Literal["cpu", "cuda", "metal", "vulkan"]
BUILD_BACKENDS: tuple[BuildBackend, ...] = ("cpu", "cuda", "metal", "vulkan")

OS_RELEASE = Path("/etc/os-release")
TOOL_SECONDS = 20.0

_CUDA_FOLDERS = ("/usr/local/cuda", "/opt/cuda")
_COMPILERS = ("c++", "g++", "clang++")
_WINDOWS_COMPILERS = ("cl", "clang-cl")

_COMPILER_ADVICE = {
    "debian": "sudo apt install build-essential",
    "fedora": "sudo dnf install gcc-c++ make",
    "suse": "sudo zypper install gcc-c++ make",
    "arch": "sudo pacman -S base-devel",
    "alpine": "sudo apk add build-base linux-headers",
    "darwin": "xcode-select --install",
    "win32": 'install the "Build Tools for Visual Studio" with the workload "Desktop development with C++", '
    'and run this in the "x64 Native Tools Command Prompt"',
    "": "install GCC or Clang with C++ from your system's packages",
}
_CUDA_ADVICE = {
    "debian": "sudo apt install nvidia-cuda-toolkit, or NVIDIA's own package cuda-toolkit for a card newer than that",
    "fedora": "sudo dnf install cuda-toolkit, from NVIDIA's repository",
    "suse": "sudo zypper install cuda-toolkit, from NVIDIA's repository",
    "arch": "sudo pacman -S cuda",
    "": "install NVIDIA's CUDA Toolkit",
}
_VULKAN_ADVICE = {
    "debian": "sudo apt install libvulkan-dev glslc spirv-headers",
    "fedora": "sudo dnf install vulkan-devel glslc",
    "arch": "sudo pacman -S vulkan-headers vulkan-icd-loader shaderc",
    "": "install the Vulkan SDK",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NvidiaCard:
    """A card as the driver lists it."""

    name: str
    capability: str
    """`8.9`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """What is there. Nothing is found by guessing: a program counts when it is on PATH or where its variable says."""

    system: str
    """`debian`, `fedora`, `suse`, `arch`, `alpine`, `darwin`, `win32`, or '' for others."""

    machine: str
    """`x86_64`, `arm64`, …"""

    compiler: str | None
    nvcc: str | None
    cards: tuple[NvidiaCard, ...]
    driver: str
    """Of the NVIDIA cards; '' without."""

    glslc: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTarget:
    """What llama.cpp is to be built for."""

    backend: BuildBackend
    note: str = ""
    """Why it is not what one might expect."""


class MissingToolError(Exception):
    """Something has to be installed first. The message says what, and how on this system."""


def find_toolchain(
    *, environ: Mapping[str, str] | None = None, system: str = sys.platform, os_release: Path = OS_RELEASE
) -> Toolchain:
    """Look for compilers and cards; takes as long as `nvidia-smi`, where there is one."""
    environ = os.environ if environ is None else environ
    search = environ.get("PATH")
    cards, driver = _nvidia(search)
    return Toolchain(
        system=_family(os_release) if system == "linux" else system,
        machine=platform.machine().lower(),
        compiler=_compiler(environ, search, system),
        nvcc=_nvcc(environ, search),
        cards=cards,
        driver=driver,
        glslc=shutil.which("glslc", path=search),
    )


def choose_backend(toolchain: Toolchain) -> BuildTarget:
    """Return the best that this machine has: Metal, CUDA, else the CPU, with a note where a card goes unused."""
    if toolchain.system == "darwin" and toolchain.machine == "arm64":
        return BuildTarget(backend="metal")
    if toolchain.cards and toolchain.nvcc:
        return BuildTarget(backend="cuda")
    if toolchain.cards:
        return BuildTarget(
            backend="cpu",
            note=f"{toolchain.cards[0].name} stays unused, because CUDA's compiler (nvcc) is not installed: "
            f"{_advice(_CUDA_ADVICE, toolchain)}.",
        )
    return BuildTarget(backend="cpu")


def require(toolchain: Toolchain, backend: BuildBackend) -> None:
    """Raise MissingToolError unless llama.cpp can be built for a backend with what is here."""
    if toolchain.compiler is None:
        raise MissingToolError(
            f"llama.cpp has to be compiled, and there is no C++ compiler: {_advice(_COMPILER_ADVICE, toolchain)}."
        )
    if backend == "metal" and toolchain.system != "darwin":
        raise MissingToolError("Metal is Apple's; on this system there are cpu, cuda and vulkan.")
    if backend == "cuda" and toolchain.nvcc is None:
        raise MissingToolError(
            f"A build for CUDA needs its compiler (nvcc), which is neither on PATH nor in CUDA_HOME: "
            f"{_advice(_CUDA_ADVICE, toolchain)}."
        )
    if backend == "vulkan" and toolchain.glslc is None:
        raise MissingToolError(
            f"A build for Vulkan needs its shader compiler (glslc): {_advice(_VULKAN_ADVICE, toolchain)}."
        )


def cmake_arguments(toolchain: Toolchain, backend: BuildBackend) -> tuple[str, ...]:
    """Return the options of llama.cpp's build for a backend."""
    match backend:
        case "cpu":
            return ()
        case "cuda":
            # The cards of this machine only: every architecture more costs minutes.
            architectures = ";".join(sorted({card.capability.replace(".", "") for card in toolchain.cards})) or "native"
            found = () if toolchain.nvcc is None else (f"-DCMAKE_CUDA_COMPILER={toolchain.nvcc}",)
            return ("-DGGML_CUDA=on", f"-DCMAKE_CUDA_ARCHITECTURES={architectures}", *found)
        case "metal":
            return ("-DGGML_METAL=on",)
        case "vulkan":
            return ("-DGGML_VULKAN=on",)


def _advice(advice: Mapping[str, str], toolchain: Toolchain) -> str:
    return advice.get(toolchain.system) or advice[""]


def _family(os_release: Path) -> str:
    try:
        text = os_release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = dict(re.findall(r'^(ID|ID_LIKE)="?([^"\n]*)"?$', text, re.MULTILINE))
    named = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".lower().split()
    kinds = {"debian": "debian", "ubuntu": "debian", "fedora": "fedora", "rhel": "fedora", "centos": "fedora"}
    kinds |= {"suse": "suse", "opensuse": "suse", "arch": "arch", "alpine": "alpine"}
    return next((kinds[name] for name in named if name in kinds), "")


def _compiler(environ: Mapping[str, str], search: str | None, system: str) -> str | None:
    if environ.get("CXX"):
        return shutil.which(environ["CXX"].split()[0], path=search)
    names = (*_WINDOWS_COMPILERS, *_COMPILERS) if system == "win32" else _COMPILERS
    return next((found for name in names if (found := shutil.which(name, path=search))), None)


def _nvcc(environ: Mapping[str, str], search: str | None) -> str | None:
    if found := shutil.which("nvcc", path=search):
        return found
    homes = [environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)]
    folders = [str(Path(home) / "bin") for home in (*homes, *_CUDA_FOLDERS)]
    return shutil.which("nvcc", path=os.pathsep.join(folders))


def _nvidia(search: str | None) -> tuple[tuple[NvidiaCard, ...], str]:
    """Return the cards and the driver's version."""
    program = shutil.which("nvidia-smi", path=search)
    if program is None:
        return (), ""
    try:
        said = subprocess.run(  # noqa: S603 - the driver's own program, with nothing from outside
            [program, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TOOL_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):  # a driver that does not answer is no driver
        return (), ""
    rows = [[cell.strip() for cell in line.split(",")] for line in said.splitlines() if line.count(",") == 2]
    cards = tuple(NvidiaCard(name=name, capability=capability) for name, capability, _ in rows)
    return cards, rows[0][2] if rows else ""
