"""The planner that is configured: nothing happens before the first task, and then the right thing does."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from planact_quantized import BackendError, BackendInfo, EngineSettings, Message
from planact_quantized.fitting.loads import FILE, Loads
from planact_quantized.models.store import FOLDER, ModelStore, examine
from planact_server.config.schema import ModelSettings, PlannerSettings
from planact_server.planner.backends import LateBackend
from planact_server.planner.local import local_engine, local_settings
from planact_server.planner.opening import open_planner
from planact_server.planner.options import PlannerOptions
from planact_server.planner.spending import Spending
from planner.scripted import ScriptedBackend
from quantized.tiny_gguf import make_gguf, spoil  # noqa: TID251 - a folder of tests

if TYPE_CHECKING:
    from pathlib import Path

    from planner.scripted import RealGround

ON_THE_CPU = ModelSettings(device="cpu")

SCHEMA = {
    "type": "object",
    "properties": {"urgent": {"type": "boolean"}, "team": {"enum": ["sales", "support"]}},
    "required": ["urgent", "team"],
}


def install(state: Path, *names: str, **shape: Any) -> None:
    store = ModelStore(state / FOLDER)
    for number, name in enumerate(names):
        file = make_gguf(state / f"{name}.gguf", **{"layers": 2 + number, "context": 4_096, **shape})
        store.add(examine(file), name=name)


async def test_a_backend_is_made_once_on_first_use_and_closed_once() -> None:
    made: list[ScriptedBackend] = []

    def make() -> ScriptedBackend:
        made.append(ScriptedBackend([]))
        return made[-1]

    late = LateBackend(make)
    assert late.made is None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(late.start)
        tasks.start_soon(late.count_tokens, [Message(role="user", content="Hi")])
    assert len(made) == 1
    await late.aclose()
    await late.aclose()
    assert made[0].closed == 1
    with pytest.raises(BackendError, match="closed"):
        await late.start()


async def test_what_could_not_be_made_is_tried_again() -> None:
    tries = 0

    def make() -> ScriptedBackend:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise BackendError("Not yet.", fault="unavailable")
        return ScriptedBackend([])

    late = LateBackend(make)
    with pytest.raises(BackendError, match="Not yet"):
        await late.start()
    assert (await late.start()).model == "scripted"
    await late.aclose()


async def test_every_load_is_noted_once_and_a_note_that_fails_is_no_fault() -> None:
    noted: list[str] = []

    def note(info: BackendInfo) -> None:
        noted.append(info.model)
        raise OSError("the disk is full")

    backend = ScriptedBackend([])
    late = LateBackend(lambda: backend, note=note)
    for model in ("first", "first", "second"):
        if model != backend.info.model:
            backend.info = replace(backend.info, model=model)
        assert (await late.start()).model == model
    await late.aclose()
    assert noted == ["first", "second"]


async def test_opening_and_closing_reads_and_starts_nothing(tmp_path: Path) -> None:
    async with open_planner(PlannerOptions(), PlannerSettings(), ModelSettings(), state=tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()


async def test_importing_the_planner_loads_nothing_heavy() -> None:
    code = "import sys, planact_server.planner.opening as o; print([m for m in sys.modules if m in %r])"
    heavy = ["numpy", "llama_cpp", "httpx2", "huggingface_hub", "jsonschema"]
    done = await anyio.run_process([sys.executable, "-P", "-c", code % heavy])
    assert done.stdout.decode().strip() == "[]"


async def test_without_a_model_the_error_says_how_to_get_one(tmp_path: Path, ground: RealGround) -> None:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python")
    async with open_planner(PlannerOptions(), PlannerSettings(), ModelSettings(), state=tmp_path) as planner:
        planned = await planner.carry_out("Book the review", ground)

    assert planned.error is not None
    assert planned.error.message == (
        "No model is installed. Run `planact models setup`: it finds one that fits this machine."
    )


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="'nowhere'"):
        local_settings(PlannerSettings(model="nowhere"), ON_THE_CPU, state=tmp_path)


async def test_of_several_models_the_largest_that_fits_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python")
    install(tmp_path, "small", "large")
    engine = local_engine(PlannerSettings(), ModelSettings(device="cpu", n_ctx=512), state=tmp_path)
    try:
        with anyio.fail_after(30):
            info = await engine.start()
    finally:
        await engine.aclose()
    assert (info.model, info.context_tokens, info.device) == ("large", 512, "CPU")


def test_a_file_that_cannot_be_read_costs_no_other_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    install(tmp_path, "whole", "broken")
    spoil(ModelStore(tmp_path / FOLDER).find("broken").path)
    assert local_settings(PlannerSettings(), ON_THE_CPU, state=tmp_path).name == "whole"
    [notice] = [record.getMessage() for record in caplog.records]
    assert notice.startswith("The model 'broken' is passed over: ")


def test_where_no_file_can_be_read_the_error_says_so(tmp_path: Path) -> None:
    install(tmp_path, "broken")
    spoil(ModelStore(tmp_path / FOLDER).find("broken").path)
    with pytest.raises(BackendError, match=r"'broken' is passed over: .*planact models setup"):
        local_settings(PlannerSettings(), ON_THE_CPU, state=tmp_path)


def test_the_configuration_reaches_the_engine(tmp_path: Path) -> None:
    """What a fit decides goes through it, the rest goes as it is."""
    install(tmp_path, "tiny")
    model = ModelSettings(device="cpu", n_ctx=512, kv_type="q8_0", main_gpu=1, n_batch=64, threads=3, drafting="off")
    assert local_settings(PlannerSettings(candidates=0), model, state=tmp_path) == EngineSettings(
        model=ModelStore(tmp_path / FOLDER).find("tiny").path,
        name="tiny",
        context_tokens=512,
        kv_type="q8_0",
        flash_attention="on",
        main_gpu=1,
        threads=3,
        batch_tokens=64,
        candidates=1,
        drafting="off",
        prefixes=tmp_path / "prefixes",
    )


async def test_a_real_model_answers_within_a_schema(tmp_path: Path) -> None:
    """Random weights know nothing, so only the grammar can make what they write fit."""
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python")
    install(tmp_path, "tiny")
    settings = PlannerSettings(model="tiny")
    options = PlannerOptions(max_tokens=128)
    async with open_planner(options, settings, ModelSettings(), state=tmp_path) as planner:
        with anyio.fail_after(60):
            answer = await planner.ask_model(
                "Which team?", data={"mail": "It broke!"}, schema=SCHEMA, spending=Spending()
            )

    assert isinstance(answer, dict), json.dumps(answer)
    [load] = Loads(tmp_path / FILE).of("tiny")
    assert (load.device, load.layers, load.offloaded_layers) == ("CPU", 3, 0)
    assert answer["team"] in ("sales", "support")
    assert answer["urgent"] in (True, False)
