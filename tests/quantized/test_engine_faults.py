"""Whatever happens to the child process: the request says so, and the next one is served."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import fail_after

from planact_quantized import BackendError, Engine, EngineSettings
from planact_quantized.engine import process
from planact_quantized.launching import INTERPRETER
from quantized.engine_standin import COMMAND  # noqa: TID251 - a folder of tests
from quantized.engine_testing import Beginning, order, texts, toy, until_gone, until_state  # noqa: TID251

RUDE = """
import os, sys
from planact_quantized.engine.wire import encode

def frame():
    size = int.from_bytes(os.read(0, 4), "big")
    while size:
        size -= len(os.read(0, size))

frame()
os.write(1, encode({"type": "ready", "info": {"kind": "local", "model": "rude"}}))
frame()
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file; what stands in for llama.cpp never opens it."""
    path = tmp_path / "toy.gguf"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
async def engine(model: Path) -> AsyncIterator[Engine]:
    async with toy(model) as engine:
        yield engine


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("die SIGSEGV", "was ended by SIGSEGV. Its last words:\n  Fatal Python error: Segmentation fault"),
        ("die SIGKILL", "was ended by SIGKILL, from outside or because the memory of the machine ran out."),
        ("exit 3", "ended with code 3."),
        ("raise something unforeseen", "ValueError: something unforeseen"),
    ],
)
async def test_a_crash_fails_the_request_with_its_reason_and_the_next_one_is_served(
    engine: Engine, text: str, reason: str
) -> None:
    with fail_after(20):
        with pytest.raises(BackendError) as caught:
            await engine.generate(order(text))
        assert caught.value.fault == "crashed"
        assert caught.value.message.startswith("The process of the model 'toy' ")
        assert reason in caught.value.message
        assert (engine.status.state, engine.status.reason) == ("crashed", caught.value.message)
        assert texts(await engine.generate(order("say x"))) == ["x"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x00\x00\x00\x01{", "JSONDecodeError"),
        (b"\x00\x00\x00\x02[]", "TypeError"),
        (b"\xff\xff\xff\xff", "FrameError: a frame of 4,294,967,295 bytes was announced"),
    ],
)
async def test_a_child_that_cannot_read_what_it_was_sent_ends_with_the_reason(sent: bytes, reason: str) -> None:
    with fail_after(20):
        ended = await anyio.run_process(COMMAND, input=sent, check=False)
    assert ended.returncode == 1
    assert reason in ended.stderr.decode()


async def test_requests_behind_the_one_that_crashed_are_served(engine: Engine) -> None:
    written: list[str] = []
    with fail_after(20):
        async with anyio.create_task_group() as group:

            async def write(text: str) -> None:
                try:
                    written.extend(texts(await engine.generate(order(text))))
                except BackendError as error:
                    written.append(error.fault)

            for text in ("exit 1", "say a", "say b"):
                group.start_soon(write, text)
    assert written == ["crashed", "a", "b"]


async def test_a_request_that_the_dead_child_never_took_up_is_served_by_the_next_one(engine: Engine) -> None:
    with fail_after(20):
        info = await engine.start()
        pid = int(info.extras["pid"])
        os.kill(pid, signal.SIGSTOP)
        async with anyio.create_task_group() as group:

            async def write() -> None:
                assert texts(await engine.generate(order("say x"))) == ["x"]

            group.start_soon(write)
            while not engine.status.busy:
                await anyio.lowlevel.checkpoint()
            os.kill(pid, signal.SIGKILL)
        assert await engine.start() != info


async def test_a_child_that_was_killed_at_rest_is_replaced_without_a_word(engine: Engine) -> None:
    with fail_after(20):
        pid = int((await engine.start()).extras["pid"])
        os.kill(pid, signal.SIGKILL)
        await until_state(engine, "crashed")
        assert texts(await engine.generate(order("say x"))) == ["x"]


async def test_a_frozen_child_is_killed_when_its_request_is_cancelled(engine: Engine) -> None:
    with fail_after(20):
        pid = int((await engine.start()).extras["pid"])
        beginning = Beginning()
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: engine.generate(order("hang"), watch=beginning))
            await beginning.event.wait()
            os.kill(pid, signal.SIGSTOP)
            group.cancel_scope.cancel()
            started = anyio.current_time()
        await until_gone(pid)
        assert anyio.current_time() - started < 5
        assert texts(await engine.generate(order("say x"))) == ["x"]


async def test_a_frozen_child_is_killed_on_closing(model: Path) -> None:
    with fail_after(20):
        async with toy(model) as engine:
            pid = int((await engine.start()).extras["pid"])
            os.kill(pid, signal.SIGSTOP)
        await until_gone(pid)


async def test_a_child_that_nothing_can_end_holds_up_neither_the_next_one_nor_closing(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it is stuck in a driver: here, signals are lost on their way to it."""
    signal_for_sure, stuck, children = os.kill, list[int](), list[Any]()
    monkeypatch.setattr(process, "UNKILLABLE_SECONDS", 0.05)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    with fail_after(20):
        async with toy(model) as engine:
            for _ in range(2):
                stuck.append(int((await engine.start()).extras["pid"]))
                children.append(engine._child)
                signal_for_sure(stuck[-1], signal.SIGSTOP)
                with anyio.move_on_after(0.01):
                    await engine.generate(order("say x"))
        monkeypatch.undo()
        for pid in stuck:
            signal_for_sure(pid, signal.SIGKILL)
            await until_gone(pid)
        # Python's own watcher has to hear of it too, or it warns of a process that it takes to be running.
        while any(child._transport.get_returncode() is None for child in children):
            await anyio.sleep(0.01)


async def test_a_child_that_crashes_again_and_again_is_left_alone_for_a_while(engine: Engine) -> None:
    faults: list[tuple[str, str]] = []
    with fail_after(20):
        for text in ("exit 1", "exit 2", "exit 3", "say x"):
            with pytest.raises(BackendError) as caught:
                await engine.generate(order(text))
            faults.append((caught.value.fault, caught.value.message.partition(" for ")[0]))
    assert faults == [
        ("crashed", "The process of the model 'toy' ended with code 1."),
        ("crashed", "The process of the model 'toy' ended with code 2."),
        ("crashed", "The process of the model 'toy' ended with code 3."),
        ("crashed", "The on-device model crashed 3 times within 60 seconds and is not started again"),
    ]


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (r"b'ggml_cuda_init: found 1 device'", "a frame of 1,734,831,468 bytes was announced; 67,108,864 are allowed"),
        (r"b'\0\0\0\2{]'", "a malformed frame: frame: Invalid JSON"),
        (r"b'\0\0\0\2\xff\xff'", "a malformed frame"),
        (r"encode({'type': 'party', 'id': 1})", "a malformed frame: frame: Input tag 'party'"),
        (r"encode({'type': 'done', 'id': 7, 'result': 1})", "an answer to request 7, which nobody waits for"),
        (
            r"encode({'type': 'text', 'id': 1, 'candidate': 'x', 'text': 'y'})",
            "text.candidate: Input should be",
        ),
        (r"encode({'type': 'ready', 'info': {'kind': 'local', 'model': 'x'}})", "'ready' where it does not belong"),
        (r"encode({'type': 'done', 'id': 1, 'result': 5})", "answered with int"),
    ],
)
async def test_a_child_that_sends_what_is_no_answer_is_ended(model: Path, sent: str, problem: str) -> None:
    source = f"{RUDE}os.write(1, encode({{'type': 'began', 'id': 1}}) + {sent})\nos.read(0, 1)"
    with fail_after(20):
        async with toy(model, command=(*INTERPRETER, "-c", source)) as engine:
            with pytest.raises(BackendError) as caught:
                await engine.generate(order("say x"))
    assert caught.value.fault == "protocol"
    assert problem in caught.value.message


async def test_a_child_that_closes_its_output_is_no_use_and_ended(model: Path) -> None:
    source = f"{RUDE}os.write(1, encode({{'type': 'began', 'id': 1}}))\nos.close(1)\nos.read(0, 1)"
    with fail_after(20):
        async with toy(model, command=(*INTERPRETER, "-c", source)) as engine:
            with pytest.raises(BackendError) as caught:
                await engine.generate(order("say x"))
    assert caught.value.fault == "protocol"
    assert "closed its output and did not end" in caught.value.message


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        ("bad file", "model", "The file is no model."),
        ("too large", "memory", "There is not enough memory to load 'too large'."),
        ("dies loading", "crashed", "was ended by SIGABRT. Its last words:\n  GGML_ASSERT(last words) failed"),
    ],
)
async def test_a_model_that_cannot_be_loaded_fails_everybody_who_waits(
    model: Path, name: str, fault: str, said: str
) -> None:
    errors: list[BackendError] = []
    with fail_after(20):
        async with toy(model, name=name) as engine, anyio.create_task_group() as group:

            async def start() -> None:
                try:
                    await engine.start()
                except BackendError as error:
                    errors.append(error)

            group.start_soon(start)
            group.start_soon(start)
    assert [error.fault for error in errors] == [fault, fault]
    assert all(said in error.message for error in errors)
    assert errors[0] is not errors[1]
    assert engine.status.reason == errors[0].message


async def test_a_model_that_takes_too_long_to_load_is_given_up(model: Path) -> None:
    with fail_after(20):
        async with toy(model, name="deaf while loading", load_seconds=0.2) as engine:
            with pytest.raises(BackendError, match=r"was not loaded within 0\.2 seconds") as caught:
                await engine.start()
            assert caught.value.fault == "timeout"


async def test_a_program_that_cannot_be_started_is_an_error(model: Path) -> None:
    async with toy(model, command=(str(model / "nothing"),)) as engine:
        with pytest.raises(BackendError, match="No process can be started") as caught:
            await engine.start()
    assert caught.value.fault == "unavailable"


async def test_a_missing_llama_cpp_is_no_crash(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planact_quantized.fitting.devices.find_spec", lambda name: None)
    async with aclosing(Engine(EngineSettings(model=model))) as engine:
        with pytest.raises(BackendError, match=r"llama-cpp-python is not installed.*`planact models setup`") as caught:
            await engine.start()
    assert caught.value.fault == "unavailable"


async def test_a_model_file_that_was_replaced_is_loaded_anew(model: Path, engine: Engine) -> None:
    with fail_after(20):
        first = await engine.start()
        (model.parent / "new").write_bytes(b"other weights")
        (model.parent / "new").rename(model)
        assert texts(await engine.generate(order("say x"))) == ["x"]
        second = await engine.start()
        assert first != second
        assert await engine.start() == second


async def test_a_model_file_that_is_gone_is_named_and_may_come_back(model: Path, engine: Engine) -> None:
    with fail_after(20):
        pid = int((await engine.start()).extras["pid"])
        model.unlink()
        with pytest.raises(BackendError) as caught:
            await engine.generate(order("say x"))
        assert (caught.value.fault, repr(str(model)) in caught.value.message) == ("model", True)
        await until_gone(pid)
        model.write_bytes(b"weights")
        assert texts(await engine.generate(order("say x"))) == ["x"]


async def test_what_is_printed_in_the_child_stays_out_of_the_answers(engine: Engine) -> None:
    with fail_after(20):
        assert texts(await engine.generate(order("print"))) == ["ok"]


async def test_an_error_of_the_model_is_no_crash(engine: Engine) -> None:
    with fail_after(20):
        info = await engine.start()
        with pytest.raises(BackendError, match="The grammar is not one") as caught:
            await engine.generate(order("grammar"))
        assert caught.value.fault == "grammar"
        assert await engine.start() == info


PARENT = f"""
import asyncio, sys
from planact_quantized import Engine, EngineSettings, GenerateRequest, Message
from pathlib import Path
from typing import Any

async def main():
    engine = Engine(EngineSettings(model=Path(sys.argv[1])), command={COMMAND!r})
    info = await engine.start()
    print(info.extras["pid"], flush=True)
    await engine.generate(GenerateRequest(messages=[Message(role="user", content="deaf")]))

asyncio.run(main())
"""


async def test_the_child_ends_with_its_parent_whatever_it_is_doing(model: Path) -> None:
    with fail_after(20):
        command = [sys.executable, "-P", "-c", PARENT, str(model)]
        async with await anyio.open_process(command, stderr=None) as parent:
            assert parent.stdout is not None
            pid = int(await parent.stdout.receive())
            parent.kill()
        await until_gone(pid)
