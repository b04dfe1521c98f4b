"""The whole planner over llama.cpp and random weights: what is written is nonsense, and all of it is Python."""

from __future__ import annotations

import ast
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio
import pytest

from planact_quantized import (
    BackendInfo,
    Completion,
    Engine,
    EngineSettings,
    GenerateRequest,
    Grammar,
    Message,
    Watcher,
)
from planact_server.planner.options import PlannerOptions
from planact_server.planner.planner import Planner
from quantized.tiny_gguf import make_gguf  # noqa: TID251 - a folder of tests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from planner.scripted import RealGround

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python")

FENCE = "```python\n"


@dataclass
class Opened:
    """A backend whose texts begin inside a block: random weights would never open one."""

    backend: Engine

    async def start(self) -> BackendInfo:
        return await self.backend.start()

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await self.backend.count_tokens(messages)

    async def generate(self, request: GenerateRequest, *, watch: Watcher | None = None) -> Completion:
        assert request.grammar is not None
        assert request.grammar.trigger == FENCE
        held = replace(request, grammar=Grammar(text=request.grammar.text))
        completion = await self.backend.generate(held, watch=watch)
        texts = tuple(replace(each, text=FENCE + each.text) for each in completion.candidates)
        return replace(completion, candidates=texts)

    async def aclose(self) -> None:
        await self.backend.aclose()


@pytest.mark.check
async def test_attempts_and_candidates_of_a_real_model(tmp_path: Path, ground: RealGround) -> None:
    model = make_gguf(tmp_path / "tiny.gguf", context=8_192)
    options = PlannerOptions(attempts=2, candidates=4, max_tokens=96, temperature=1.2)
    async with aclosing(Engine(EngineSettings(model=model, context_tokens=8_192, candidates=4, threads=1))) as engine:
        with anyio.fail_after(60):
            planned = await Planner(Opened(engine), options).carry_out("Book the review", ground)

    assert (planned.trial is None) is (planned.error is not None)
    assert planned.text is None
    assert len(planned.attempts) in (1, 2, 3)
    for plan in [*ground.rehearsed, *ground.attempted]:
        ast.parse(plan)
    usage = ground.spending.as_json()
    assert usage is not None
    assert (usage["model"], usage["requests"]) == ("tiny.gguf", 3)
    # The repair and the candidates go on from the prompt of the first attempt.
    assert usage["evaluated_tokens"] < usage["prompt_tokens"] / 2
