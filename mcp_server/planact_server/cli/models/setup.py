"""`planact models setup`: from nothing to a model that plans on this machine.

Every step looks first whether it is done already, so that a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from planact_server.cli import INTERRUPTED
from planact_server.cli.models.fetching import add, pull
from planact_server.cli.models.fit import DeviceOption, Found, measured, named, print_plan, speed_text
from planact_server.cli.models.licences import AcceptOption
from planact_server.cli.models.place import FAILED, failures_explained
from planact_server.cli.place import as_typed
from planact_server.cli.terminal import ConfigOption, UsageError, ask_person, complain, examples, read_config

if TYPE_CHECKING:
    from planact_quantized.building.toolchain import Toolchain
    from planact_quantized.fitting.fit import Fit
    from planact_quantized.models.known import KnownModel
    from planact_server.config import Config

BackendOption = Annotated[
    Literal["auto", "cpu", "cuda", "metal", "vulkan"],
    typer.Option("--backend", help="What to build llama.cpp for: auto, cpu, cuda, metal, vulkan.", metavar="B"),
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", help="An id of `planact models list`, or OWNER/REPOSITORY/FILE.gguf on the hub.", metavar="MODEL"
    ),
]


def register(app: typer.Typer) -> None:
    app.command(
        "setup",
        epilog=examples(
            "planact models setup",
            "planact models setup --yes --model tiny-agent-a-0.5b",
            "planact models setup --file ~/Downloads/dria-agent-a-0.5b.Q8_0.gguf",
        ),
    )(setup)


def setup(
    backend: BackendOption = "auto",
    model: ModelOption = None,
    file: Annotated[Path | None, typer.Option("--file", help="A GGUF file that you have.", metavar="PATH")] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Another hub; HF_ENDPOINT does the same.", metavar="URL")
    ] = None,
    device: DeviceOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Build and fetch without asking.")] = False,
    accept_license: AcceptOption = False,
    config: ConfigOption = None,
) -> int:
    """Get a model that plans on this machine.

    Looks for CUDA, Metal or the CPU, builds llama.cpp for it, chooses a model that fits, shows its licence, fetches
    it, measures it and lets it carry out one task, whose answer is checked. Run again after an interruption, it goes
    on where it was. Exit codes: 0 all is well, 1 a step failed or the answer was wrong, which leaves the model
    installed, 2 wrong usage.
    """
    from planact_quantized.models.known import find_known
    from planact_quantized.models.store import FOLDER, ModelStore

    settings = read_config(config)
    on_the_hub = model is not None and model.count("/") > 1 and not Path(model).exists()
    try:
        # What can be wrong with file and name is said before minutes are spent on building.
        if file is not None:
            add(str(file), accept_license=accept_license, config=config)
            model = _just_added(settings, file)
        elif model is not None and not on_the_hub:
            with failures_explained():
                named(ModelStore(settings.state / FOLDER), model)
        _provide_llama(backend, yes=yes)
        if model is not None and on_the_hub and file is None:
            model = _from_the_hub(model, settings, config, endpoint, yes=yes, accept=accept_license)
        with failures_explained():
            found = Found.find(model, settings, device=device)
            if found.model is None:
                # Whether it fits is known before gigabytes are fetched.
                _plan(found)
                known = find_known(found.footprint.name)
                _fetch(known, config, endpoint, yes=yes, accept=accept_license)
                found = Found.find(known.id, settings, device=device)
            for notice in found.notices:
                complain(notice)
        plan = _plan(found)
    except KeyboardInterrupt:
        complain("Stopped. The same command goes on from here.")
        return INTERRUPTED
    return _try_out(plan, found, settings)


def _provide_llama(backend: Literal["auto", "cpu", "cuda", "metal", "vulkan"], *, yes: bool) -> None:
    """See to it that llama.cpp is installed for what this machine has."""
    from planact_quantized.building.llama_wheel import Order, WheelError, provide
    from planact_quantized.building.toolchain import MissingToolError, choose_backend, find_toolchain
    from planact_quantized.building.wheel_progress import showing

    toolchain = find_toolchain()
    for line in _described(toolchain):
        complain(line)
    choice = choose_backend(toolchain)
    wanted = choice.backend if backend == "auto" else backend
    if backend == "auto" and choice.note:
        complain(choice.note)
    there = _installed()
    if there is not None and (wanted == "cpu" or there.gpu_offload):
        complain(f"llama-cpp-python {there.llama_cpp} is installed.")
        return
    _ask(f"Build llama.cpp for {wanted}? It takes minutes, once, unless it is in the cache.", yes=yes)
    try:
        with showing() as report:
            done = provide(Order(backend=wanted), report=report, toolchain=toolchain)
    except MissingToolError as error:
        raise UsageError(f"{error}\nThen run `planact models setup` again.") from None
    except WheelError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    complain(f"llama.cpp for {done.backend} is installed.")


def _described(toolchain: Toolchain) -> list[str]:
    cards = [f"{card.name} (compute capability {card.capability})" for card in toolchain.cards]
    lines = [f"Found {', '.join(cards)}, driver {toolchain.driver}."] if cards else []
    if toolchain.system == "darwin" and toolchain.machine == "arm64":
        lines.append("Found Metal.")
    if not lines:
        lines.append("Found no card that llama.cpp could be built for with CUDA or Metal: the CPU it is.")
    lines.append(f"C++ compiler: {toolchain.compiler or 'none'}; CUDA's compiler: {toolchain.nvcc or 'none'}.")
    return lines


def _installed():
    from planact_quantized.fitting.devices import ProbeError, llama_cpp_installed, read_machine

    importlib.invalidate_caches()
    if not llama_cpp_installed():
        return None
    try:
        return read_machine()
    except ProbeError as error:
        complain(f"The llama-cpp-python that is installed does not work: {error.message}")
        return None


def _ask(question: str, *, yes: bool) -> None:
    """Go on when a person says yes. Raises UsageError where nobody can be asked, Exit for a no."""
    if yes:
        return
    answer = ask_person(question)
    if answer is None:
        raise UsageError(f"{question} There is no terminal to ask on: say --yes.")
    if not answer:
        complain("Nothing was changed.")
        raise typer.Exit(FAILED)


def _just_added(config: Config, file: Path) -> str:
    """Return the id under which a file is here now, also where it was before."""
    from planact_quantized.models.large_files import sha256_of
    from planact_quantized.models.store import FOLDER, ModelStore

    sha256 = sha256_of(file.expanduser())
    models = ModelStore(config.state / FOLDER).models()
    return next(model.id for model in models if model.sha256 == sha256)


def _fetch(known: KnownModel, config: Path | None, endpoint: str | None, *, yes: bool, accept: bool) -> None:
    from planact_quantized.models.large_files import megabytes

    complain(f"{known.title}, {known.quantization}, {megabytes(known.approximate_bytes)}: {known.id}")
    complain(f"Licence: {known.licence.title} ({known.licence.link})")
    _ask(f"Fetch it from {known.page}?", yes=yes)
    _provide_hub()
    try:
        pull(known.id, accept_license=accept, endpoint=endpoint, config=config)
    except typer.Exit as stop:
        if stop.exit_code == FAILED:
            complain("Once the model is here, `planact models setup` goes on.")
        raise


def _from_the_hub(
    path: str, settings: Config, config: Path | None, endpoint: str | None, *, yes: bool, accept: bool
) -> str:
    """Fetch a file that the catalogue does not know, unless it is here; return its id."""
    from planact_quantized.models.store import FOLDER, ModelStore

    store = ModelStore(settings.state / FOLDER)
    name = Path(path).name

    def here() -> str | None:
        return next((each.id for each in store.models() if each.path.name == name and each.problem is None), None)

    found = here()
    if found is None:
        _ask(f"Fetch {path}?", yes=yes)
        _provide_hub()
        pull(path, accept_license=accept, endpoint=endpoint, config=config)
        found = here()
    return found or name


def _provide_hub() -> None:
    """Install the hub's library where it is missing."""
    import tempfile

    from planact_quantized.building.llama_source import plain_environment
    from planact_quantized.building.pip_tool import CommandError, pip_for, run_logged
    from planact_quantized.building.wheel_cache import cache_folder

    if importlib.util.find_spec("huggingface_hub") is not None:
        return
    wanted = next(
        line.split(";")[0].strip()
        for line in importlib.metadata.requires("planact") or ()
        if line.startswith("huggingface")
    )
    complain(f"Installing {wanted}.")
    try:
        with tempfile.TemporaryDirectory() as workplace:
            command = [*pip_for(sys.executable, Path(workplace)), "install", wanted]
            log = cache_folder() / "install.log"
            run_logged(command, log=log, what=f"Installing {wanted}", environ=plain_environment())
    except CommandError as error:
        complain("\n".join((*error.tail, str(error))))
        raise typer.Exit(FAILED) from None
    importlib.invalidate_caches()


def _plan(found: Found) -> Fit:
    from planact_quantized.fitting.fit import FitError, plan_fit

    try:
        plan = plan_fit(found.footprint, found.machine, found.wanted, others=found.others)
    except FitError as error:
        complain(error.message)
        raise typer.Exit(FAILED) from None
    print_plan(plan)
    return plan


def _try_out(plan: Fit, found: Found, config: Config) -> int:
    """Load the model, measure it, and let it carry out a task; return the exit code."""
    from planact_quantized import BackendError
    from planact_server.cli.models.trial import ANSWER, TASK, try_task
    from planact_server.cli.report import print_answer

    if found.model is None:
        raise ValueError(f"{plan.model!r} is not here.")
    try:
        speed = measured(plan, found, config)
    except BackendError as error:
        complain(error.message)
        return FAILED
    complain(speed_text(speed))
    chosen = dataclasses.replace(
        config,
        planner=config.planner.model_copy(update={"backend": "local", "model": str(found.model.path)}),
        model=config.model.model_copy(update={"device": found.wanted.device}),
    )
    complain(f"A task: {TASK}")
    trial = asyncio.run(try_task(chosen))
    print_answer(trial.answer, handles=False)
    name = found.model.id
    if not trial.wrote:
        complain(f"{name} is installed, and could not be asked: what stands above says why.")
        return FAILED
    if trial.shortcoming:
        complain(f"{name} ran, but the answer was not {ANSWER}: {trial.shortcoming}.")
        complain("Setup is complete, and the model stays; another may plan better: `planact models list`.")
        return FAILED
    complain(f"The answer is {ANSWER}, as it should be. {name} is ready: {as_typed('ask', 'your own words')}")
    return 0
