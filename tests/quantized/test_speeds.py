"""How fast a model is: measured through a backend, kept in a file that nothing can break."""

import json
from pathlib import Path

import pytest

from planact_quantized import BackendInfo, Candidate, Completion, GenerateRequest, Usage
from planact_quantized.fitting.speeds import Speed, Speeds, measure, speed_key

INFO = BackendInfo(
    kind="local",
    model="m",
    device="CUDA0: a card",
    layers=25,
    offloaded_layers=25,
    extras={"fingerprint": "f00", "KV cache": "f16", "flash attention": "on", "llama-cpp-python": "0.3.36"},
)
SPEED = Speed(
    model="m",
    device="CUDA0: a card",
    layers=25,
    offloaded_layers=25,
    prompt=500.0,
    text=24.0,
    load_seconds=1.5,
    when="2026-01-01T00:00:00+00:00",
)


class Clockwork:
    """A backend that takes as long as it says."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self.asked: list[GenerateRequest] = []

    async def start(self) -> BackendInfo:
        return INFO

    async def count_tokens(self, messages) -> int:
        return 1

    async def generate(self, request: GenerateRequest, *, watch=None) -> Completion:
        self.asked.append(request)
        return Completion(candidates=(Candidate(text="one", stop="length", tokens=1),), usage=self.usage)

    async def aclose(self) -> None: ...


async def test_prompt_and_text_are_measured_apart() -> None:
    backend = Clockwork(
        Usage(evaluated_tokens=250, generated_tokens=49, seconds_to_first_token=0.5, seconds=2.5, seconds_queued=9)
    )
    info, speed = await measure(backend, load_seconds=1.5)
    assert info == INFO
    assert speed == Speed(**{**_fields(SPEED), "when": speed.when})
    prompts = [request.messages[0].content for request in backend.asked]
    assert len(set(prompts)) == 2, "nothing may be there from an earlier prompt"


async def test_too_little_text_gives_no_speed() -> None:
    _, speed = await measure(Clockwork(Usage(evaluated_tokens=10, generated_tokens=1, seconds=0.0)))
    assert (speed.prompt, speed.text) == (0.0, 0.0)


def test_what_was_measured_is_found_again_and_replaced(tmp_path: Path) -> None:
    speeds = Speeds(tmp_path / "state" / "speeds.json")
    assert speeds.find(INFO) is None
    speeds.keep(INFO, SPEED)
    newer = Speed(**{**_fields(SPEED), "text": 30.0, "when": "2026-01-02T00:00:00+00:00"})
    speeds.keep(INFO, newer)
    assert speeds.find(INFO) == newer
    assert speeds.all() == (newer,)


@pytest.mark.parametrize(
    "change",
    [{"offloaded_layers": 10}, {"device": "CPU"}, {"extras": {**INFO.extras, "fingerprint": "other"}}],
    ids=["layers", "device", "content"],
)
def test_another_way_to_run_is_another_speed(change: dict[str, object]) -> None:
    fields = {name: getattr(INFO, name) for name in INFO.__slots__}
    assert speed_key(BackendInfo(**{**fields, **change})) != speed_key(INFO)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"model": "m"}}'])
def test_a_broken_file_counts_as_empty(tmp_path: Path, text: str) -> None:
    file = tmp_path / "speeds.json"
    file.write_text(text)
    speeds = Speeds(file)
    assert speeds.all() == ()
    speeds.keep(INFO, SPEED)
    assert speeds.find(INFO) == SPEED
    assert json.loads(file.read_text())


def _fields(speed: Speed) -> dict[str, object]:
    return {name: getattr(speed, name) for name in speed.__slots__}
