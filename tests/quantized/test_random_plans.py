"""Plans by models with random weights: Python, only known functions, never refused by the sandbox.

The grammar cannot know which variables exist or which names are taken, so these plans read names that the session
has, and bind new ones; see `plan_sampling` for what else steers them.
"""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

from planact_quantized.grammar.plan_grammar import plan_grammar
from planact_quantized.grammar.plan_words import IMPORTABLE
from quantized.plan_constructs import FUNCTIONS  # noqa: TID251 - a folder of tests
from quantized.plan_sampling import ByteModel, Sampler  # noqa: TID251
from quantized.real_grammar import RealGrammar, byte_vocabulary  # noqa: TID251
from quantized.tiny_gguf import make_gguf  # noqa: TID251
from sandbox.inside.plan_worker import PlanWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARAMETERS = {each.name: [parameter.name for parameter in each.parameters] for each in FUNCTIONS}
SESSION = "\n".join(
    [
        "a, b, rows = 1, 'text', [1, 2, 3]",
        "def f(*args, **named):\n    return 1",
        *(f"from {module} import {', '.join(names)}" for module, names in IMPORTABLE.items()),
    ]
)
READS = ("a", "b", "rows", "f")


@dataclass
class Written:
    """Plans, and what became of them."""

    plans: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    unused_rules: set[str] = field(default_factory=set)
    rejected: list[int | None] = field(default_factory=list)


class Session:
    """A sandbox with the names that the plans read."""

    def __init__(self) -> None:
        self._worker = PlanWorker()
        self._tools = {(name if "." in name else f"w.{name}"): _answer for name in PARAMETERS}

    def run(self, plan: str) -> str:
        """Return the status of a plan; "lost" for one that only killing ends."""
        try:
            assert self._worker.run(SESSION, self._tools, resolve=self._resolve).status == "ok"
            return self._worker.run(plan, self._tools, resolve=self._resolve, seconds=1.0, within=4.0).status
        except (TimeoutError, EOFError):
            self.close()
            self._worker = PlanWorker()
            return "lost"

    def close(self) -> None:
        self._worker.close()

    def _resolve(self, name: str) -> dict[str, Any]:
        if name == "git":
            return {"kind": "server", "server": "git"}
        if name not in PARAMETERS:
            return {"kind": "missing", "hint": ""}
        server, _, tool = name.rpartition(".")
        named = {"kind": "tool", "server": server or "w", "tool": tool, "parameters": PARAMETERS[name]}
        return {**named, "aliases": [], "open_keywords": False}


def _answer(*_: Any, **__: Any) -> dict[str, Any]:
    return {"days": [{"max": 20}], "rows": [1, 2]}


def write(folder: Path, count: int, *, seed: int) -> Written:
    """Have plans written and run, by several models."""
    written = Written()
    sampler = Sampler(plan_grammar(FUNCTIONS).text, READS, seed=seed)
    session = Session()
    try:
        for number in range(count):
            if number % 25 == 0:
                model = ByteModel(make_gguf(folder / f"{number}.gguf", seed=seed + number, scale=0.05))
            plan = sampler.write(model)
            written.plans.append(plan)
            written.statuses[session.run(plan)] += 1
            if number % 25 == 24 or number + 1 == count:
                model.close()
    finally:
        session.close()
    written.unused_rules = sampler.unused_rules
    with byte_vocabulary(folder) as vocabulary:
        grammar = RealGrammar(vocabulary, sampler.text)
        written.rejected = [grammar.rejected_at(f"{plan}```") for plan in written.plans]
        grammar.close()
    return written


def tool_calls(plan: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(plan)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PARAMETERS:
            yield node


def has_nested_loop_or_branch(plan: str) -> bool:
    loops = [node for node in ast.walk(ast.parse(plan)) if isinstance(node, ast.For | ast.While | ast.AsyncFor)]
    inner = ast.For | ast.While | ast.AsyncFor | ast.If
    return any(isinstance(node, inner) and node is not loop for loop in loops for node in ast.walk(loop))


def check(written: Written) -> None:
    """Assert what holds of every plan."""
    for plan in written.plans:
        compile(plan, "<plan>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for call in tool_calls(plan):
            known = PARAMETERS[ast.unparse(call.func)]
            assert {each.arg for each in call.keywords} <= {*known, None}
    assert written.rejected == [None] * len(written.plans)
    assert "refused" not in written.statuses, written.statuses


@pytest.mark.filterwarnings("ignore")  # `1 is 1` and "\\-" are Python, if not good Python
def test_a_few_random_plans(tmp_path: Path) -> None:
    check(write(tmp_path, 4, seed=3))


@pytest.mark.check
@pytest.mark.filterwarnings("ignore")
def test_a_hundred_random_plans_show_the_whole_grammar(tmp_path: Path) -> None:
    written = write(tmp_path, 100, seed=1)

    check(written)
    assert written.unused_rules == set()
    assert statistics.median(sum(1 for _ in tool_calls(plan)) for plan in written.plans) >= 3
    assert sum(map(has_nested_loop_or_branch, written.plans)) >= 10
