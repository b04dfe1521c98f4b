"""The engine over llama.cpp itself, with a tiny model of random weights."""

import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import fail_after

from planact_quantized import BackendError, Engine, EngineSettings, GenerateRequest, Grammar, Message, launching
from planact_quantized.engine.process import COMMAND
from quantized.engine_testing import Beginning, failure, order, texts  # noqa: TID251 - a folder of tests
from quantized.tiny_gguf import make_gguf  # noqa: TID251

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

LONG = 3000
"""Tokens that take the tiny model seconds to write; whoever asks for so many ends it before."""

HELD = Grammar(text="root ::= forty{50}\nforty ::= [a-z]{40}")
"""Left alone, random weights may end any time; so a text that is to be interrupted is held to a length."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


def llama(model: Path, *, command: tuple[str, ...] = COMMAND, **options: Any) -> "aclosing[Engine]":
    # One thread: more would wait for each other on a machine where other tests run too.
    settings = EngineSettings(**({"context_tokens": 4096, "threads": 1} | options), model=model)
    return aclosing(Engine(settings, command=command))


@pytest.fixture
async def engine(weights: Path) -> AsyncIterator[Engine]:
    async with llama(weights) as engine:
        yield engine


async def test_pieces_make_up_the_text_of_each_candidate_and_a_watcher_may_end_it(engine: Engine) -> None:
    pieces: dict[int, str] = {}

    def collect(candidate: int, piece: str) -> bool:
        pieces[candidate] = pieces.get(candidate, "") + piece
        return False

    with fail_after(30):
        completion = await engine.generate(order("hello", max_tokens=12, temperature=1, candidates=3), watch=collect)
        assert texts(completion) == [pieces[0], pieces[1], pieces[2]]
        assert {candidate.tokens for candidate in completion.candidates} <= set(range(1, 13))
        counted = await engine.count_tokens([Message(role="user", content="hello")])
        (ended,) = (
            await engine.generate(order("hello", max_tokens=LONG, grammar=HELD), watch=lambda *_: True)
        ).candidates
    assert completion.usage.prompt_tokens == counted
    assert (ended.stop, ended.tokens < 2000) == ("watched", True)


async def test_a_killed_child_fails_its_request_and_the_next_one_is_served(engine: Engine) -> None:
    with fail_after(30):
        before = texts(await engine.generate(order("hello", max_tokens=4)))
        kill = partial(os.kill, engine.status.pid or 0, signal.SIGKILL)
        error = await failure(engine, order("hello", max_tokens=LONG, grammar=HELD), kill)
        assert error.fault == "crashed"
        assert "was ended by SIGKILL" in error.message
        assert texts(await engine.generate(order("hello", max_tokens=4))) == before


async def test_another_task_can_cancel_and_the_model_stays(engine: Engine) -> None:
    beginning = Beginning()
    with fail_after(30):
        await engine.start()
        pid = engine.status.pid
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: engine.generate(order("hello", max_tokens=LONG, grammar=HELD), watch=beginning))
            await beginning.event.wait()
            group.cancel_scope.cancel()
            started = anyio.current_time()
        assert anyio.current_time() - started < 1
        assert engine.status.pid == pid
        assert len((await engine.generate(order("hello", max_tokens=4))).candidates) == 1


async def test_two_requests_at_once_are_served_one_after_the_other(engine: Engine) -> None:
    written: list[list[str]] = []
    with fail_after(30):
        async with anyio.create_task_group() as group:

            async def write() -> None:
                written.append(texts(await engine.generate(order("hello", max_tokens=4))))

            group.start_soon(write)
            group.start_soon(write)
    assert written[0] == written[1]


async def test_what_cannot_be_written_is_refused_and_the_child_goes_on(engine: Engine) -> None:
    bad, good = Grammar(text="root ::= missing"), Grammar(text='root ::= "yes" | "no"')
    faults: list[str] = []
    with fail_after(30):
        await engine.start()
        pid = engine.status.pid
        for request in (order("hello", grammar=bad), order("x" * 5000)):
            with pytest.raises(BackendError) as caught:
                await engine.generate(request)
            faults.append(caught.value.fault)
        with pytest.raises(BackendError) as caught:
            await engine.check_grammar(bad)
        faults.append(caught.value.fault)
        await engine.check_grammar(good)
        assert texts(await engine.generate(order("hello", grammar=good)))[0] in ("yes", "no")
        assert engine.status.pid == pid
    assert faults == ["grammar", "too_long", "grammar"]


async def test_a_context_that_does_not_fit_the_memory_is_an_error_and_no_crash(weights: Path) -> None:
    """A shell gives the child a machine of its own size."""
    if sys.platform != "linux":
        pytest.skip("memory is limited on Linux only")
    command = ("/bin/sh", "-c", 'ulimit -d 400000 && exec "$@"', "sh", *COMMAND)
    with fail_after(60):
        async with llama(weights, command=command, context_tokens=4_000_000) as engine:
            with pytest.raises(BackendError) as caught:
                await engine.start()
        assert caught.value.fault == "memory"
        assert "tiny.gguf" in caught.value.message


@pytest.mark.parametrize("kept", [0.5, 0.01])
async def test_a_truncated_file_is_named(weights: Path, tmp_path: Path, kept: float) -> None:
    content = weights.read_bytes()
    (tmp_path / "half.gguf").write_bytes(content[: int(len(content) * kept)])
    with fail_after(30):
        async with llama(tmp_path / "half.gguf") as engine:
            with pytest.raises(BackendError, match=r"half\.gguf") as caught:
                await engine.start()
    assert caught.value.fault == "model"


async def test_a_file_that_is_cut_short_under_the_model_ends_the_child_alone(weights: Path, tmp_path: Path) -> None:
    """Reading beyond the end of a mapped file is SIGBUS; nobody who replaces a file in place is spared that."""
    model = tmp_path / "cut.gguf"
    model.write_bytes(weights.read_bytes())
    with fail_after(30):
        async with llama(model) as engine:
            error = await failure(
                engine, order("hello", max_tokens=LONG, grammar=HELD), partial(os.truncate, model, 4096)
            )
            assert re.search(r"was ended by SIG(BUS|SEGV)", error.message)
            with pytest.raises(BackendError) as caught:
                await engine.start()
            assert caught.value.fault == "model"
            model.write_bytes(weights.read_bytes())
            await engine.start()


async def test_a_replaced_file_is_loaded_anew(weights: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(weights.read_bytes())
    with fail_after(30):
        async with llama(model) as engine:
            before = texts(await engine.generate(order("hello", max_tokens=8)))
            make_gguf(tmp_path / "other.gguf", seed=1).rename(model)
            after = texts(await engine.generate(order("hello", max_tokens=8)))
    assert before != after


async def test_an_unloaded_model_comes_back_with_its_evaluated_prompts(weights: Path, tmp_path: Path) -> None:
    request = GenerateRequest(
        messages=[Message(role="system", content="tools " * 100), Message(role="user", content="go")], max_tokens=4
    )
    with fail_after(30):
        async with llama(weights, idle_seconds=0, prefixes=tmp_path / "prefixes") as engine:
            first = await engine.generate(request)
            while engine.status.state != "stopped":
                await anyio.sleep(0.005)
            second = await engine.generate(request)
    assert texts(first) == texts(second)
    assert second.usage.evaluated_tokens < first.usage.evaluated_tokens / 4


async def test_without_llama_cpp_the_error_says_how_to_get_it(weights: Path) -> None:
    source = "import sys; sys.modules['llama_cpp'] = None; from planact_quantized.engine.child import main; main()"
    with fail_after(30):
        async with llama(weights, command=(*launching.INTERPRETER, "-c", source)) as engine:
            with pytest.raises(BackendError, match="planact models setup") as caught:
                await engine.start()
    assert caught.value.fault == "unavailable"
