"""What fits: from a model's footprint and a machine's memory to the settings that it is loaded with.

Pure. The ladder, each rung only when the one above does not fit: all layers on the device; a shorter context; the
KV cache in q8_0 with flash attention; fewer layers; a smaller file. A device that was asked for is used or the
answer is an error with the numbers: never quietly the CPU instead.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from string import digits
from typing import TYPE_CHECKING, Any, Literal

from planact_quantized.backend import BackendError
from planact_quantized.fitting.devices import CPU, Device, Machine
from planact_quantized.fitting.ladder import (
    AUTO,
    SHORTEST_CONTEXT,
    Attempt,
    Need,
    Wanted,
    ladder,
    needs,
    preferred_context,
)
from planact_quantized.settings import ALL_LAYERS, EngineSettings, KVType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from planact_quantized.fitting.footprint import Footprint

ANY_GPU = "gpu"

DEVICE_RESERVE = 512 * 1024**2
"""Left free on a device: the driver's own buffers, scratch memory of its kernels, the display."""

HOST_RESERVE = 1024**3
"""Left free on the host for everything else, though never more than a quarter of what is available."""

WORTHWHILE_SHARE = 0.5
"""Of the layers: with fewer on a device, `auto` prefers the CPU and its longer context."""

LEAST_CONTEXT = 256

_MIB = 1024**2
_KINDS_IN_GGML = {"metal": "mtl"}
"""What people call a kind of device, where ggml's names begin otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a model is going to be loaded, and the arithmetic behind it."""

    model: str
    device: str
    """`cpu` or a device's name."""

    description: str
    layers: int
    """Of the model, without its output layer."""

    offloaded_layers: int
    """Of these, on the device."""

    gpu_layers: int
    """As llama.cpp counts, where the output layer is one more; ALL_LAYERS for all."""

    context_tokens: int
    kv_type: KVType
    flash_attention: Literal["on", "off"]
    need: Need
    """On the device; on the host where that is the CPU."""

    host_need: Need
    free_bytes: int
    """On the device, before the model is there."""

    reserve_bytes: int
    exact: bool
    """False: from the catalogue's rounded sizes, because the file is not here yet."""

    notes: tuple[str, ...] = ()
    """What is not as one would wish it, in sentences."""

    def settings(self, model: Path, *, base: EngineSettings | None = None) -> EngineSettings:
        """Return the settings that load the file so; everything else as in `base`."""
        return replace(
            base or EngineSettings(model=model),
            model=model,
            name=self.model,
            device=self.device,
            gpu_layers=self.gpu_layers,
            context_tokens=self.context_tokens,
            kv_type=self.kv_type,
            flash_attention=self.flash_attention,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"needed_bytes": self.need.total}


class FitError(BackendError):
    """It does not fit. The message has the numbers and says what would."""

    def __init__(self, message: str, *, suggestion: str = "") -> None:
        super().__init__(message, fault="memory")
        self.suggestion = suggestion
        """The name of a model that fits; '' when none does."""


def plan_fit(
    model: Footprint, machine: Machine, wanted: Wanted | None = None, *, others: Sequence[Footprint] = ()
) -> Fit:
    """Return the best way to load a model here. Raises FitError.

    `others` are models that the error may suggest instead.
    """
    wanted = wanted or Wanted()
    _check_wishes(model, wanted)
    try:
        return _place(model, machine, wanted)
    except FitError as error:
        smaller = largest_that_fits(others, machine, wanted, below=model)
        if smaller is None:
            raise
        raise FitError(f"{error.message} {smaller.name!r} would fit.", suggestion=smaller.name) from None


def largest_that_fits(
    models: Iterable[Footprint], machine: Machine, wanted: Wanted | None = None, *, below: Footprint | None = None
) -> Footprint | None:
    """Return the model with the most weights, fewer than `below` has, that fits; None when none does."""
    wanted = wanted or Wanted()
    for model in sorted(models, key=lambda each: each.weight_bytes, reverse=True):
        if below is not None and model.weight_bytes >= below.weight_bytes:
            continue
        try:
            _check_wishes(model, wanted)
            _place(model, machine, wanted)
        except FitError:
            continue
        return model
    return None


def _check_wishes(model: Footprint, wanted: Wanted) -> None:
    context = wanted.context_tokens
    if context is not None and context < LEAST_CONTEXT:
        raise FitError(f"A context of {context} tokens is too short for anything; give at least {SHORTEST_CONTEXT}.")
    if context is not None and model.trained_tokens and context > model.trained_tokens:
        raise FitError(
            f"{model.name!r} was trained for {model.trained_tokens} tokens; with a context of {context} it would write "
            "nonsense. Lower `n_ctx`."
        )
    if wanted.kv_type not in (None, "f16") and wanted.flash_attention == "off":
        raise FitError(f"A KV cache in {wanted.kv_type} needs flash attention, which is switched off.")
    if wanted.gpu_layers == 0 and wanted.device.lower() not in (AUTO, CPU):
        raise FitError(
            f"The device is {wanted.device!r} and `n_gpu_layers` is 0, which contradict each other; drop one."
        )


def _place(model: Footprint, machine: Machine, wanted: Wanted) -> Fit:
    if wanted.device.lower() == CPU:
        return _on_the_cpu(model, machine, wanted)
    if wanted.device.lower() != AUTO:
        named = _named(machine, wanted.device)
        _check_main_gpu(wanted, named)
        return _on_a_device(model, machine, wanted, named)
    if not machine.gpus or wanted.gpu_layers == 0:
        return _on_the_cpu(model, machine, wanted)
    roomiest = max(machine.gpus, key=lambda device: device.free_bytes)
    _check_main_gpu(wanted, roomiest)
    try:
        fit = _on_a_device(model, machine, wanted, roomiest)
        if wanted.gpu_layers is not None or fit.offloaded_layers >= model.layers * WORTHWHILE_SHARE:
            return fit
        why = f"only {fit.offloaded_layers} of {model.layers} layers would fit on {roomiest.name}"
    except FitError as error:
        if wanted.gpu_layers is not None:
            raise
        why = error.message
    return _on_the_cpu(model, machine, wanted, notes=(f"On the CPU, because {why[:1].lower()}{why[1:]}",))


def _check_main_gpu(wanted: Wanted, device: Device) -> None:
    # llama.cpp counts in the devices that it is given, and looks only where it does not split.
    used = device.name.split(",")
    if wanted.main_gpu >= len(used):
        raise FitError(
            f"`main_gpu` is {wanted.main_gpu}, and counts from 0 in the devices that are used: {', '.join(used)}. "
            'Lower it, or name the devices that you mean: `device = "CUDA1"`, or several, as "CUDA0,CUDA1".'
        )


def _named(machine: Machine, name: str) -> Device:
    """Return the device that somebody means; several, separated by commas, count as one."""
    if "," in name:
        several = [_named(machine, each.strip()) for each in name.split(",")]
        return replace(
            several[0],
            name=",".join(each.name for each in several),
            description=" + ".join(each.description for each in several),
            free_bytes=sum(each.free_bytes for each in several),
            total_bytes=sum(each.total_bytes for each in several),
        )
    wanted = _KINDS_IN_GGML.get(name.lower(), name.lower())
    candidates = machine.gpus if wanted == ANY_GPU else machine.devices
    named = [
        device
        for device in candidates
        if device.kind != "accelerator"
        and (wanted == ANY_GPU or wanted in (device.name.lower(), device.name.lower().rstrip(digits)))
    ]
    if named:
        return max(named, key=lambda device: device.free_bytes)
    there = ", ".join(f"{device.name} ({device.description})" for device in machine.gpus) or "none but the CPU"
    build = "" if machine.gpu_offload else " This build of llama.cpp has no support for any: `planact models setup`."
    raise FitError(f"There is no device {name!r} here; there is {there}.{build}")


def _on_a_device(model: Footprint, machine: Machine, wanted: Wanted, device: Device) -> Fit:
    several = device.name.count(",") + 1
    room = device.free_bytes - several * DEVICE_RESERVE
    # An integrated device takes its memory from the host's.
    shared = device.kind == "igpu"
    flash = wanted.flash_attention != "off"
    host_room = _host_room(machine)
    for attempt in ladder(model, wanted):
        need, host = needs(model, wanted, attempt, flash=flash)
        # Each device has a compute buffer of its own.
        there = need.total + (several - 1) * need.compute
        if there <= room and host.total + (need.total if shared else 0) <= host_room:
            return _fit(model, wanted, attempt, need, host, machine=machine, device=device)
    least = next(reversed(list(ladder(model, wanted))))
    need, host = needs(model, wanted, least, flash=flash)
    place = f"{device.name} ({device.description})"
    if need.total <= room:
        raise FitError(
            f"{model.name!r} does not fit: beside {place}, its other {model.layers - least.offloaded} layers need "
            f"{_mib(host.total)} of the host's memory; {_mib(host_room)} can be used."
        )
    raise FitError(
        f"{model.name!r} does not fit on {place}: {_described(least, model)} needs {_mib(need.total)}; "
        f"{_mib(device.free_bytes)} of {_mib(device.total_bytes)} are free, {_mib(DEVICE_RESERVE)} of them kept back. "
        f"{_advice(wanted)}"
    )


def _on_the_cpu(model: Footprint, machine: Machine, wanted: Wanted, *, notes: tuple[str, ...] = ()) -> Fit:
    if wanted.gpu_layers not in (None, 0):
        raise FitError(
            f"`n_gpu_layers` is {wanted.gpu_layers}, but no device holds layers here. Set it to 0, or see docs/gpu.md."
        )
    room = _host_room(machine)
    for attempt in ladder(model, replace(wanted, gpu_layers=0)):
        _, host = needs(model, wanted, attempt, flash=wanted.flash_attention != "off")
        if host.total <= room:
            return _fit(model, wanted, attempt, host, host, machine=machine, notes=notes)
    least = next(reversed(list(ladder(model, replace(wanted, gpu_layers=0)))))
    _, host = needs(model, wanted, least, flash=wanted.flash_attention != "off")
    raise FitError(
        f"{model.name!r} does not fit in memory: {_described(least, model)} needs {_mib(host.total)}; "
        f"{_mib(machine.host.available_bytes)} of {_mib(machine.host.total_bytes)} are available, "
        f"{_mib(machine.host.available_bytes - room)} of them kept back. {_advice(wanted)}"
    )


def _fit(
    model: Footprint,
    wanted: Wanted,
    attempt: Attempt,
    need: Need,
    host_need: Need,
    *,
    device: Device | None = None,
    machine: Machine,
    notes: tuple[str, ...] = (),
) -> Fit:
    everything = attempt.offloaded == model.layers
    return Fit(
        model=model.name,
        device=device.name if device else CPU,
        description=device.description if device else machine.host.processor,
        layers=model.layers,
        offloaded_layers=attempt.offloaded,
        gpu_layers=0 if device is None else ALL_LAYERS if everything else attempt.offloaded + 1,
        context_tokens=attempt.context_tokens,
        kv_type=attempt.kv_type,
        # Not `auto`: the arithmetic has to know.
        flash_attention="off" if wanted.flash_attention == "off" else "on",
        need=need,
        host_need=host_need,
        free_bytes=device.free_bytes if device else machine.host.available_bytes,
        reserve_bytes=DEVICE_RESERVE if device else machine.host.available_bytes - _host_room(machine),
        exact=model.exact,
        notes=(*notes, *_compromises(model, wanted, attempt, on_device=device is not None)),
    )


def _compromises(model: Footprint, wanted: Wanted, attempt: Attempt, *, on_device: bool) -> Iterator[str]:
    preferred = preferred_context(model)
    if wanted.context_tokens is None and attempt.context_tokens < preferred:
        yield f"The context is {attempt.context_tokens} tokens instead of {preferred}: more does not fit."
    if wanted.kv_type is None and attempt.kv_type != "f16":
        yield f"The KV cache is in {attempt.kv_type}: in f16 it does not fit."
    if on_device and wanted.gpu_layers is None and attempt.offloaded < model.layers:
        yield f"{model.layers - attempt.offloaded} of {model.layers} layers stay on the CPU, which is slower."


def _host_room(machine: Machine) -> int:
    available = machine.host.available_bytes
    return available - min(HOST_RESERVE, available // 4)


def _described(attempt: Attempt, model: Footprint) -> str:
    layers = f"with {attempt.offloaded} of {model.layers} layers, " if attempt.offloaded else ""
    return f"{layers}context {attempt.context_tokens} and the KV cache in {attempt.kv_type}, it"


def _advice(wanted: Wanted) -> str:
    lower = [
        name
        for name, given in (("n_ctx", wanted.context_tokens), ("n_gpu_layers", wanted.gpu_layers))
        if given is not None
    ]
    return f"Lower `{'` or `'.join(lower)}`, or take a smaller file." if lower else "Take a smaller file."


def _mib(count: int) -> str:
    return f"{max(0, count) / _MIB:,.0f} MiB"
