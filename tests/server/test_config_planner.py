"""`[planner]` and `[model]`: what they say is what the planner and the engine are told."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from planact_quantized import EngineSettings
from planact_quantized.fitting.ladder import Wanted
from planact_server.config import Config, ConfigError, ModelSettings, PlannerSettings, load_config
from planact_server.planner.options import PlannerOptions


def load(tmp_path: Path, toml: str = "", **environ: str) -> Config:
    (tmp_path / "planact.toml").write_text(toml)
    own = {name: str(tmp_path / name) for name in ("PLANACT_HOME", "XDG_CONFIG_HOME", "HOME")}
    return load_config(config_file=tmp_path / "planact.toml", environ=own | environ, cwd=tmp_path)


def test_the_planners_switches_are_keys_with_the_same_defaults() -> None:
    switches = {field.name for field in fields(PlannerOptions)}
    assert PlannerSettings().model_dump(include=switches) == asdict(PlannerOptions())


def test_every_wish_is_one_that_somebody_grants() -> None:
    everything = ModelSettings(
        device="cuda",
        n_gpu_layers=3,
        n_ctx=4096,
        main_gpu=1,
        tensor_split=(1.0, 2.0),
        split_mode="row",
        kv_type="q8_0",
        flash_attention="on",
        threads=2,
        threads_batch=4,
        n_batch=256,
        forced_tokens=False,
        drafting="off",
        prefix_cache_mb=1,
        load_seconds=9.0,
        idle_seconds=8.0,
    )
    granted = {field.name for kind in (Wanted, EngineSettings) for field in fields(kind)}
    assert everything.model_fields_set == set(ModelSettings.model_fields)
    assert set(everything.wishes()) <= granted
    assert len(everything.wishes()) == len(ModelSettings.model_fields)
    assert ModelSettings().wishes() == {}


@pytest.mark.parametrize(
    ("toml", "wishes"),
    [
        ("n_gpu_layers = 20", {"gpu_layers": 20}),
        ("n_gpu_layers = 0", {"gpu_layers": 0}),
        ("n_gpu_layers = -1", {"gpu_layers": -1}),
        ('n_gpu_layers = "all"', {"gpu_layers": -1}),
        ('n_gpu_layers = "auto"', {}),
        ("n_ctx = 8192", {"context_tokens": 8192}),
        ("n_ctx = 0", {}),
        ('kv_type = "q4_0"', {"kv_type": "q4_0"}),
        ("tensor_split = [1, 2.5]", {"tensor_split": (1.0, 2.5)}),
        ("prefix_cache_mb = 3", {"prefix_bytes": 3 * 1024 * 1024}),
        ("threads_batch = 5\nn_batch = 64", {"batch_threads": 5, "batch_tokens": 64}),
    ],
)
def test_what_a_file_says_of_the_model(tmp_path: Path, toml: str, wishes: dict[str, Any]) -> None:
    assert load(tmp_path, f"[model]\n{toml}\n").model.wishes() == wishes


def test_the_environment_says_it_as_well(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        PLANACT_MODEL__N_GPU_LAYERS="20",
        PLANACT_MODEL__TENSOR_SPLIT="1,2.5",
        PLANACT_MODEL__DEVICE="cpu",
        PLANACT_PLANNER__CANDIDATES="0",
        PLANACT_PLANNER__GRAMMAR="false",
    )
    assert config.model.wishes() == {"gpu_layers": 20, "tensor_split": (1.0, 2.5), "device": "cpu"}
    assert (config.planner.candidates, config.planner.grammar) == (0, False)


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[model]\nn_gpu_layers = 2.5", 'n_gpu_layers = 2.5: a number of layers, "all" or "auto".'),
        ("[model]\nn_gpu_layers = -7", 'n_gpu_layers = -7: a number of layers, "all" or "auto".'),
        ("[model]\nn_gpu_layer = 7", "no key 'n_gpu_layer' in [model]. Did you mean 'n_gpu_layers'?"),
        ('[model]\nkv_type = "f8"', 'kv_type = "f8": should be'),
        ('[model]\ntensor_split = ["much"]', "tensor_split[0]"),
        ("[planner]\nattempts = 0", "attempts = 0: should be greater than or equal to 1."),
        ("[planner]\nn_ctx = 1", "It belongs elsewhere: `n_ctx` in [model]."),
    ],
)
def test_mistakes_are_told(tmp_path: Path, toml: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, toml)
    assert complaint in str(caught.value)


def test_a_models_path_starts_at_its_file_and_a_name_is_left_alone(tmp_path: Path) -> None:
    assert load(tmp_path, '[planner]\nmodel = "./m.gguf"').planner.model == str(tmp_path / "m.gguf")
    assert load(tmp_path, '[planner]\nmodel = "org/model"').planner.model == "org/model"
