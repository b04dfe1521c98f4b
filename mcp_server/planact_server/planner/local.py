"""The on-device backend: an installed model, loaded in the best way that this machine has room for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planact_quantized import BackendError, Engine, EngineSettings
from planact_quantized.fitting.devices import CPU, Machine, host_only, read_machine
from planact_quantized.fitting.fit import largest_that_fits, plan_fit
from planact_quantized.fitting.footprint import Footprint, footprint_of_file
from planact_quantized.fitting.ladder import Wanted
from planact_quantized.models.gguf import GGUFError, read_header
from planact_quantized.models.store import FOLDER, ModelError, ModelStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from planact_quantized.models.index import Model

PREFIXES = "prefixes"
"""Of the user's state folder: evaluated prompts."""

SETUP = "Run `planact models setup`: it finds one that fits this machine."


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """Which model, and how it is wished to be loaded. Empty: whatever fits best."""

    name: str = ""
    """An id, a file name, or the path of a GGUF file."""

    wanted: Wanted = field(default_factory=Wanted)
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    """Fields of EngineSettings that no fit decides: threads, patience, drafting."""


def local_engine(wish: LocalModel, *, state: Path) -> Engine:
    """Return an engine for the model that is wished for. Raises BackendError.

    Reads files and asks ggml for devices, a second or so; starts nothing that stays.
    """
    machine = host_only() if wish.wanted.device.lower() == CPU else read_machine()
    try:
        model, footprint = _chosen(wish, ModelStore(state / FOLDER), machine)
    except (ModelError, GGUFError) as error:
        raise BackendError(str(error), fault="model") from error
    base = EngineSettings(
        model=model.path,
        prefixes=state / PREFIXES,
        candidates=wish.wanted.candidates,
        batch_tokens=wish.wanted.batch_tokens,
        **dict(wish.settings),  # type: ignore[arg-type] - their names and types were checked with the configuration
    )
    return Engine(plan_fit(footprint, machine, wish.wanted).settings(model.path, base=base))


def _chosen(wish: LocalModel, store: ModelStore, machine: Machine) -> tuple[Model, Footprint]:
    """Return the model that was named; else the only one, or the largest that fits."""
    if wish.name:
        model = store.resolve(wish.name)
        return model, _footprint(model)
    usable = [model for model in store.models() if model.problem is None]
    if not usable:
        raise BackendError(f"No model is installed. {SETUP}", fault="unavailable")
    sizes = {model.id: _footprint(model) for model in usable}
    best = largest_that_fits(sizes.values(), machine, wish.wanted) or min(sizes.values(), key=_weight)
    return store.resolve(best.name), best


def _weight(footprint: Footprint) -> int:
    return footprint.weight_bytes


def _footprint(model: Model) -> Footprint:
    return footprint_of_file(read_header(model.path), name=model.id)
