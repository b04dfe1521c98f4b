"""Which model of this machine writes plans, and how it is wished to be loaded.

One answer for all who ask: tasks, `planact doctor`, and `planact models fit`, `list` and `setup`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from planact_quantized import EngineSettings
from planact_quantized.fitting import devices
from planact_quantized.fitting.fit import largest_that_fits
from planact_quantized.fitting.footprint import Footprint, footprint_of_file
from planact_quantized.fitting.ladder import Wanted
from planact_quantized.models.gguf import GGUFError, read_header

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from planact_quantized.fitting.devices import Machine
    from planact_quantized.models.index import Model
    from planact_quantized.models.store import ModelStore
    from planact_server.config.schema import ModelSettings, PlannerSettings

_WANTED = frozenset(field.name for field in fields(Wanted))
"""What a fit reckons with. `EngineSettings` spells it alike, and has what is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A model that is here, and what it takes."""

    model: Model
    footprint: Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """The recorded models that can be loaded."""

    models: tuple[Sized, ...]
    notices: tuple[str, ...]
    """Which files could not be read, and why: for whoever asked to tell the user."""


def wanted_for(
    planner: PlannerSettings, model: ModelSettings, *, context: int | None = None, device: str | None = None
) -> Wanted:
    """Return what the configuration asks of a fit; `context` and `device` go before it."""
    given = {name: value for name, value in model.wishes().items() if name in _WANTED}
    given["candidates"] = max(1, planner.candidates)
    if context is not None:
        given["context_tokens"] = context
    if device is not None:
        given["device"] = device
    return Wanted(**given)


def engine_base(file: Path, wanted: Wanted, model: ModelSettings, *, prefixes: Path | None = None) -> EngineSettings:
    """Return the settings for a `Fit` to complete: what it does not choose is as the configuration says."""
    rest = {name: value for name, value in model.wishes().items() if name not in _WANTED}
    return EngineSettings(
        model=file,
        prefixes=prefixes,
        main_gpu=wanted.main_gpu,
        candidates=wanted.candidates,
        batch_tokens=wanted.batch_tokens,
        **rest,
    )


def machine_for(wanted: Wanted) -> Machine:
    """Return this machine; drivers are asked unless only the CPU is wanted. Raises ProbeError."""
    return devices.host_only() if wanted.device.lower() == devices.CPU else devices.read_machine()


def sized(model: Model) -> Sized:
    """Return a model with what its header says that it takes. Raises GGUFError."""
    return Sized(model=model, footprint=footprint_of_file(read_header(model.path), name=model.id))


def usable_models(store: ModelStore) -> Usable:
    """Return what could be loaded of a store. A file that cannot be read costs no other model. Raises ModelError."""
    found: list[Sized] = []
    notices: list[str] = []
    for model in store.models():
        if model.problem is not None:
            continue
        try:
            found.append(sized(model))
        except GGUFError as error:
            notices.append(f"The model {model.id!r} is passed over: {error}")
    return Usable(models=tuple(found), notices=tuple(notices))


def best_of(models: Sequence[Sized], machine: Machine, wanted: Wanted) -> Sized | None:
    """Return the largest model that fits; where none does the smallest, whose fit says why. None: there are none."""
    best = largest_that_fits([each.footprint for each in models], machine, wanted)
    if best is None:
        return min(models, key=lambda each: each.footprint.weight_bytes, default=None)
    return next(each for each in models if each.footprint is best)
