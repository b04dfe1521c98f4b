"""What the plan grammar admits, what it takes, and what it saves: python benchmarks/grammar.py [PLANS]

Gold plans of the recorded data in the folder `shared` beside the checkout, one in PLANS of Berkeley's questions
(default 10; 1: all of them, some minutes), and the size and the times of grammars by number of functions. With
llama-cpp-python, also how much of the plans for DPAB needs no sampling or no step of its own, in the tokens of Qwen
(from the source of llama.cpp, fetched once into the cache).
"""

from __future__ import annotations

import sys
import time
from itertools import islice
from typing import TYPE_CHECKING

import plan_savings  # makes the tests' helpers importable

from planact_quantized import BackendError
from planact_quantized.building.llama_source import extract
from planact_quantized.grammar.automaton import Automaton
from planact_quantized.grammar.gbnf import parse
from planact_quantized.grammar.plan_grammar import plan_grammar
from planact_server.planner.stubs import function_stubs, plan_functions
from quantized.gold_plans import (  # noqa: TID251
    GoldPlan,
    bfcl_plans,
    dpab_plans,
    nestful_plans,
)
from quantized.plan_constructs import CONSTRUCTS, FUNCTIONS  # noqa: TID251

if TYPE_CHECKING:
    from collections.abc import Iterable


def main(argv: list[str]) -> int:
    shared = plan_savings.SHARED
    if not shared.is_dir():
        print(f"No reference data beside the checkout ({shared.name!r}).", file=sys.stderr)
        return 2
    step = int(argv[0]) if argv else 10
    print("| plans | admitted | of |\n|---|---|---|")
    row("constructs of the contract", (construct(name) for name in CONSTRUCTS))
    row("DPAB, written by hand", (judged(plan) for plan in dpab_plans(shared)))
    row("NESTFUL, specifications as published", map(judged, nestful_plans(shared, published=True)))
    row("NESTFUL, functions that take what the graphs pass", map(judged, nestful_plans(shared)))
    kind = "BFCL" if step == 1 else f"BFCL, every {step}th"
    row(kind, (judged(plan) for plan in islice(bfcl_plans(shared), 0, None, step)))
    print("\n| functions | characters | stubs | build ms | read ms |\n|---|---|---|---|---|")
    catalog = next(iter(nestful_plans(shared))).catalog
    for count in (0, 4, 12, 39):
        print(cost(list(catalog)[:count]))
    print(f"\n{saved()}")
    return 0


_automata: dict[object, Automaton] = {}


def judged(plan: GoldPlan) -> bool:
    functions = plan_functions(plan.catalog)
    if functions not in _automata:
        _automata.clear()
        _automata[functions] = Automaton(parse(plan_grammar(functions).text))
    return admits(_automata[functions], plan.source)


def construct(name: str) -> bool:
    if FUNCTIONS not in _automata:
        _automata[FUNCTIONS] = Automaton(parse(plan_grammar(FUNCTIONS).text))
    return admits(_automata[FUNCTIONS], CONSTRUCTS[name].lstrip("\n"))


def admits(automaton: Automaton, source: str) -> bool:
    state = automaton.start.walk(f"{source}```")
    return state is not None and state.may_end


def row(kind: str, admitted: Iterable[bool]) -> None:
    found = list(admitted)
    print(f"| {kind} | {sum(found)} | {len(found)} |", flush=True)


def saved() -> str:
    """Return what of the plans for DPAB the grammar forces, and how many steps guesses from the prompt save."""
    try:
        vocabulary = plan_savings.load_vocabulary(extract(plan_savings.QWEN))
    except BackendError as error:
        return f"Tokens are not counted: {error}"
    return str(plan_savings.of_dpab(vocabulary))


def cost(tools: list[object]) -> str:
    stubs = function_stubs(tools)  # type: ignore[arg-type]
    functions = plan_functions(tools)  # type: ignore[arg-type]
    plan_grammar(())  # what no catalogue changes is made once
    started = time.process_time()
    text = plan_grammar(functions).text
    built = time.process_time()
    parse(text)
    read = time.process_time()
    build, reading = (built - started) * 1e3, (read - built) * 1e3
    return f"| {len(tools)} | {len(text):,} | {len(stubs):,} | {build:.0f} | {reading:.0f} |"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
