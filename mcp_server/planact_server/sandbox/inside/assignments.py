"""Which names of a plan were assigned for certain: an equal value assigned again counts as changed."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeAlias

from planact_server.sandbox.inside import trees

if TYPE_CHECKING:
    from collections.abc import Iterable

Stores: TypeAlias = "tuple[int, frozenset[str]]"
"""The last line of a top-level assignment, and the names that it binds."""


def stores(tree: ast.Module) -> list[Stores]:
    """Return the top-level assignments of a plan, in order."""
    found: list[Stores] = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AugAssign) or (
            isinstance(statement, ast.AnnAssign) and statement.value is not None
        ):
            stored = (node for node in trees.walk(statement) if isinstance(node, ast.Name))
            names = frozenset(node.id for node in stored if isinstance(node.ctx, ast.Store))
            found.append((statement.end_lineno or 0, names))
    return found


def certain(assignments: Iterable[Stores], failure: BaseException | None, filename: str) -> frozenset[str]:
    """Return the names that were assigned before the plan failed, if it did."""
    reached = None if failure is None else _module_line(failure, filename)
    done = [names for line, names in assignments if failure is None or (reached is not None and line < reached)]
    return frozenset[str]().union(*done)


def _module_line(failure: BaseException, filename: str) -> int | None:
    trace = failure.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == filename and code.co_name == "<module>":
            return trace.tb_lineno
        trace = trace.tb_next
    return None
