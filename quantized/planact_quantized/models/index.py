"""What is written down about the models on this machine: one JSON file, never half of one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - Pydantic reads the annotations
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from planact_quantized.whole_file import write_whole

INDEX_NAME = "index.json"
VERSION = 1

Origin: TypeAlias = Literal["pulled", "added", "quantized", "found"]


class _Record(BaseModel):
    # Unknown keys are kept: a newer Planact may have written them.
    model_config = ConfigDict(frozen=True, extra="allow")


class Model(_Record):
    """A model on this machine."""

    id: str
    path: Path
    """Absolute; in the index relative to its folder where the file lies in there."""

    owned: bool
    """The file lies in our folder and goes with the model; else it is somebody's own, and only referred to."""

    bytes: int
    modified_ns: int
    """With `bytes`, what tells that a file was replaced since its hash was taken."""

    sha256: str | None
    """None while nobody has needed it: it takes seconds."""

    architecture: str
    quantization: str
    parameters: int
    context_tokens: int
    template_sha256: str | None = None
    known: str | None = None
    """Its id in the catalogue."""

    licence: str | None = None
    """A licence's id in the catalogue, or what its file says; None: not known."""

    origin: Origin
    source: str = ""
    """Where it came from: a URL or a path."""

    added: datetime

    @field_validator("path")
    @classmethod
    def _can_be_looked_at(cls, path: Path) -> Path:
        if "\0" in str(path):
            raise ValueError("no path holds a null character")
        return path

    @property
    def problem(self) -> str | None:
        """Return why it cannot be used as it is recorded, in a few words."""
        try:
            state = self.path.stat()
        except OSError:
            return "its file is gone"
        if (state.st_size, state.st_mtime_ns) != (self.bytes, self.modified_ns):
            return "its file was changed"
        return None


class Acceptance(_Record):
    """A person's yes to a licence."""

    licence: str
    when: datetime
    how: Literal["terminal", "flag"]


class Index(_Record):
    """Everything that is written down."""

    version: int = VERSION
    models: tuple[Model, ...] = Field(default=())
    accepted: tuple[Acceptance, ...] = Field(default=())


class DamagedIndexError(Exception):
    """The index cannot be read as one."""


def read_index(folder: Path) -> Index | None:
    """Return the index of a folder; None where there is none. Raises DamagedIndexError, OSError."""
    file = folder / INDEX_NAME
    if file.exists() and not file.is_file():
        raise DamagedIndexError("it is not a file")  # reading a pipe would wait for ever
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        index = Index.model_validate_json(raw)
    except ValidationError as error:
        raise DamagedIndexError(f"{error.error_count()} errors, the first: {error.errors()[0]['msg']}") from None
    if index.version != VERSION:
        raise DamagedIndexError(f"its version is {index.version}, not {VERSION}")
    return index.model_copy(
        update={"models": tuple(model.model_copy(update={"path": folder / model.path}) for model in index.models)}
    )


def write_index(folder: Path, index: Index) -> None:
    """Replace the index of a folder; whatever happens, the old one or the new one is there. Raises OSError."""
    models = [model.model_copy(update={"path": _relative(model.path, folder)}) for model in index.models]
    raw = index.model_copy(update={"models": tuple(models)}).model_dump(mode="json")
    write_whole(folder / INDEX_NAME, json.dumps(raw, indent=1).encode(), durable=True)


def put_aside(folder: Path) -> Path:
    """Rename an index that cannot be read, and return where it is now. Raises OSError."""
    aside = folder / f"index.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.json"
    return (folder / INDEX_NAME).rename(aside)


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
