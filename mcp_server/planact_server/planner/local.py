"""The on-device backend: an installed model, loaded in the best way that this machine has room for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from planact_quantized import BackendError, Engine
from planact_quantized.fitting.fit import plan_fit
from planact_quantized.models.gguf import GGUFError
from planact_quantized.models.store import FOLDER, ModelError, ModelStore
from planact_server.planner.model_choice import best_of, engine_base, machine_for, sized, usable_models, wanted_for

if TYPE_CHECKING:
    from pathlib import Path

    from planact_quantized import EngineSettings
    from planact_quantized.fitting.devices import Machine
    from planact_quantized.fitting.ladder import Wanted
    from planact_server.config.schema import ModelSettings, PlannerSettings
    from planact_server.planner.model_choice import Sized

logger = logging.getLogger(__name__)

PREFIXES = "prefixes"
"""Of the user's state folder: evaluated prompts."""

SETUP = "Run `planact models setup`: it finds one that fits this machine."


def local_engine(planner: PlannerSettings, model: ModelSettings, *, state: Path) -> Engine:
    """Return an engine for the model that is configured, or that suits this machine best; nothing is started yet.

    Blocks for a second or so. Raises BackendError.
    """
    return Engine(local_settings(planner, model, state=state))


def local_settings(planner: PlannerSettings, model: ModelSettings, *, state: Path) -> EngineSettings:
    """Return how that model is loaded here, from its header and from the devices that ggml finds."""
    wanted = wanted_for(planner, model)
    machine = machine_for(wanted)
    try:
        chosen = _chosen(planner.model, ModelStore(state / FOLDER), machine, wanted)
    except (ModelError, GGUFError) as error:
        raise BackendError(str(error), fault="model") from error
    file = chosen.model.path
    base = engine_base(file, wanted, model, prefixes=state / PREFIXES)
    return plan_fit(chosen.footprint, machine, wanted).settings(file, base=base)


def _chosen(name: str | None, store: ModelStore, machine: Machine, wanted: Wanted) -> Sized:
    if name:
        return sized(store.resolve(name))
    usable = usable_models(store)
    for notice in usable.notices:
        logger.warning("%s", notice)
    best = best_of(usable.models, machine, wanted)
    if best is None:
        raise BackendError(" ".join(("No model is installed.", *usable.notices, SETUP)), fault="unavailable")
    return best
