"""The catalogue of models that Planact knows (catalog.toml)."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, PositiveInt

from planact_quantized.models.hub import page_url

MOST_HINTS = 4
Source: TypeAlias = Literal["first-party", "third-party"]


class UnknownModelError(Exception):
    """There is no model of that name. The message says which ones come near."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Licence(_Entry):
    """Under which terms a model may be used."""

    id: str
    title: str
    link: str
    non_commercial: bool


class Shape(_Entry):
    """The numbers of a transformer that decide how much memory it takes."""

    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    feed_forward: PositiveInt
    vocabulary: PositiveInt
    tied: bool
    """Whether the output layer is the token table itself."""


class KnownModel(_Entry):
    """One file that can be had: a model in one quantization."""

    id: str
    """`tiny-agent-a-0.5b:Q4_K_M`"""

    title: str
    page: str
    base: str
    """The repository of the model that it was trained from."""

    licence: Licence
    context_tokens: PositiveInt
    shape: Shape
    quantization: str
    repository: str
    file: str
    approximate_bytes: PositiveInt
    """As the page shows it, rounded; the hub gives the exact size when it is pulled."""

    source: Source
    """Who made this file: the model's makers, or somebody else from their weights."""

    sha256: str | None = None
    template_sha256: str | None = None

    @property
    def url(self) -> str:
        """Return where a person gets the file by hand."""
        return page_url(self.repository, self.file)


@cache
def known_models() -> tuple[KnownModel, ...]:
    """Return the catalogue, the smallest models first."""
    raw = tomllib.loads(files("planact_quantized.models").joinpath("catalog.toml").read_text(encoding="utf-8"))
    licences = {name: Licence(id=name, **fields) for name, fields in raw["licences"].items()}
    return tuple(model for entry in raw["models"] for model in _models(entry, licences))


def find_known(name: str) -> KnownModel:
    """Return the model of this id, or of the only id that begins so. Raises UnknownModelError.

    The id without a quantization is the Q4_K_M of that model.
    """
    wanted = name.lower()
    by_id = {model.id.lower(): model for model in known_models()}
    for spelled in (wanted, f"{wanted}:q4_k_m"):
        if spelled in by_id:
            return by_id[spelled]
    beginning = [model for spelled, model in by_id.items() if wanted and spelled.startswith(wanted)]
    if len(beginning) == 1:
        return beginning[0]
    near = [model.id for model in beginning] or [by_id[close].id for close in get_close_matches(wanted, by_id, n=3)]
    hint = f" Did you mean {', '.join(near[:MOST_HINTS])}?" if near else ""
    raise UnknownModelError(f"There is no model {name!r} in the catalogue.{hint} `planact models list` shows them all.")


def known_by_file(file_name: str) -> KnownModel | None:
    """Return the known model whose file has this name."""
    return next((model for model in known_models() if model.file.lower() == file_name.lower()), None)


def recognize(file_name: str, *, quantization: str, layers: int, width: int) -> KnownModel | None:
    """Return the known model that a file of this name and shape is, if it is one."""
    model = known_by_file(file_name)
    if model is None or model.quantization != quantization:
        return None
    return model if (model.shape.layers, model.shape.width) == (layers, width) else None


def _models(entry: dict[str, Any], licences: dict[str, Licence]) -> list[KnownModel]:
    common = {key: value for key, value in entry.items() if key not in ("id", "licence", "files")}
    return [
        KnownModel(id=f"{entry['id']}:{file['quantization']}", licence=licences[entry["licence"]], **common, **file)
        for file in entry["files"]
    ]
