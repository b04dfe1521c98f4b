"""`planact models fit` and `setup`: the stranger's road, with a hub of the test, a tiny model and real llama.cpp."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from planact_testing import Home
from quantized.file_server import File, FileServer, file_server  # noqa: TID251 - a folder of tests
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

COMMIT = "c" * 40
REPOSITORY, FILE = "owner/models", "tiny.F16.gguf"
NAME = f"{REPOSITORY}/{FILE}"
# One thread: two that wait for each other crawl where other tests want the cores too.
ONE_TRY = "[planner]\nattempts = 1\ncandidates = 1\nmax_tokens = 32\n[model]\nthreads = 1\n"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_gguf(tmp_path / FILE, context=2048)


@pytest.fixture
def hub(tiny: Path) -> Iterator[FileServer]:
    body = tiny.read_bytes()
    with file_server() as server:
        headers = {
            "x-repo-commit": COMMIT,
            "x-linked-etag": f'"{hashlib.sha256(body).hexdigest()}"',
            "x-linked-size": str(len(body)),
        }
        for revision in ("main", COMMIT):
            server.files[f"/{REPOSITORY}/resolve/{revision}/{FILE}"] = File(body, headers=headers)
        yield server


@pytest.fixture
def needs_llama() -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")


async def test_fit_shows_the_plan_of_a_model_that_is_not_here_yet(home: Home) -> None:
    code, out, errors = await home.run("models", "fit", "tiny-agent-a-0.5b", "--device", "cpu", "--context", "4096")
    assert (code, out) == (0, "")
    title, heading, row = (" ".join(line.split()) for line in errors.splitlines()[:3])
    assert title.startswith("planact: tiny-agent-a-0.5b:Q4_K_M on ")
    assert heading == "device needed free layers on it context KV"
    assert row.startswith("cpu ~")
    assert row.endswith("0 of 24 4096 f16")
    assert "`planact models pull tiny-agent-a-0.5b:Q4_K_M`" in errors


async def test_fit_of_a_file_is_exact_and_one_json_value(home: Home, tiny: Path) -> None:
    code, out, _ = await home.run("models", "fit", str(tiny), "--device", "cpu", "--json")
    found = json.loads(out)
    assert code == 0
    assert {key: found[key] for key in ("fits", "here", "exact", "device", "context_tokens", "gpu_layers")} == {
        "fits": True,
        "here": True,
        "exact": True,
        "device": "cpu",
        "context_tokens": 2048,
        "gpu_layers": 0,
    }
    assert found["needed_bytes"] == sum(found["need"].values())


@pytest.mark.check
async def test_a_device_that_is_not_there_is_an_error_and_never_the_cpu(home: Home) -> None:
    code, out, errors = await home.run("models", "fit", "tiny-agent-a-0.5b", "--device", "CUDA7", "--json")
    assert code == 1
    assert json.loads(out)["fits"] is False
    assert "There is no device 'CUDA7' here" in json.loads(out)["error"]
    code, out, errors = await home.run("models", "fit", "tiny-agent-a-0.5b", "--device", "CUDA7")
    assert (code, out) == (1, "")
    assert "There is no device 'CUDA7' here" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fit", "no-such-model", "--device", "cpu"), "There is no model 'no-such-model' on this machine."),
        (
            ("fit", "./gone.gguf", "--device", "cpu"),
            "There is no file './gone.gguf', and no model of that name on this machine.",
        ),
        (("quantize", "gone.gguf", "out.gguf"), "There is no file 'gone.gguf', and no model of that name"),
    ],
)
async def test_a_name_or_file_that_is_not_there_is_wrong_usage(home: Home, arguments, said: str) -> None:
    code, _, errors = await home.run("models", *arguments)
    assert (code, said in errors) == (2, True), errors


@pytest.mark.check
@pytest.mark.usefixtures("needs_llama")
async def test_fit_measures_and_writes_down_how_fast_a_model_is(home: Home, tiny: Path) -> None:
    home.configure(ONE_TRY)
    code, out, errors = await home.run("models", "fit", str(tiny), "--device", "cpu", "--measure", "--json")
    speed = json.loads(out)["speed"]
    assert code == 0, errors
    assert speed["prompt"] > 0
    assert (speed["layers"], speed["offloaded_layers"]) == (3, 0)
    kept = json.loads((home.folder / "state" / "speeds.json").read_text())
    assert list(kept.values()) == [speed]


@pytest.mark.check
@pytest.mark.usefixtures("needs_llama")
async def test_setup_goes_from_nothing_to_a_model_that_has_run(home: Home, hub: FileServer) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    hub.files[f"/{REPOSITORY}/resolve/{COMMIT}/{FILE}"].cuts = [100_000]
    home.configure(ONE_TRY)
    arguments = ("models", "setup", "--backend", "cpu", "--model", NAME, "--endpoint", hub.url, "--yes")
    code, out, errors = await home.run(*arguments)
    assert (code, out) == (1, ""), errors
    for said in ("C++ compiler:", "is installed.", "tiny.F16 is ready", "tokens/s: prompt", "A task: "):
        assert said in errors
    # Weights at random plan nonsense, and that is said; the model is there all the same.
    assert "tiny.F16 ran, but the answer was not 42: " in errors
    assert "Setup is complete, and the model stays" in errors
    assert [path.name for path in (home.folder / "state" / "models").glob("*.gguf")] == [FILE]
    assert hub.gets() == [None, "bytes=100000-"], "a download that was cut off goes on"


@pytest.mark.usefixtures("needs_llama")
@pytest.mark.check
async def test_setup_takes_a_file_that_was_brought_by_hand_and_fetches_nothing_twice(
    home: Home, tiny: Path, hub: FileServer
) -> None:
    home.configure(ONE_TRY)
    code, _, errors = await home.run("models", "add", str(tiny))
    assert (code, "tiny.F16 is ready" in errors) == (0, True)
    for source in (("--file", str(tiny)), ("--model", NAME, "--endpoint", hub.url)):
        # A device that is not there ends it before the model is loaded.
        code, _, errors = await home.run("models", "setup", "--backend", "cpu", *source, "--yes", "--device", "CUDA7")
        assert (code, "There is no device 'CUDA7' here" in errors) == (1, True), errors
    assert hub.asked == []
    assert tiny.exists()


@pytest.mark.check
@pytest.mark.usefixtures("needs_llama")
async def test_setup_refuses_what_it_cannot_ask_about(home: Home) -> None:
    code, out, errors = await home.run("models", "setup", "--backend", "cpu", "--model", "tiny-agent-a-0.5b")
    assert (code, out) == (2, "")
    assert "Licence: Apache-2.0" in errors
    assert errors.rstrip().endswith("There is no terminal to ask on: say --yes.")


async def test_setup_refuses_a_wrong_file_or_name_before_anything_is_built(home: Home, tmp_path: Path) -> None:
    empty = make_gguf(tmp_path / "empty.gguf", tensors=False)
    missing = tmp_path / "missing.gguf"
    for wrong, expected, named in (
        (("--file", str(empty)), 1, "empty.gguf"),
        (("--file", str(missing)), 2, "missing.gguf"),
        (("--model", "no-such-model"), 2, "no-such-model"),
    ):
        code, _, errors = await home.run("models", "setup", "--backend", "cpu", *wrong, "--yes")
        assert (code, named in errors, "C++ compiler" in errors) == (expected, True, False), errors
