"""The grammar of plans: from the functions that a model was shown to GBNF. Pure.

What it admits is Python, in the words that the sandbox accepts, and calls no name that is not known. It is wide on
purpose: a grammar that a model's habits break against makes plans worse. docs/grammar.md says where it is narrower
than Python, and why.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from planact_quantized.backend import Grammar
from planact_quantized.grammar.gbnf_text import Rules, literal
from planact_quantized.grammar.plan_calls import PlanFunction, PlanParameter
from planact_quantized.grammar.plan_expressions import Expressions, add_known_names
from planact_quantized.grammar.plan_names import add_lexical_rules, add_names
from planact_quantized.grammar.plan_statements import add_statement_rules
from planact_quantized.prompt import FENCE_CLOSE, FENCE_OPEN

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def plan_grammar(
    functions: Sequence[PlanFunction],
    *,
    expansion: bool = False,
    callables: Collection[str] = (),
    define: str | None = None,
) -> Grammar:
    """Return the grammar for one block of Python behind any text.

    `functions` are all that plans may call beside Python's own and the helpers; the order does not matter.
    `callables` are names that hold functions already, with any arguments: those of a session. With `expansion`
    functions may be called that do not exist, if their names begin with `todo_`. With `define` the block holds the
    definition of a function of that name and nothing else.
    """
    ordered = sorted(functions, key=lambda function: function.name)
    rules = _language().copy()
    add_names(rules, taken={function.name.partition(".")[0] for function in ordered}, placeholders=expansion)
    add_known_names(rules, ordered, callables=callables, placeholders=expansion)
    if define is not None:
        rules.replace("root", f"{literal(f'def {define}')} function-rest0 {literal(FENCE_CLOSE)}")
    return Grammar(text=rules.text(), trigger=FENCE_OPEN)


@cache
def _language() -> Rules:
    """Return the rules that are the same for every catalogue."""
    rules = Rules()
    rules.add("root", f"plan {literal(FENCE_CLOSE)}")
    add_lexical_rules(rules)
    Expressions(rules)
    add_statement_rules(rules)
    return rules


__all__ = ["PlanFunction", "PlanParameter", "plan_grammar"]
