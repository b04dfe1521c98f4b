"""What `planact doctor` finds out about the planner: who writes plans, on what, and whether it fits.

No model is loaded: how one really was is what was written down when that happened.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from planact_server.cli.doctor_endpoint import examine_endpoint
from planact_server.cli.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_quantized.building.toolchain import Toolchain
    from planact_quantized.fitting.devices import Machine
    from planact_quantized.fitting.fit import Fit
    from planact_quantized.fitting.loads import Load
    from planact_quantized.fitting.speeds import Speed
    from planact_server.config import Config
    from planact_tools import JSONObject

SUBJECT = "planner"
SETUP = "planact models setup"
LIST = "planact models list"
_GIB = 1024**3


def examine_model(config: Config) -> tuple[list[Finding], JSONObject]:
    """Return what there is to say about the planner, for people and as JSON. Blocks for a second or so."""
    if config.planner.backend == "openai":
        return examine_endpoint(config)
    return _here(config)


def _here(config: Config) -> tuple[list[Finding], JSONObject]:
    from planact_quantized.fitting.devices import ProbeError, read_machine
    from planact_quantized.fitting.loads import FILE, Loads
    from planact_quantized.fitting.speeds import FILE as SPEEDS
    from planact_quantized.fitting.speeds import Speeds

    report: JSONObject = {"backend": "local", "llama_cpp": None}
    try:
        machine = read_machine()
    except ProbeError as error:
        return [Finding(level="note", subject=SUBJECT, text=f"no tasks: {error.message}", advice=SETUP)], report
    report |= {
        "llama_cpp": machine.llama_cpp,
        "gpu_offload": machine.gpu_offload,
        "system_info": machine.system_info,
        "devices": [asdict(device) for device in machine.devices],
    }
    findings = [Finding(level="ok", subject=SUBJECT, text=_build(machine)), *_devices(machine)]
    plan, about = _model(config, machine)
    findings += about
    if plan is not None:
        loads = Loads(config.state / FILE).of(plan.model)
        speed = next((each for each in Speeds(config.state / SPEEDS).all() if each.model == plan.model), None)
        findings.append(_loaded(plan, loads, speed))
        report["fit"] = plan.as_json()
        report["loads"] = [asdict(load) for load in loads]
        report["speed"] = None if speed is None else asdict(speed)
    return findings, report


def _build(machine: Machine) -> str:
    offload = "can use a device" if machine.gpu_offload else "for the CPU only"
    return f"local, llama-cpp-python {machine.llama_cpp}, {offload}"


def _devices(machine: Machine) -> list[Finding]:
    from planact_quantized.building.toolchain import find_toolchain

    found = [
        Finding(
            level="ok",
            subject="device",
            text=f"{device.name}: {device.description}, "
            f"{device.free_bytes / _GIB:.1f} of {device.total_bytes / _GIB:.1f} GiB free",
        )
        for device in machine.gpus
    ]
    host = machine.host
    memory = f"{host.available_bytes / _GIB:.1f} of {host.total_bytes / _GIB:.1f} GiB available"
    found.append(Finding(level="ok", subject="device", text=f"CPU: {host.processor}, {host.cores} cores, {memory}"))
    unused = None if machine.gpus else _unused(find_toolchain())
    return found if unused is None else [*found, unused]


def _unused(toolchain: Toolchain) -> Finding | None:
    """Return what to do about a card that this build of llama.cpp does not use."""
    if toolchain.cards:
        backend, what = "cuda", f"{toolchain.cards[0].name} (driver {toolchain.driver})"
    elif toolchain.system == "darwin" and toolchain.machine == "arm64":
        backend, what = "metal", "Metal"
    else:
        return None
    return Finding(
        level="note",
        subject="device",
        text=f"{what} stays unused: llama.cpp was built without it, or its driver does not answer",
        advice=f"{SETUP} --backend {backend}   # docs/gpu.md says what it needs",
    )


def _model(config: Config, machine: Machine) -> tuple[Fit | None, list[Finding]]:
    """Return how the model for tasks would be loaded, None where it cannot be, and what to say about it."""
    from planact_quantized.fitting.fit import FitError, plan_fit
    from planact_quantized.models.gguf import GGUFError
    from planact_quantized.models.known import UnknownModelError
    from planact_quantized.models.store import ModelError
    from planact_server.cli.models.fit import Found

    passed_over: list[Finding] = []

    def trouble(text: str, advice: str) -> tuple[None, list[Finding]]:
        # Only what was asked for by name is broken without it.
        level = "problem" if config.planner.model else "note"
        return None, [*passed_over, Finding(level=level, subject="model", text=text, advice=advice)]

    try:
        found = Found.find(None, config, machine=machine)
    except (ModelError, GGUFError, UnknownModelError) as error:
        return trouble(str(error), LIST)
    passed_over += [Finding(level="note", subject="model", text=notice, advice=LIST) for notice in found.notices]
    if found.model is None:
        name = config.planner.model
        return trouble(f"{name} is not here" if name else "none is here, so tasks cannot be planned", SETUP)
    try:
        plan = plan_fit(found.footprint, machine, found.wanted, others=found.others)
    except FitError as error:
        advice = f"planact models pull {error.suggestion}" if error.suggestion else "planact models fit"
        return trouble(error.message, advice)
    where = f"{plan.offloaded_layers} of {plan.layers} layers on {plan.device}" if plan.gpu_layers else "on the CPU"
    text = f"{plan.model}: fits, {where}, context {plan.context_tokens}, KV cache {plan.kv_type}"
    about = Finding(
        level="note" if plan.notes else "ok",
        subject="model",
        text=text,
        advice="\n".join((*plan.notes, "planact models fit   # shows the numbers")) if plan.notes else "",
    )
    return plan, [*passed_over, about]


def _loaded(plan: Fit, loads: Sequence[Load], speed: Speed | None) -> Finding:
    """Say what the last load came to; before the first one, that what stands above it is only a plan."""
    measure = f"planact models fit {plan.model} --measure"
    if not loads:
        text = "that is planned, not measured: it has not been loaded here yet"
        return Finding(level="note", subject="model", text=text, advice=measure)
    last = loads[0]
    where = f"{last.offloaded_layers} of {last.layers} layers really on {last.device}"
    text = f"last loaded {last.when[:10]}: {where if last.offloaded_layers else f'really on {last.device}'}"
    if speed is not None:
        text += f"; measured {speed.when[:10]}, tokens/s: prompt {speed.prompt:g}, text {speed.text:g}"
    if plan.gpu_layers and not last.offloaded_layers:
        return Finding(level="note", subject="model", text=f"{text}; {plan.device} could hold it", advice=measure)
    return Finding(level="ok", subject="model", text=text, advice="" if speed else f"{measure}   # how fast it is")
