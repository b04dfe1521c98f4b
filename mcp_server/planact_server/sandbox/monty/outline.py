"""A plan's text, read before it runs: which names it takes from outside, what is wrong with it, where its calls are.

The rules are those of the other engines, from the same code. Nothing is run.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import assignments, bindings, checks, scopes, source
from planact_server.sandbox.inside.source import Refused, Text
from planact_server.sandbox.monty import language

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Span = tuple[int, int]
"""First and last byte of an expression, as Monty counts them: in UTF-8, the end left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSite:
    """One call as it stands in the source."""

    line: int
    awaited: bool
    """Whether the plan wants a coroutine here: it stands under `await`, or is given to `asyncio`."""

    names: tuple[str, ...] = ()
    """What an assignment around it binds."""

    last_line: int = 0
    """Where that assignment ends."""

    certain: bool = True
    """Whether nothing can go wrong between the call and the names."""


class Outline:
    """One plan, read."""

    def __init__(self, plan: str, filename: str, *, max_bytes: int) -> None:
        """Raises Refused."""
        # Monty counts bytes of what it is given, Python lines however they end.
        self.text = Text(plan.replace("\r\n", "\n").replace("\r", "\n"), filename)
        self.tree = source.parse(self.text, max_bytes=max_bytes)
        self.names = scopes.analyse(self.tree)
        lines = self.text.source.encode().split(b"\n")
        self._starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
        self.calls = self._calls()

    @property
    def bound(self) -> Collection[str]:
        """Names that the plan may bind for its session."""
        return self.names.bound

    @property
    def has_result(self) -> bool:
        """Whether the plan ends with an expression: its value is the result."""
        return bool(self.tree.body) and isinstance(self.tree.body[-1], ast.Expr)

    def outside_names(self, session: Collection[str]) -> list[str]:
        """Return what the host has to be asked about."""
        return checks.outside_names(self.names, self._known(session))

    def refuse(self, resolved: Mapping[str, Any], session: Collection[str]) -> None:
        """Raise Refused where the plan cannot work."""
        own = self._known(())
        problems = [
            *checks.missing_imports(self.tree, self.text),
            *checks.undefined(self.names, resolved, self.text, session, own),
            *checks.wrong_uses(self.names, resolved, self.text, self._known(session)),
        ]
        if problems:
            raise Refused(*problems)

    def certainly_assigned(self, before: int | None) -> frozenset[str]:
        """Names that the plan has assigned when it fails in a line of its own, or (None) when it ends well."""
        stores = assignments.stores(self.tree)
        done = [names for line, names in stores if before is None or line < before]
        return frozenset[str]().union(*done)

    def node_at(self, line: int, column: int, end_line: int, end_column: int) -> ast.expr | None:
        """Return the expression at a place; columns count characters from 1."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.expr) and (node.lineno, node.end_lineno) == (line, end_line):
                end = self.text.column(end_line, node.end_col_offset or 0)
                if (self.text.column(line, node.col_offset), end) == (column, end_column):
                    return node
        return None

    @staticmethod
    def _known(session: Collection[str]) -> Collection[str]:
        return {*session, *language.BUILTINS, *language.HELPERS, *language.OWN_NAMES}

    def _calls(self) -> dict[Span, CallSite]:
        table = bindings.collect(self.tree, may_be_tool=lambda _: True)
        owners = {number: node for node, number in table.statements.items()}
        awaited = set(_awaited(self.tree))
        found: dict[Span, CallSite] = {}
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Call):
                continue
            site = table.sites.get((node.end_lineno or 0, node.end_col_offset or 0))
            owner = node if site is None or site.statement is None else owners[site.statement]
            found[self._span(node)] = CallSite(
                line=node.lineno,
                awaited=node in awaited,
                names=() if site is None else site.names,
                last_line=getattr(owner, "end_lineno", None) or node.lineno,
                certain=site is None or site.statement is None,
            )
        return found

    def _span(self, node: ast.expr) -> Span:
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)


_TAKES_COROUTINES = {"gather", "run", "wait_for", "create_task", "ensure_future"}


def _awaited(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls whose value has to be a coroutine for what is done with it."""
    lists: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    lists.setdefault(target.id, []).append(node.value)
    for node in ast.walk(tree):
        match node:
            case ast.Await(value=ast.Call() as call):
                yield call
            case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr=name), args=given) if (
                name in _TAKES_COROUTINES
            ):
                yield from _given(given, lists)
            case ast.Call(func=ast.Name(id=name), args=given) if name in _TAKES_COROUTINES:
                yield from _given(given, lists)
            case _:
                pass


def _given(arguments: list[ast.expr], lists: Mapping[str, list[ast.expr]]) -> Iterator[ast.Call]:
    for argument in arguments:
        match argument:
            case ast.Call():
                yield argument
            case ast.Starred(value=ast.Name(id=name)):
                for value in lists.get(name, ()):
                    yield from _given([value], {})
            case ast.Starred(value=inner):
                yield from _given([inner], lists)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                yield from _given(parts, lists)
            case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element):
                yield from _given([element], lists)
            case _:
                pass
