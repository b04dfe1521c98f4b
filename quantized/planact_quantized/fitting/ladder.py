"""The ladder: what to try, best first, when a model does not fit as one would wish; and what each rung takes.

All layers on the device; a shorter context; the KV cache in q8_0 with flash attention; fewer layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from planact_quantized.fitting.footprint import CELL_STEP, Footprint, cells_of
from planact_quantized.settings import ALL_LAYERS, KVType

if TYPE_CHECKING:
    from collections.abc import Iterator

AUTO = "auto"

PREFERRED_CONTEXT = 8192
SHORTEST_CONTEXT = 2048
"""Below this there is no room for tools, a task and a plan."""

OUTPUTS = 16
"""Logits from one decode, at least: as many as are drafted and written side by side. Each reserves 4 bytes for every
token of the vocabulary, 0.6 MiB for Qwen's; without a limit they are `batch_tokens`, about 300 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asked for. What is None or `auto` may be chosen; the rest is kept or is an error."""

    device: str = AUTO
    """`auto`, `cpu`, `gpu` (any), a kind (`cuda`, `metal`, `vulkan`), or a device's name as ggml gives it (`CUDA1`)."""

    context_tokens: int | None = None
    """None: PREFERRED_CONTEXT, or as much of it as fits."""

    gpu_layers: int | None = None
    """ALL_LAYERS or a number that llama.cpp would get; None: as many as fit."""

    kv_type: KVType | None = None
    flash_attention: Literal["auto", "on", "off"] = "auto"
    main_gpu: int = 0
    """Of the devices that are used, from 0."""

    candidates: int = 4
    batch_tokens: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one place has to hold, in bytes."""

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.compute


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One rung of the ladder."""

    context_tokens: int
    kv_type: KVType
    offloaded: int


def ladder(model: Footprint, wanted: Wanted) -> Iterator[Attempt]:
    """Yield what to try, best first. Every step takes less memory than the one before."""
    layers, fixed = _layers_wanted(model, wanted)
    contexts = _contexts(model, wanted)
    first = wanted.kv_type or "f16"
    yield from (Attempt(context_tokens=context, kv_type=first, offloaded=layers) for context in contexts)
    shortest, kv_type = contexts[-1], first
    if wanted.kv_type is None and wanted.flash_attention != "off":
        kv_type = "q8_0"
        yield Attempt(context_tokens=shortest, kv_type=kv_type, offloaded=layers)
    if not fixed:
        for fewer in range(layers - 1, 0, -1):
            yield Attempt(context_tokens=shortest, kv_type=kv_type, offloaded=fewer)


def _layers_wanted(model: Footprint, wanted: Wanted) -> tuple[int, bool]:
    """Return how many layers should be on the device, and whether it must be so many."""
    if wanted.gpu_layers is None:
        return model.layers, False
    if wanted.gpu_layers == ALL_LAYERS:
        return model.layers, True
    # llama.cpp counts the output layer, and puts it there first.
    return (0 if wanted.gpu_layers <= 0 else min(wanted.gpu_layers - 1, model.layers)), True


def preferred_context(model: Footprint) -> int:
    """Return the context that a model gets where there is memory for it."""
    return min(PREFERRED_CONTEXT, model.trained_tokens or PREFERRED_CONTEXT)


def _contexts(model: Footprint, wanted: Wanted) -> tuple[int, ...]:
    if wanted.context_tokens is not None:
        return (wanted.context_tokens,)
    longest = preferred_context(model)
    shortest = min(SHORTEST_CONTEXT, longest)
    return (*range(longest, shortest, -CELL_STEP), shortest)


def needs(model: Footprint, wanted: Wanted, attempt: Attempt, *, flash: bool) -> tuple[Need, Need]:
    """Return what the device and what the host has to hold."""
    offloaded = attempt.offloaded
    on_device = offloaded > 0 or wanted.gpu_layers == 1
    cells = cells_of(attempt.context_tokens)
    compute = model.compute_bytes(
        cells=cells,
        batch_tokens=wanted.batch_tokens,
        outputs=max(OUTPUTS, wanted.candidates + 1),
        flash_attention=flash,
    )
    # llama.cpp puts the last layers on the device, not the first.
    kept = model.layer_bytes[: model.layers - offloaded]
    moved = model.layer_bytes[model.layers - offloaded :]
    host_output = 0 if on_device or model.tied else model.output_bytes
    return (
        Need(
            weights=sum(moved) + (model.output_bytes if on_device else 0),
            kv=model.kv_bytes(layers=len(moved), cells=cells, kv_type=attempt.kv_type),
            compute=compute if on_device else 0,
        ),
        Need(
            weights=sum(kept) + model.input_bytes + host_output,
            kv=model.kv_bytes(layers=len(kept), cells=cells, kv_type=attempt.kv_type),
            compute=compute,
        ),
    )
