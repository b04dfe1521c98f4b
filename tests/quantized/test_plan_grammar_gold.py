"""Gold plans under the grammar: Berkeley's questions, NESTFUL's graphs, DPAB plans written by hand.

What is not admitted is listed, exactly. By our own automaton, and for all of them by llama.cpp itself.
"""

from __future__ import annotations

import tomllib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")

from planact_quantized.grammar.automaton import Automaton
from planact_quantized.grammar.gbnf import parse
from planact_quantized.grammar.plan_grammar import plan_grammar
from planact_server.planner.stubs import plan_functions
from quantized.gold_plans import (  # noqa: TID251 - a folder of tests
    GoldPlan,
    bfcl_plans,
    dpab_plans,
    is_python,
    nestful_plans,
)
from quantized.plan_constructs import CONSTRUCTS, FUNCTIONS  # noqa: TID251
from quantized.real_grammar import RealGrammar, byte_vocabulary  # noqa: TID251

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHARDS = 4


def listed(file: str) -> dict[str, str]:
    """Return the reason for each plan that the grammar does not admit."""
    return tomllib.loads((Path(__file__).parent / "data" / file).read_text(encoding="utf-8"))


REJECTIONS = listed("grammar_rejections.toml")
NESTFUL_REJECTIONS = listed("nestful_rejections.toml")


def rejected(plans: Iterable[GoldPlan]) -> set[str]:
    """Return the ids of the plans that the grammar of their own tools does not admit, by our automaton."""
    automata: dict[object, Automaton] = {}
    found: set[str] = set()
    for plan in plans:
        assert is_python(plan.source), plan
        functions = plan_functions(plan.catalog)
        if functions not in automata:
            automata = {functions: Automaton(parse(plan_grammar(functions).text))}
        state = automata[functions].start.walk(f"{plan.source}```")
        if state is None or not state.may_end:
            found.add(plan.id)
    return found


def really_rejected(plans: Iterable[GoldPlan], folder: Path) -> set[str]:
    """Return the same by llama.cpp."""
    with byte_vocabulary(folder) as vocabulary:
        return {plan.id for plan in plans if _rejected_at(vocabulary, plan) is not None}


def _rejected_at(vocabulary: object, plan: GoldPlan) -> int | None:
    grammar = RealGrammar(vocabulary, plan_grammar(plan_functions(plan.catalog)).text)
    try:
        return grammar.rejected_at(f"{plan.source}```")
    finally:
        grammar.close()


def every(plans: Iterator[GoldPlan], step: int, first: int = 0) -> Iterator[GoldPlan]:
    return islice(plans, first, None, step)


def test_graphs_of_nestful_are_admitted(shared: Path) -> None:
    plans = list(nestful_plans(shared))

    assert len(plans) == 85
    assert rejected(plans) == set()


@pytest.mark.check
def test_graphs_of_nestful_are_admitted_by_the_published_specifications_but_for_those_listed(shared: Path) -> None:
    plans = list(nestful_plans(shared, published=True))

    assert len(plans) == 85
    assert rejected(plans) == NESTFUL_REJECTIONS.keys()


@pytest.mark.check
def test_llama_cpp_refuses_the_same_graphs_of_nestful(shared: Path, tmp_path: Path) -> None:
    assert really_rejected(nestful_plans(shared, published=True), tmp_path) == NESTFUL_REJECTIONS.keys()


def test_some_plans_of_each_kind_are_admitted(shared: Path) -> None:
    some = [*every(dpab_plans(shared), 18), *every(bfcl_plans(shared), 600)]

    assert rejected(some) == {plan.id for plan in some} & REJECTIONS.keys()


@pytest.mark.check
def test_llama_cpp_admits_the_same_plans(shared: Path, tmp_path: Path) -> None:
    some = [*every(dpab_plans(shared), 12), *every(nestful_plans(shared), 40), *every(bfcl_plans(shared), 300)]

    assert really_rejected(some, tmp_path) == set()


def test_llama_cpp_admits_what_the_contract_promises(tmp_path: Path) -> None:
    with byte_vocabulary(tmp_path) as vocabulary:
        grammar = RealGrammar(vocabulary, plan_grammar(FUNCTIONS).text)
        some = [CONSTRUCTS[name].lstrip("\n") for name in ("match", "f-strings", "classes", "several handlers")]
        assert [grammar.rejected_at(f"{plan}```") for plan in some] == [None] * len(some)
        assert grammar.rejected_at("get_wether('Rome')\n```") == len("get_wether")
        grammar.close()


@pytest.mark.check
def test_llama_cpp_admits_all_plans_written_by_hand(shared: Path, tmp_path: Path) -> None:
    plans = list(dpab_plans(shared))

    assert len(plans) >= 30
    assert really_rejected(plans, tmp_path) == set()


@pytest.mark.check
@pytest.mark.parametrize("shard", range(SHARDS))
def test_llama_cpp_admits_berkeleys_questions_but_for_those_listed(shard: int, shared: Path, tmp_path: Path) -> None:
    plans = list(every(bfcl_plans(shared), SHARDS, shard))

    assert really_rejected(plans, tmp_path) == {plan.id for plan in plans} & REJECTIONS.keys()


@pytest.mark.check
def test_at_least_99_of_100_gold_plans_are_admitted(shared: Path) -> None:
    ids = [plan.id for plan in bfcl_plans(shared)]

    assert set(ids) >= REJECTIONS.keys()
    assert len(REJECTIONS) <= len(ids) / 100
