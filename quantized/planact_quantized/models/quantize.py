"""Making a model smaller: llama.cpp's quantization in a process of its own, into a file that is whole or not there."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast

from planact_quantized import launching
from planact_quantized.models.checks import check_model
from planact_quantized.models.ggml_types import FILE_TYPES, TENSOR_TYPES
from planact_quantized.models.gguf import GGUFError, GGUFHeader, read_header
from planact_quantized.models.large_files import Report, require_space, silent
from planact_quantized.models.quantization_types import TYPES
from planact_quantized.models.quantize_child import NO_LLAMA_CPP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

WHOLE: Final = frozenset({"F32", "F16", "BF16"})
"""Tensor types that lose nothing worth speaking of when they are read."""

_FILE_NUMBERS: Final = {name: number for number, name in FILE_TYPES.items()}
_BY_NAME: Final = {kind.name.lower(): kind for kind in TENSOR_TYPES.values()}
_LAST_LINES: Final = 12
_TENSOR: Final = re.compile(r"\[ *\d+/ *\d+\] +(\S+) +- +\[.*?\], type = *(\S+), .*size = .*MiB(?: \((\S+)\))?\s*$")
_FALLBACK: Final = re.compile(
    r"warning: (\S+) +- ncols +(\d+) not divisible by +(\d+) \(required for type +(\S+)\).*-> falling back to +(\S+)"
)


class QuantizeError(Exception):
    """A model cannot be quantized. The message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """A tensor whose rows do not fit the wanted type and that stays larger."""

    tensor: str
    row: int
    block: int
    wanted: str
    got: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a quantization will do, worked out by llama.cpp without doing it."""

    header: GGUFHeader
    type: str
    bytes: int
    """Size of the file to come."""

    fallbacks: tuple[Fallback, ...]
    allow_requantize: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A file that was made."""

    header: GGUFHeader
    seconds: float


def plan_quantization(source: Path, kind: str, *, allow_requantize: bool = False) -> Plan:
    """Look at a model and say what it will become. Raises QuantizeError, GGUFError."""
    header = read_header(source)
    check_model(header)
    if kind not in TYPES:
        raise QuantizeError(f"{kind!r} is no type that can be made. There are {', '.join(TYPES)}.")
    if header.quantization == kind:
        raise QuantizeError(f"{source.name!r} is {kind} already.")
    already = sorted({tensor.type for tensor in header.tensors} - WHOLE)
    if already and not allow_requantize:
        raise QuantizeError(
            f"{source.name!r} is quantized already ({', '.join(already)}); doing it again loses more than going there "
            f"at once. Take the F16, BF16 or F32 file of this model, or say --allow-requantize."
        )
    types: dict[str, str] = {}
    fallbacks: list[Fallback] = []

    def take(line: str) -> None:
        if match := _TENSOR.search(line):
            types[match[1]] = match[3] or match[2]
        elif match := _FALLBACK.search(line):
            fallbacks.append(_fallback(match))

    _run(source, None, _Request(kind, threads=1, allow_requantize=allow_requantize), take)
    return Plan(
        header=header,
        type=kind,
        bytes=_size(header, types),
        fallbacks=tuple(fallbacks),
        allow_requantize=allow_requantize,
    )


def quantize(plan: Plan, target: Path, *, force: bool = False, threads: int = 0, report: Report = silent) -> Quantized:
    """Do it. Raises QuantizeError, GGUFError, NoSpaceError; then there is nothing new at `target`.

    `report` counts bytes of the source. Interrupting the wait stops the work and leaves nothing.
    """
    source = plan.header.path
    _check_target(source, target, force=force)
    require_space(target.parent, plan.bytes, what=repr(target.name))
    began = time.monotonic()
    sizes = {tensor.name: tensor.bytes for tensor in plan.header.tensors}
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    done = 0

    def take(line: str) -> None:
        nonlocal done
        if match := _TENSOR.search(line):
            done += sizes.get(match[1], 0)
            report(done, plan.header.weight_bytes)

    try:
        report(0, plan.header.weight_bytes)
        request = _Request(plan.type, threads=threads, allow_requantize=plan.allow_requantize)
        _run(source, partial, request, take)
        header = _checked(partial, plan)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if not force and target.exists():  # it came while we worked
            raise QuantizeError(_exists(target))
        partial.replace(target)
    except OSError as error:
        raise QuantizeError(f"{str(target)!r} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return Quantized(header=header, seconds=time.monotonic() - began)


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    if not target.parent.is_dir():
        raise QuantizeError(f"There is no folder {str(target.parent)!r} to write into.")
    if target.is_dir():
        raise QuantizeError(f"{str(target)!r} is a folder. Name the file to write.")
    if target.exists() and target.samefile(source):
        raise QuantizeError(f"{str(target)!r} is the model itself. Name another file to write.")
    if target.exists() and not force:
        raise QuantizeError(_exists(target))


def _exists(target: Path) -> str:
    return f"{str(target)!r} is already there. --force overwrites it."


def _checked(partial: Path, plan: Plan) -> GGUFHeader:
    try:
        header = read_header(partial)
        check_model(header)
    except GGUFError as error:
        raise QuantizeError(f"What llama.cpp wrote is not usable: {error}") from None
    if header.quantization != plan.type or len(header.tensors) != len(plan.header.tensors):
        raise QuantizeError(
            f"What llama.cpp wrote is not what was asked for: {len(header.tensors)} tensors of {header.quantization!r} "
            f"instead of {len(plan.header.tensors)} of {plan.type!r}."
        )
    return header


@dataclass(frozen=True, slots=True)
class _Request:
    kind: str
    threads: int
    allow_requantize: bool


def _run(source: Path, target: Path | None, request: _Request, take: Callable[[str], None]) -> None:
    """Have a child process do it, or only work it out where there is no target. Raises QuantizeError.

    Each line that llama.cpp says is given to `take`.
    """
    message: dict[str, Any] = {
        "source": str(source.absolute()),
        "target": str(target.absolute()) if target is not None else None,
        "file_type": _FILE_NUMBERS[request.kind],
        "threads": request.threads,
        "allow_requantize": request.allow_requantize,
    }
    last: deque[str] = deque(maxlen=_LAST_LINES)
    child = subprocess.Popen(  # noqa: S603 - our own module
        [*launching.module("planact_quantized.models.quantize_child"), json.dumps(message)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=launching.environment(),
        cwd=launching.FOLDER,
        **launching.options(),
    )
    said, held = cast(IO[str], child.stdout), cast(IO[str], child.stdin)
    try:
        for line in said:
            last.append(line.rstrip())
            take(line)
        code = child.wait()
    finally:
        # Whatever came in between: nobody writes on when we have gone.
        child.kill()
        child.wait()
        held.close()
        said.close()
    if code:
        raise QuantizeError(_what_happened(code, list(last), source))


def _what_happened(code: int, last: list[str], source: Path) -> str:
    if code == NO_LLAMA_CPP:
        return f"llama-cpp-python cannot be loaded ({' '.join(last)}). `planact models setup` builds it."
    reason = next((line for line in reversed(last) if "failed to quantize" in line or "rror" in line), "")
    reason = reason.partition("failed to quantize: ")[2] or reason or " ".join(last[-2:])
    if code < 0:
        said = launching.ending(code)
        hint = " The system may have run out of memory." if said.endswith("SIGKILL") else ""
        return f"llama.cpp {said} while it quantized {source.name!r}.{hint} Its last words: {reason or 'none'}."
    return f"llama.cpp could not quantize {source.name!r}: {reason.strip().rstrip('.')}."


def _fallback(match: re.Match[str]) -> Fallback:
    return Fallback(
        tensor=match[1], row=int(match[2]), block=int(match[3]), wanted=match[4].upper(), got=match[5].upper()
    )


def _size(header: GGUFHeader, types: Mapping[str, str]) -> int:
    """Return the size of a file with the same tensors in other types."""
    size = header.data_offset
    for tensor in header.tensors:
        kind = _BY_NAME.get(types.get(tensor.name, "").lower())
        size += kind.size(tensor.shape) if kind is not None else tensor.bytes
        size += -size % header.alignment
    return size
