"""Plans by models with random weights: Python, only known functions, and the sandbox runs them to their end.

The grammar cannot know which variables exist or what they hold, so these plans read names that the session has.
"""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

from planact_quantized.grammar.plan_grammar import plan_grammar
from planact_quantized.prompt import FENCE_CLOSE, FENCE_OPEN
from quantized.leaning_model import LEANING  # noqa: TID251 - a folder of tests
from quantized.leaning_model import READS as LEANING_READS  # noqa: TID251
from quantized.llama_testing import load_model, request, write  # noqa: TID251
from quantized.plan_constructs import FUNCTIONS  # noqa: TID251
from quantized.plan_sampling import ByteModel, Sampler  # noqa: TID251
from quantized.plan_trials import ATTRIBUTES, PARAMETERS, Trials  # noqa: TID251
from quantized.real_grammar import RealGrammar, byte_vocabulary  # noqa: TID251
from quantized.tiny_gguf import make_gguf  # noqa: TID251

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READS = ("a", "b", "rows", "f")
ENDED = {"ok", "error"}
"""How a plan may end: by itself, with or without an error."""


@dataclass
class Written:
    """Plans, and what became of them."""

    plans: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    unused_rules: set[str] = field(default_factory=set)
    rejected: list[int | None] = field(default_factory=list)


def sampled(folder: Path, count: int, *, seed: int, tried: bool) -> Written:
    """Have plans written and run, by several models, whose choices are steered; see `plan_sampling`.

    `tried`: each statement is run as soon as it is written, and is written anew when it fails.
    """
    written = Written()
    trials = Trials(READS)
    works = (lambda code: trials.run(code) == "ok") if tried else (lambda _: True)
    sampler = Sampler(plan_grammar(FUNCTIONS).text, READS, ATTRIBUTES, works=works, seed=seed)
    try:
        for number in range(count):
            if number % 25 == 0:
                model = ByteModel(make_gguf(folder / f"{number}.gguf", seed=seed + number, scale=0.05))
            trials.reset()
            written.plans.append(sampler.write(model))
            if number % 25 == 24 or number + 1 == count:
                model.close()
        for plan in written.plans:
            trials.reset()
            written.statuses[trials.run(plan)] += 1
    finally:
        trials.close()
    written.unused_rules = sampler.unused_rules
    with byte_vocabulary(folder) as vocabulary:
        grammar = RealGrammar(vocabulary, sampler.text)
        written.rejected = [grammar.rejected_at(f"{plan}{FENCE_CLOSE}") for plan in written.plans]
        grammar.close()
    return written


def by_the_product(folder: Path, count: int, *, seed: int) -> Written:
    """Have plans written by `LoadedModel`, as the planner has them written; nothing steers it.

    A text that `max_tokens` cuts is no plan; less than a third may be.
    """
    written = Written()
    file = make_gguf(folder / "leaning.gguf", seed=seed, scale=0.05, leaning=LEANING)
    model = load_model(file, context_tokens=2048)
    trials = Trials(LEANING_READS)
    grammar = plan_grammar(FUNCTIONS)
    try:
        for number in range(count * 3 // 2):
            asked = request("plan", grammar=grammar, temperature=1.0, seed=seed + number, max_tokens=300)
            [candidate] = write(model, asked).candidates
            if candidate.stop == "length":
                continue
            _, opened, plan = candidate.text.partition(FENCE_OPEN)
            assert (opened, plan[-3:]) == (FENCE_OPEN, FENCE_CLOSE)
            written.plans.append(plan.removesuffix(FENCE_CLOSE))
        for plan in written.plans:
            trials.reset()
            written.statuses[trials.run(plan)] += 1
    finally:
        trials.close()
        model.close()
    assert len(written.plans) >= count
    return written


def tool_calls(plan: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(plan)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PARAMETERS:
            yield node


def has_nested_loop_or_branch(plan: str) -> bool:
    loops = [node for node in ast.walk(ast.parse(plan)) if isinstance(node, ast.For | ast.While | ast.AsyncFor)]
    inner = ast.For | ast.While | ast.AsyncFor | ast.If
    return any(isinstance(node, inner) and node is not loop for loop in loops for node in ast.walk(loop))


def check(written: Written, *, ok: int) -> None:
    """Assert what holds of all plans, and that so many of them have no error at run time."""
    for plan in written.plans:
        compile(plan, "<plan>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for call in tool_calls(plan):
            known = PARAMETERS[ast.unparse(call.func)]
            assert {each.arg for each in call.keywords} <= {*known, None}
    assert not any(written.rejected)
    assert written.statuses.keys() <= ENDED, written.statuses
    assert written.statuses["ok"] >= ok, written.statuses


@pytest.mark.filterwarnings("ignore")  # `1 is 1` and "\\-" are Python, if not good Python
def test_a_few_random_plans(tmp_path: Path) -> None:
    check(sampled(tmp_path, 3, seed=3, tried=True), ok=2)


@pytest.mark.check
@pytest.mark.filterwarnings("ignore")
def test_a_hundred_random_plans_show_the_whole_grammar(tmp_path: Path) -> None:
    written = sampled(tmp_path, 100, seed=1, tried=False)

    check(written, ok=1)  # which ones depends on how a machine rounds
    assert written.unused_rules == set()
    assert statistics.median(sum(1 for _ in tool_calls(plan)) for plan in written.plans) >= 3
    assert sum(map(has_nested_loop_or_branch, written.plans)) >= 10


@pytest.mark.check
@pytest.mark.filterwarnings("ignore")
def test_most_random_plans_whose_statements_were_tried_end_without_an_error(tmp_path: Path) -> None:
    check(sampled(tmp_path, 40, seed=1, tried=True), ok=32)


@pytest.mark.check
@pytest.mark.filterwarnings("ignore")
def test_a_few_plans_by_the_loop_of_the_product(tmp_path: Path) -> None:
    check(by_the_product(tmp_path, 4, seed=1), ok=0)


@pytest.mark.check
@pytest.mark.filterwarnings("ignore")
def test_thirty_plans_by_the_loop_of_the_product(tmp_path: Path) -> None:
    written = by_the_product(tmp_path, 30, seed=1)

    check(written, ok=20)
    assert sum(1 for plan in written.plans for _ in tool_calls(plan)) >= 60
