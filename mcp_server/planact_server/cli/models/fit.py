"""`planact models fit`: how a model would be loaded here, before anything is loaded."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planact_server.cli.models.place import FAILED, failures_explained
from planact_server.cli.terminal import (
    ConfigOption,
    JSONOption,
    complain,
    examples,
    print_json,
    print_table,
    read_config,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_quantized import EngineSettings
    from planact_quantized.fitting.devices import Machine
    from planact_quantized.fitting.fit import Fit
    from planact_quantized.fitting.footprint import Footprint
    from planact_quantized.fitting.ladder import Wanted
    from planact_quantized.fitting.speeds import Speed
    from planact_quantized.models.index import Model
    from planact_quantized.models.store import ModelStore
    from planact_server.config import Config
    from planact_server.planner.model_choice import Sized

MIB = 1024**2

DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, gpu, cuda, metal, or a device's name.", metavar="D")
]
ContextOption = Annotated[
    int | None, typer.Option("--context", help="Prompt and text together, in tokens; exactly so many.", metavar="N")
]


def register(app: typer.Typer) -> None:
    app.command(
        "fit",
        epilog=examples(
            "planact models fit",
            "planact models fit dria-agent-a-7b --device CUDA0 --context 16384",
            "planact models fit tiny-agent-a-0.5b --measure",
        ),
    )(fit)


def fit(
    name: Annotated[
        str | None, typer.Argument(help="An id of `planact models list`, or a GGUF file.", metavar="MODEL")
    ] = None,
    context: ContextOption = None,
    device: DeviceOption = None,
    measure: Annotated[bool, typer.Option("--measure", help="Load it so, and measure how fast it is.")] = False,
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> int:
    """Show how a model would be loaded here.

    Device, memory, layers, context; nothing is loaded.
    Without MODEL: the one that would be used for tasks, or the best of the catalogue when none is here. What is not
    given on the command line is as in `[model]`.
    """
    settings = read_config(config)
    with failures_explained():
        found = Found.find(name, settings, context=context, device=device)
    for notice in found.notices:
        complain(notice)
    return show(found, settings, measure=measure, as_json=as_json)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """A model, here or not, and what it is to be fitted into."""

    model: Model | None
    """None: it is not here yet."""

    footprint: Footprint
    machine: Machine
    wanted: Wanted
    others: tuple[Footprint, ...]
    notices: tuple[str, ...] = ()
    """Which models of this machine were passed over, and why."""

    @classmethod
    def find(
        cls,
        name: str | None,
        config: Config,
        *,
        context: int | None = None,
        device: str | None = None,
        machine: Machine | None = None,
    ) -> Found:
        """Look for a model by name, or for the one that would be used. Raises what a ModelStore raises."""
        from planact_quantized.fitting.footprint import footprint_of_known
        from planact_quantized.models.known import known_models
        from planact_quantized.models.store import FOLDER, ModelStore
        from planact_server.planner.model_choice import usable_models, wanted_for

        wanted = wanted_for(config.planner, config.model, context=context, device=device)
        machine = machine or this_machine(wanted)
        store = ModelStore(config.state / FOLDER)
        usable = usable_models(store)
        name = name or config.planner.model
        model, footprint = named(store, name) if name else _unnamed(usable.models, machine, wanted)
        known = (footprint_of_known(each) for each in known_models())
        return cls(
            model=model,
            footprint=footprint,
            machine=machine,
            wanted=wanted,
            others=(*(each.footprint for each in usable.models), *known),
            notices=usable.notices,
        )


def named(store: ModelStore, name: str) -> tuple[Model | None, Footprint]:
    """Return a model that is here, or the catalogue's. Raises ModelNotFoundError."""
    from planact_quantized.fitting.footprint import footprint_of_known
    from planact_quantized.models.known import UnknownModelError, find_known
    from planact_quantized.models.store import ModelNotFoundError
    from planact_server.planner.model_choice import sized

    try:
        model = store.resolve(name)
    except ModelNotFoundError as error:
        try:
            return None, footprint_of_known(find_known(name))
        except UnknownModelError:
            raise error from None
    return model, sized(model).footprint


def _unnamed(usable: Sequence[Sized], machine: Machine, wanted: Wanted) -> tuple[Model | None, Footprint]:
    """Return the model that a task would be planned with; else the one to begin with, or the smallest of those."""
    from planact_quantized.fitting.footprint import footprint_of_known
    from planact_quantized.fitting.recommended import candidates, recommended
    from planact_server.planner.model_choice import best_of

    best = best_of(usable, machine, wanted)
    if best is not None:
        return best.model, best.footprint
    known = recommended(machine, wanted) or min(candidates(), key=lambda each: each.approximate_bytes)
    return None, footprint_of_known(known)


def this_machine(wanted: Wanted) -> Machine:
    """Return this machine; devices are asked for unless only the CPU is wanted."""
    from planact_quantized.fitting.devices import ProbeError, host_only
    from planact_server.planner.model_choice import machine_for

    try:
        return machine_for(wanted)
    except ProbeError as error:
        complain(str(error))
        return host_only()


def show(found: Found, config: Config, *, measure: bool, as_json: bool) -> int:
    """Print the plan, measure if asked to, and return the exit code."""
    from planact_quantized.fitting.fit import FitError, plan_fit

    try:
        plan = plan_fit(found.footprint, found.machine, found.wanted, others=found.others)
    except FitError as error:
        if as_json:
            print_json({"fits": False, "error": error.message, "suggestion": error.suggestion or None})
        else:
            complain(error.message)
        return FAILED
    if not as_json:
        print_plan(plan)
    if found.model is None and not as_json:
        complain(f"It is not here yet: `planact models pull {plan.model}`. Sizes are rounded.")
    speed = _measured(plan, found, config) if measure else None
    if as_json:
        print_json({"fits": True, "here": found.model is not None, **plan.as_json(), "speed": _plain(speed)})
    return 0


def print_plan(plan: Fit) -> None:
    """Show the arithmetic as a table."""
    mark = "" if plan.exact else "~"
    complain(f"{plan.model} on {plan.description}:")
    print_table(
        ["device", "needed", "free", "layers on it", "context", "KV"],
        [
            [
                plan.device,
                f"{mark}{plan.need.total // MIB:,} MiB",
                f"{plan.free_bytes // MIB:,} MiB",
                f"{plan.offloaded_layers} of {plan.layers}",
                str(plan.context_tokens),
                plan.kv_type,
            ]
        ],
    )
    need = plan.need
    parts = f"Weights {need.weights // MIB:,} + KV cache {need.kv // MIB:,} + compute {need.compute // MIB:,} MiB"
    complain(f"{parts}; {plan.reserve_bytes // MIB:,} MiB are kept free.")
    for note in plan.notes:
        complain(note)


def _measured(plan: Fit, found: Found, config: Config) -> Speed | None:
    from planact_quantized import BackendError

    if found.model is None:
        complain("There is nothing to measure before it is here.")
        return None
    try:
        speed = measured(plan, found, config)
    except BackendError as error:
        complain(error.message)
        raise typer.Exit(FAILED) from None
    complain(speed_text(speed))
    return speed


def measured(plan: Fit, found: Found, config: Config) -> Speed:
    """Load a model as planned, measure it, write that down and let go of it. Raises BackendError."""
    from planact_server.planner.model_choice import engine_base

    if found.model is None:
        raise ValueError(f"{plan.model!r} is not here.")
    base = engine_base(found.model.path, found.wanted, config.model)
    return asyncio.run(_measured_engine(plan.settings(found.model.path, base=base), config))


async def _measured_engine(settings: EngineSettings, config: Config) -> Speed:
    from planact_quantized import Engine
    from planact_quantized.fitting import loads, speeds

    engine = Engine(settings)
    try:
        began = time.monotonic()
        await engine.start()
        info, speed = await speeds.measure(engine, load_seconds=time.monotonic() - began)
    finally:
        await engine.aclose()
    loads.Loads(config.state / loads.FILE).keep(info)
    speeds.Speeds(config.state / speeds.FILE).keep(info, speed)
    return speed


def speed_text(speed: Speed) -> str:
    """Return a measurement in a sentence."""
    where = f"{speed.offloaded_layers} of {speed.layers} layers on {speed.device}" if speed.offloaded_layers else "CPU"
    text = f"{speed.text:g}" if speed.text else "too few written to tell"
    rates = f"tokens/s: prompt {speed.prompt:g}, text {text}"
    return f"{speed.model} on {where}: loaded in {speed.load_seconds:.1f} s; {rates}."


def _plain(speed: Speed | None) -> dict[str, Any] | None:
    return None if speed is None else dataclasses.asdict(speed)
