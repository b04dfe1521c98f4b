"""Calls that start now and are awaited later: those that `gather(...)` and its like receive directly."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEDULERS = frozenset(str.split("gather create_task ensure_future wait_for wait as_completed shield run parallel"))
"""Spellings whose direct arguments may be tool calls. What the name stands for is asked when the plan runs."""


def calls(scheduling: ast.Call) -> Iterator[ast.Call]:
    """Yield the calls among the arguments of a scheduling function; of other functions there are none."""
    spelling = _spelling(scheduling.func)
    if spelling in _SCHEDULERS:
        for argument in scheduling.args:
            yield from _within(argument, in_lambdas=spelling == "parallel")


def _within(argument: ast.expr, *, in_lambdas: bool) -> Iterator[ast.Call]:
    match argument:
        case ast.Call():
            yield argument
        case ast.Starred(value=inner):
            yield from _within(inner, in_lambdas=in_lambdas)
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            for element in elements:
                yield from _within(element, in_lambdas=in_lambdas)
        case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element) | ast.SetComp(elt=element):
            yield from _within(element, in_lambdas=in_lambdas)
        case ast.Lambda(body=body) if in_lambdas:
            yield from _within(body, in_lambdas=in_lambdas)
        case _:
            return


def _spelling(callee: ast.expr) -> str | None:
    """The last word of `gather` or `asyncio.gather`; nothing for what would have to be evaluated twice."""
    match callee:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(), attr=name):
            return name
        case _:
            return None
