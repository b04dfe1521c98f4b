"""Which model of the catalogue to begin with on a machine. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_quantized.fitting.devices import CPU
from planact_quantized.fitting.fit import largest_that_fits, plan_fit
from planact_quantized.fitting.footprint import footprint_of_known
from planact_quantized.models.known import KnownModel, find_known, known_models

if TYPE_CHECKING:
    from planact_quantized.fitting.devices import Machine
    from planact_quantized.fitting.ladder import Wanted

QUANTIZATION = "Q4_K_M"
"""The usual bargain between size and quality."""

ON_THE_CPU = "tiny-agent-a-1.5b:Q4_K_M"
"""The largest model whose speed on a CPU is bearable."""


def candidates() -> tuple[KnownModel, ...]:
    """Return what anybody may use for anything; whoever wants another model names it."""
    return tuple(
        model for model in known_models() if model.quantization == QUANTIZATION and not model.licence.non_commercial
    )


def recommended(machine: Machine, wanted: Wanted | None = None) -> KnownModel | None:
    """Return the largest candidate that fits, on a CPU of those that are fast enough there; None when none fits."""
    sizes = [footprint_of_known(model) for model in candidates()]
    best = largest_that_fits(sizes, machine, wanted)
    if best is not None and plan_fit(best, machine, wanted).device == CPU:
        bearable = footprint_of_known(find_known(ON_THE_CPU)).weight_bytes
        best = largest_that_fits([each for each in sizes if each.weight_bytes <= bearable], machine, wanted)
    return None if best is None else find_known(best.name)
