"""What a model can run on: devices as ggml sees them, with their free memory.

ggml is asked in a short-lived child process (`ggml.py`), because asking loads the drivers, and one that crashes must
not take us along.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from planact_quantized import launching
from planact_quantized.backend import BackendError
from planact_quantized.fitting.host import Host, read_host

if TYPE_CHECKING:
    from collections.abc import Sequence

DeviceKind: TypeAlias = Literal["gpu", "igpu", "accelerator"]
"""`igpu` shares the machine's memory; an `accelerator` (BLAS, AMX) helps the CPU and holds no layers."""

PROBE_SECONDS = 60.0
"""A first look at a driver may take long; one that takes longer hangs."""

CPU = "cpu"
INSTALL = "Run `planact models setup`, or see docs/gpu.md."


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Something besides the CPU that can hold layers of a model."""

    name: str
    """As ggml gives it: `CUDA0`, `MTL0`, `Vulkan0`."""

    description: str
    kind: DeviceKind
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything that a model could run on here."""

    host: Host
    devices: tuple[Device, ...] = ()
    """In ggml's order."""

    llama_cpp: str = ""
    """Version of llama-cpp-python."""

    gpu_offload: bool = False
    """This build of llama.cpp found a device that it can put layers on."""

    system_info: str = ""
    """llama.cpp's own words: what it was built with and found."""

    @property
    def gpus(self) -> tuple[Device, ...]:
        """Return the devices that layers can go to: discrete ones, and integrated ones where there are no others."""
        return tuple(each for each in self.devices if each.kind == "gpu") or tuple(
            each for each in self.devices if each.kind == "igpu"
        )


class ProbeError(BackendError):
    """The devices cannot be had: llama.cpp is missing, or a driver crashed or hung."""

    def __init__(self, message: str) -> None:
        super().__init__(message, fault="unavailable")


def llama_cpp_installed() -> bool:
    """Return whether llama-cpp-python is there, without loading it."""
    return find_spec("llama_cpp") is not None


def require_llama_cpp() -> None:
    """Raise ProbeError where llama-cpp-python, or NumPy that it needs, is not there. Loads neither."""
    for name, module in (("llama-cpp-python", "llama_cpp"), ("NumPy", "numpy")):
        if find_spec(module) is None:
            raise ProbeError(f"{name} is not installed, so nothing can run a model here. {INSTALL}")


def read_machine(*, command: Sequence[str] = (), seconds: float = PROBE_SECONDS) -> Machine:
    """Ask ggml for its devices in a child process, and the system for the rest. Raises ProbeError.

    Blocks for about a second. `command` stands in for the child (tests).
    """
    if not command:
        require_llama_cpp()
    argv = command or launching.module("planact_quantized.fitting.ggml")
    try:
        ended = subprocess.run(  # noqa: S603 - our own module, or what a test gives
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            text=True,
            errors="replace",
            # ggml looks for drivers in the current folder, too, which may be anybody's.
            cwd=launching.FOLDER,
            env=launching.environment(),
        )
    except subprocess.TimeoutExpired:
        raise ProbeError(
            f"Looking for devices took more than {seconds:g} s: a driver hangs. `planact models fit --device cpu` "
            "goes without them."
        ) from None
    except OSError as error:
        raise ProbeError(f"Looking for devices failed: {argv[0]!r} cannot be started ({error}).") from None
    if ended.returncode != 0:
        raise ProbeError(_how_it_ended(ended.returncode, ended.stderr))
    try:
        # Drivers write to standard output too; the last line is ours.
        return _machine(json.loads(ended.stdout.strip().splitlines()[-1]))
    except (ValueError, LookupError, TypeError) as error:
        raise ProbeError(f"Looking for devices gave no usable answer ({error}).") from None


def host_only() -> Machine:
    """Return the machine without asking any driver: for when the CPU is all that is wanted."""
    return Machine(host=read_host())


def _how_it_ended(code: int, stderr: str) -> str:
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    said = f": {last[:300]}" if last else ""
    how = launching.ending(code)
    return f"Looking for devices {how}{said}. The driver or this build of llama.cpp is broken. {INSTALL}"


def _machine(found: dict[str, Any]) -> Machine:
    return Machine(
        host=read_host(),
        devices=tuple(
            Device(
                name=str(each["name"]),
                description=str(each["description"]),
                kind=cast(DeviceKind, each["kind"]),
                free_bytes=int(each["free_bytes"]),
                total_bytes=int(each["total_bytes"]),
            )
            for each in found["devices"]
        ),
        llama_cpp=str(found["llama_cpp"]),
        gpu_offload=bool(found["gpu_offload"]),
        system_info=str(found["system_info"]),
    )
