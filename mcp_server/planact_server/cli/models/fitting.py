"""Which models this machine can run, for a list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_tools import JSONObject

if TYPE_CHECKING:
    from planact_quantized.fitting.devices import Machine
    from planact_quantized.fitting.footprint import Footprint
    from planact_quantized.fitting.ladder import Wanted
    from planact_quantized.models.index import Model
    from planact_quantized.models.known import KnownModel


def fit_row(model: Model | KnownModel, where: Machine, wanted: Wanted) -> JSONObject:
    """Return how a model would be loaded here, or why it cannot be."""
    from planact_quantized.fitting.fit import FitError, plan_fit
    from planact_quantized.models.gguf import GGUFError

    try:
        fit = plan_fit(_footprint(model), where, wanted)
    except (FitError, GGUFError) as error:
        return {"fits": False, "reason": str(error)}
    return {
        "fits": True,
        "device": fit.device,
        "layers_on_device": fit.offloaded_layers,
        "layers": fit.layers,
        "context_tokens": fit.context_tokens,
        "needed_bytes": fit.need.total,
        "free_bytes": fit.free_bytes,
    }


def fit_text(row: JSONObject) -> str:
    """Return that in a few words."""
    if not row["fits"]:
        return "no"
    if row["device"] == "cpu":
        return "on the CPU"
    some, layers = row["layers_on_device"], row["layers"]
    return f"on {row['device']}" if some == layers else f"{some} of {layers} layers on {row['device']}"


def _footprint(model: Model | KnownModel) -> Footprint:
    from planact_quantized.fitting.footprint import footprint_of_known
    from planact_quantized.models.known import KnownModel
    from planact_server.planner.model_choice import sized

    return footprint_of_known(model) if isinstance(model, KnownModel) else sized(model).footprint
