"""A file that may become a model: looked at, named, and written down."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from planact_quantized.models.checks import check_model
from planact_quantized.models.gguf import GGUFHeader, read_header
from planact_quantized.models.index import Model, Origin
from planact_quantized.models.known import find_known, recognize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file that was looked at and can be used."""

    path: Path
    header: GGUFHeader
    notes: tuple[str, ...]
    known: str | None
    """Its id in the catalogue, by file name and shape."""


def examine(path: Path) -> Candidate:
    """Look at a file that might become a model. Raises GGUFError."""
    header = read_header(path)
    notes = check_model(header)
    known = recognize(path.name, quantization=header.quantization, layers=header.layers, width=header.width)
    return Candidate(path=path, header=header, notes=notes, known=known.id if known else None)


def safe_name(name: str) -> str:
    """Return a name that is one part of a path on every system, whatever it came from."""
    safe = _UNSAFE.sub("-", name).strip(".-")
    return safe if safe[:1].isalnum() else f"model-{safe}".rstrip("-")


def own_ids(candidate: Candidate) -> Iterator[str]:
    """Yield what a model may be called, the best first."""
    if candidate.known is not None:
        yield candidate.known
    stem = safe_name(candidate.path.stem)[:90]
    yield stem
    yield from (f"{stem}-{number}" for number in range(2, 1000))


def record(
    candidate: Candidate, *, path: Path, id: str, owned: bool, sha256: str | None, origin: Origin, source: str = ""
) -> Model:
    """Return what is written down about a file that now lies at `path`. Raises OSError."""
    header, state = candidate.header, path.stat()
    known = find_known(candidate.known) if candidate.known is not None else None
    licence = header.metadata.get("general.license")
    return Model(
        id=id,
        path=path,
        owned=owned,
        bytes=state.st_size,
        modified_ns=state.st_mtime_ns,
        sha256=sha256,
        architecture=header.architecture,
        quantization=header.quantization,
        parameters=header.parameters,
        context_tokens=header.context_tokens,
        template_sha256=header.template_sha256,
        known=known.id if known else None,
        licence=known.licence.id if known else licence if isinstance(licence, str) and licence else None,
        origin=origin,
        source=source,
        added=datetime.now(UTC),
    )
