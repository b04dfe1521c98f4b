"""The engine's small parts, each on its own: turns, crashes, frames, the environment of the child."""

import asyncio
import json
import sys
from pathlib import Path

import anyio
import pytest
from anyio import fail_after
from hypothesis import given
from hypothesis import strategies as st

from planact_quantized import BackendError, EngineSettings, GenerateRequest, Grammar, Message, launching
from planact_quantized.engine.crashes import Crashes
from planact_quantized.engine.turns import Turns
from planact_quantized.engine.wire import (
    FrameError,
    Splitter,
    encode,
    request_from_json,
    request_to_json,
    settings_from_json,
    settings_to_json,
)
from planact_quantized.fitting.host import read_host

WORDS = st.text(st.characters(codec=None), max_size=20)


async def test_a_turn_that_came_in_the_moment_of_cancelling_goes_to_the_next_one() -> None:
    turns = Turns()
    served: list[str] = []

    async def wait(name: str) -> None:
        async with turns.turn(0):
            served.append(name)

    with fail_after(5):
        async with turns.turn(0):
            first, second = asyncio.create_task(wait("first")), asyncio.create_task(wait("second"))
            while turns.waiting < 2:
                await anyio.lowlevel.checkpoint()
        first.cancel()  # it has been let in, and has not run yet
        await asyncio.wait([first, second])
    assert served == ["second"]
    assert turns.waiting == 0


async def test_a_turn_is_given_back_when_its_holder_fails() -> None:
    turns = Turns()
    with fail_after(5):
        with pytest.raises(LookupError):
            async with turns.turn(0):
                raise LookupError
        async with turns.turn(0):
            assert turns.waiting == 0


def test_crashes_are_forgiven_with_time() -> None:
    now = 0.0
    crashes = Crashes(lambda: now)
    for second in (0, 10, 20):
        crashes.check()
        now = second
        crashes.add(f"crash at {second}")
    now = 25
    with pytest.raises(BackendError) as caught:
        crashes.check()
    assert caught.value.message == (
        "The on-device model crashed 3 times within 60 seconds and is not started again for 35 seconds. "
        "The last time: crash at 20"
    )
    now = 60
    crashes.check()


@given(st.lists(st.dictionaries(WORDS, WORDS, max_size=3), max_size=5), st.integers(1, 40))
def test_frames_survive_being_cut_anywhere(frames: list[dict[str, str]], size: int) -> None:
    stream = b"".join(map(encode, frames))
    splitter = Splitter()
    bodies = [body for at in range(0, len(stream), size) for body in splitter.feed(stream[at : at + size])]
    assert [encode(frame)[4:] for frame in frames] == bodies


def test_a_frame_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameError, match="a frame of 67,108,865 bytes was announced; 67,108,864 are allowed"):
        list(Splitter().feed(b"\x04\0\0\x01"))


def test_settings_and_requests_arrive_as_they_were(tmp_path: Path) -> None:
    settings = EngineSettings(
        model=tmp_path / "m.gguf", tensor_split=(0.5, 0.25), prefixes=tmp_path, idle_seconds=float("inf")
    )
    request = GenerateRequest(
        messages=[Message(role="system", content="\ud83d half"), Message(role="user", content="ä")],
        grammar=Grammar(text='root ::= "x"', trigger="```"),
        stop=["a", "b"],
        seed=7,
    )
    assert settings_from_json(settings_to_json(settings)) == settings
    assert request_from_json(request_to_json(request)) == request


def test_relative_paths_are_those_of_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The child works in another folder."""
    monkeypatch.chdir(tmp_path)
    assert settings_to_json(EngineSettings(model=Path("m.gguf")))["model"] == str(tmp_path / "m.gguf")


def test_the_child_gets_what_drivers_need_and_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given_on = {"CUDA_VISIBLE_DEVICES": "0", "LD_LIBRARY_PATH": "/lib", "GGML_CUDA_NO_PINNED": "1", "PATH": "/bin"}
    for name, value in (given_on | {"OPENAI_API_KEY": "secret", "PLANACT_TOKEN": "secret", "LD_PRELOAD": "x"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", "relative")
    monkeypatch.chdir(tmp_path)
    environment = launching.environment()
    assert environment | given_on == environment
    assert environment["PYTHONPATH"] == str(tmp_path / "relative")
    assert not {"OPENAI_API_KEY", "PLANACT_TOKEN", "LD_PRELOAD"} & environment.keys()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds the child like this")
async def test_a_confined_process_can_neither_fill_the_memory_nor_outlive_its_parent() -> None:
    source = """
import ctypes, json, mmap, resource
from pathlib import Path
from planact_quantized.engine.confinement import confine
confine(memory=True)
signal = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(signal))
most = resource.getrlimit(resource.RLIMIT_DATA)[0]
try:
    mmap.mmap(-1, most, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # set aside, not touched
    refused = False
except OSError:
    refused = True
print(json.dumps([most, resource.getrlimit(resource.RLIMIT_CORE),
                  signal.value, int(Path("/proc/self/oom_score_adj").read_text()), refused]))
"""
    with fail_after(20):
        done = await anyio.run_process([*launching.INTERPRETER, "-c", source])
    most, *bounds = json.loads(done.stdout)
    assert 0 < most < read_host().total_bytes
    assert bounds == [[0, 0], 9, 800, True]
