"""Where a call's result would be bound, read from the syntax tree as the plan was written.

The table only says what an assignment *would* do; `observe` reports what happened. A call is a binding one when it is
the whole right-hand side, an element of a tuple, list, set, dict or comprehension there, or of `+=`.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# The one door to frames; `inspect.currentframe` would need a walk.
current_frame = sys._getframe  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

CallEnd: TypeAlias = "tuple[int, int]"
"""Line and byte offset just after a call's closing bracket: no two calls share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One call that has targets."""

    names: tuple[str, ...]
    callee: ast.expr
    statement: int | None = None
    """Number of the statement that must complete first; `None` when nothing can go wrong after the call."""

    comprehensions: int = 0
    """How many comprehensions lie between the statement and the call."""


@dataclass(slots=True)
class Table:
    """All binding calls of a plan, and the statements that need a commit marker."""

    sites: dict[CallEnd, Site] = field(default_factory=dict[CallEnd, Site])
    statements: dict[ast.AST, int] = field(default_factory=dict[ast.AST, int])


_ASSIGNMENTS = {ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr}


def collect(nodes: Iterable[ast.AST], *, may_be_tool: Callable[[ast.expr], bool]) -> Table:
    """Build the table from all nodes of a plan, outer ones first.

    Statements whose calls cannot be tools get no marker: they stay as fast as they were.
    """
    table = Table()
    for node in nodes:
        if type(node) not in _ASSIGNMENTS:
            continue
        match node:
            case ast.Assign(targets=targets, value=value):
                _Collector(table, node, may_be_tool).collect(value, targets)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                _Collector(table, node, may_be_tool).collect(value, [target])
            case ast.AugAssign(target=target, value=value):
                _Collector(table, node, may_be_tool).collect(value, [target], certain=False)
            case ast.NamedExpr(target=target, value=value):
                _Collector(table, node, may_be_tool).collect(value, [target])
            case _:
                pass
    return table


@dataclass(slots=True)
class _Collector:
    table: Table
    owner: ast.AST
    may_be_tool: Callable[[ast.expr], bool]

    def collect(
        self, value: ast.expr, targets: Sequence[ast.expr], *, certain: bool = True, comprehensions: int = 0
    ) -> None:
        """Enter every call in `value` whose result lands in `targets`. `certain`: nothing can fail in between."""
        match value:
            case ast.Call():
                self._enter(value, targets, certain, comprehensions)
            case ast.Await(value=inner):
                self.collect(inner, targets, certain=certain, comprehensions=comprehensions)
            case ast.NamedExpr(value=inner, target=target):
                self.collect(inner, [*targets, target], certain=certain, comprehensions=comprehensions)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                for index, element in enumerate(elements):
                    parts = [_part(target, index, elements) for target in targets]
                    self.collect(element, parts, certain=False, comprehensions=comprehensions)
            case ast.Set(elts=elements):
                self._collect_all(elements, targets, comprehensions)
            case ast.Dict(keys=keys, values=values):
                pairs = [(key, item) for key, item in zip(keys, values, strict=True) if key is not None]
                self._collect_all([part for pair in pairs for part in pair], targets, comprehensions)
            case ast.ListComp(elt=element) | ast.SetComp(elt=element):
                self._collect_all([element], targets, comprehensions + 1)
            case ast.DictComp(key=key, value=item):
                self._collect_all([key, item], targets, comprehensions + 1)
            case _:
                pass

    def _collect_all(self, values: Sequence[ast.expr], targets: Sequence[ast.expr], comprehensions: int) -> None:
        for value in values:
            self.collect(value, targets, certain=False, comprehensions=comprehensions)

    def _enter(self, call: ast.Call, targets: Sequence[ast.expr], certain: bool, comprehensions: int) -> None:
        names = tuple(dict.fromkeys(name for target in targets for name in _base_names(target)))
        certain = certain and all(isinstance(target, ast.Name) for target in targets)
        end = (call.end_lineno or 0, call.end_col_offset or 0)
        known = self.table.sites.get(end)
        if not names or (known is not None and len(known.names) >= len(names)):
            return  # the walrus inside an assignment was entered with the assignment's own targets
        statement = None
        if not certain and self.may_be_tool(call.func):
            statement = self.table.statements.setdefault(self.owner, len(self.table.statements))
        self.table.sites[end] = Site(names=names, callee=call.func, statement=statement, comprehensions=comprehensions)


def _part(target: ast.expr, index: int, elements: Sequence[ast.expr]) -> ast.expr:
    """The piece of the target that receives element `index`, where the two sides match one to one."""
    if not isinstance(target, ast.Tuple | ast.List) or len(target.elts) != len(elements):
        return target
    if any(isinstance(part, ast.Starred) for part in (*target.elts, *elements)):
        return target
    return target.elts[index]


def _base_names(target: ast.expr) -> list[str]:
    match target:
        case ast.Name(id=name):
            return [name]
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [name for part in parts for name in _base_names(part)]
        case ast.Starred(value=inner) | ast.Subscript(value=inner) | ast.Attribute(value=inner):
            return _base_names(inner)
        case _:
            return []
