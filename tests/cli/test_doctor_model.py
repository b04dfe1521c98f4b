"""What doctor says about the planner on this machine, without loading a model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from planact_quantized import BackendInfo
from planact_quantized.building.toolchain import NvidiaCard, Toolchain
from planact_quantized.fitting.devices import Device, Machine, ProbeError
from planact_quantized.fitting.host import Host
from planact_quantized.fitting.loads import FILE as LOADS
from planact_quantized.fitting.loads import Loads
from planact_quantized.fitting.speeds import FILE, Speed, Speeds
from planact_quantized.models.store import FOLDER, ModelStore
from planact_server.cli.doctor_model import examine_model
from planact_server.config import Config
from planact_server.config.schema import ModelSettings, PlannerSettings
from planact_testing import Home
from quantized.tiny_gguf import make_gguf, spoil  # noqa: TID251 - a folder of tests

GIB = 1024**3
HOST = Host(processor="a CPU", cores=8, total_bytes=16 * GIB, available_bytes=8 * GIB, instruction_sets=())
CARD = Device(name="CUDA0", description="a card", kind="gpu", free_bytes=7 * GIB, total_bytes=8 * GIB)
ON_CPU = Machine(host=HOST, llama_cpp="0.3.36")
ON_CARD = Machine(host=HOST, devices=(CARD,), llama_cpp="0.3.36", gpu_offload=True)
NO_TOOLS = Toolchain(system="debian", machine="x86_64", compiler=None, nvcc=None, cards=(), driver="", glslc=None)
INFO = BackendInfo(kind="local", model="tiny", device="CUDA0: a card", layers=3, offloaded_layers=2)
SPEED = Speed(
    model="tiny",
    device="CUDA0: a card",
    layers=3,
    offloaded_layers=3,
    prompt=500.0,
    text=50.0,
    load_seconds=1.0,
    when="2026-01-02T03:04:05+00:00",
)


class Desk:
    """A configuration, and a machine that is what a test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = Config(state=folder)
        self.machine: Machine | ProbeError = ON_CPU
        self.tools = NO_TOOLS
        monkeypatch.setattr("planact_quantized.fitting.devices.read_machine", self._machine)
        monkeypatch.setattr("planact_quantized.building.toolchain.find_toolchain", lambda: self.tools)

    def _machine(self) -> Machine:
        if isinstance(self.machine, ProbeError):
            raise self.machine
        return self.machine

    def install(self, name: str = "tiny") -> None:
        from planact_quantized.models.candidates import examine

        ModelStore(self.config.state / FOLDER).add(
            examine(make_gguf(self.config.state / f"{name}.gguf", seed=len(name)))
        )

    def says(self) -> list[tuple[str, str, str, str]]:
        return [(each.level, each.subject, each.text, each.advice) for each in examine_model(self.config)[0]]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_without_llama_cpp_it_is_said_how_to_get_it(desk: Desk) -> None:
    desk.machine = ProbeError("llama-cpp-python is not installed.")
    assert desk.says() == [("note", "planner", "no tasks: llama-cpp-python is not installed.", "planact models setup")]


def test_without_a_model_it_is_said_how_to_get_one(desk: Desk) -> None:
    assert desk.says() == [
        ("ok", "planner", "local, llama-cpp-python 0.3.36, for the CPU only", ""),
        ("ok", "device", "CPU: a CPU, 8 cores, 8.0 of 16.0 GiB available", ""),
        ("note", "model", "none is here, so tasks cannot be planned", "planact models setup"),
    ]


def test_a_card_that_the_build_does_not_use_is_pointed_out(desk: Desk) -> None:
    desk.tools = replace(NO_TOOLS, cards=(NvidiaCard(name="RTX", capability="8.9"),), driver="580.1")
    assert desk.says()[2] == (
        "note",
        "device",
        "RTX (driver 580.1) stays unused: llama.cpp was built without it, or its driver does not answer",
        "planact models setup --backend cuda   # docs/gpu.md says what it needs",
    )


def test_a_model_that_fits_is_shown_and_that_it_is_a_plan(desk: Desk) -> None:
    desk.machine = ON_CARD
    desk.install()
    assert desk.says()[1:] == [
        ("ok", "device", "CUDA0: a card, 7.0 of 8.0 GiB free", ""),
        ("ok", "device", "CPU: a CPU, 8 cores, 8.0 of 16.0 GiB available", ""),
        ("ok", "model", "tiny: fits, 2 of 2 layers on CUDA0, context 4096, KV cache f16", ""),
        (
            "note",
            "model",
            "that is planned, not measured: it has not been loaded here yet",
            "planact models fit tiny --measure",
        ),
    ]


def test_what_the_last_load_really_offloaded_is_shown(desk: Desk) -> None:
    desk.machine = ON_CARD
    desk.install()
    loads = Loads(desk.config.state / LOADS)
    loads.keep(replace(INFO, device="CPU", offloaded_layers=0))
    loads.keep(replace(INFO, model="another"))
    level, _, text, advice = desk.says()[-1]
    assert (level, advice) == ("note", "planact models fit tiny --measure")
    assert text.endswith(": really on CPU; CUDA0 could hold it")

    loads.keep(INFO)
    level, _, text, advice = desk.says()[-1]
    assert (level, advice) == ("ok", "planact models fit tiny --measure   # how fast it is")
    assert text.endswith(": 2 of 3 layers really on CUDA0: a card")
    report = examine_model(desk.config)[1]
    assert [(load["device"], load["offloaded_layers"]) for load in report["loads"]] == [
        ("CUDA0: a card", 2),
        ("CPU", 0),
    ]

    Speeds(desk.config.state / FILE).keep(INFO, SPEED)
    level, _, text, advice = desk.says()[-1]
    assert (level, advice) == ("ok", "")
    assert text.endswith("; measured 2026-01-02, tokens/s: prompt 500, text 50")


def test_a_file_that_cannot_be_read_is_named_and_costs_no_other_model(desk: Desk) -> None:
    desk.install()
    desk.install("broken")
    spoil(ModelStore(desk.config.state / FOLDER).find("broken").path)
    texts = [text for _, subject, text, _ in desk.says() if subject == "model"]
    assert texts[0].startswith("The model 'broken' is passed over: ")
    assert texts[1].startswith("tiny: fits")


def test_what_was_asked_for_and_does_not_fit_is_a_problem(desk: Desk) -> None:
    desk.install()
    desk.config = replace(desk.config, planner=PlannerSettings(model="tiny"), model=ModelSettings(device="CUDA0"))
    level, subject, text, _ = desk.says()[-1]
    assert (level, subject) == ("problem", "model")
    assert "There is no device 'CUDA0' here" in text


async def test_doctor_shows_the_planner(home: Home) -> None:
    code, out, _ = await home.run("doctor", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["planner"]["backend"] == "local"
    assert any(finding["subject"] == "planner" for finding in report["findings"])
