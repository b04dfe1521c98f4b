"""What a plan's syntax tree tells about it: which calls it makes, what it binds, what it defines.

Places are bytes of the source in UTF-8, from 0, as Monty counts them; lines count from 1.
"""

from __future__ import annotations

import ast
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import assignments, bindings, trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from planact_server.sandbox.inside.scopes import Names
    from planact_server.sandbox.inside.source import Text

_TAKE_COROUTINES = {"gather", "run", "wait_for", "create_task", "ensure_future"}
_FACTS = {"message", "server", "tool", "arguments"}


def describe(tree: ast.Module, names: Names, text: Text) -> dict[str, Any]:
    """Return what is to be known of a plan.

    `calls`: see `_calls`. `bound`: names of the session. `stores`: last line and names of each top-level assignment.
    `errors`: the place of the name where an attribute of a caught ToolError is read. `ending`: where the last statement
    begins, if it is an expression. `coroutine`: where this expression begins, if it calls an `async def` of the plan.
    `definitions`: name, last line and source of the functions, classes and imports at the top that nothing else in the
    plan binds.
    """
    last = tree.body[-1] if tree.body else None
    ending = last if isinstance(last, ast.Expr) else None
    places = _Places(text.source)
    return {
        "calls": list(_calls(tree, places)),
        "bound": list(names.bound),
        "stores": [[line, sorted(stored)] for line, stored in assignments.stores(tree)],
        "definitions": list(_definitions(tree, text)),
        "ending": places.span(ending)[0] if ending is not None else None,
        "errors": [places.span(name) for name in _error_reads(tree)],
        "coroutine": places.span(ending.value)[0] if ending is not None and _is_coroutine(ending.value, tree) else None,
    }


class _Places:
    """Where nodes are, as bytes of the whole source."""

    def __init__(self, source: str) -> None:
        lines = source.encode().split(b"\n")
        self._starts = list(accumulate((len(line) + 1 for line in lines), initial=0))

    def span(self, node: ast.expr | ast.stmt) -> list[int]:
        end = self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        return [self._starts[node.lineno - 1] + node.col_offset, end]


def _definitions(tree: ast.Module, text: Text) -> Iterator[list[Any]]:
    bound = Counter(name for node in ast.walk(tree) for name in _bound_by(node))
    for node in tree.body:
        names = [name for name in _bound_by(node) if bound[name] == 1]
        plain = isinstance(node, ast.Import | ast.ImportFrom) or not getattr(node, "decorator_list", [None])
        source = ast.get_source_segment(text.source, node) if names and plain else None
        if source is not None and not isinstance(node, ast.Assign):
            yield from ([name, node.end_lineno or node.lineno, source] for name in names)


def _bound_by(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name.partition(".")[0] for alias in aliases]
        case ast.Name(id=name, ctx=ast.Store()):
            return [name]
        case _:
            return []


def _calls(tree: ast.Module, places: _Places) -> Iterator[list[Any]]:
    """Each call whose value is bound or has to be a coroutine.

    Begin, end, whether it has to be a coroutine, the names, and the last line of the statement that must work before
    they are bound; None where nothing can go wrong.
    """
    table = bindings.collect(trees.walk(tree), may_be_tool=lambda _: True)
    owners = {number: node for node, number in table.statements.items()}
    awaited = set(_awaited(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        site = table.sites.get((node.end_lineno or 0, node.end_col_offset or 0))
        if site is None and node not in awaited:
            continue
        owner = None if site is None or site.statement is None else owners[site.statement]
        last_line = None if owner is None else getattr(owner, "end_lineno", None)
        yield [*places.span(node), node in awaited, list(site.names) if site is not None else [], last_line]


def _awaited(tree: ast.Module) -> Iterator[ast.Call]:
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    assigned.setdefault(target.id, []).append(node.value)
    for node in ast.walk(tree):
        match node:
            case ast.Await(value=ast.Call() as call):
                yield call
            case (
                ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr=name), args=given)
                | ast.Call(func=ast.Name(id=name), args=given)
            ) if name in _TAKE_COROUTINES:
                yield from _given(given, assigned)
            case _:
                pass


def _given(arguments: Iterable[ast.expr], assigned: Mapping[str, list[ast.expr]]) -> Iterator[ast.Call]:
    """The calls among what is given to a function that takes coroutines, also by way of a list with a name."""
    for argument in arguments:
        match argument:
            case ast.Call():
                yield argument
            case ast.Starred(value=ast.Name(id=name)):
                yield from _given(assigned.get(name, ()), {})
            case ast.Starred(value=inner):
                yield from _given([inner], assigned)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                yield from _given(parts, assigned)
            case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element):
                yield from _given([element], assigned)
            case _:
                pass


def _error_reads(tree: ast.Module) -> Iterator[ast.Name]:
    """The names under `e.message` and the like, in what follows `except ToolError as e`."""
    for node in ast.walk(tree):
        match node:
            case ast.ExceptHandler(type=ast.expr() as kind, name=str(caught)) if _names_tool_error(kind):
                for inner in (each for statement in node.body for each in ast.walk(statement)):
                    match inner:
                        case ast.Attribute(value=ast.Name(id=name, ctx=ast.Load()) as read, attr=attribute) if (
                            name == caught and attribute in _FACTS
                        ):
                            yield read
                        case _:
                            pass
            case _:
                pass


def _names_tool_error(kind: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id in ("ToolError", "Exception") for node in ast.walk(kind))


def _is_coroutine(ending: ast.expr, tree: ast.Module) -> bool:
    match ending:
        case ast.Call(func=ast.Name(id=name)):
            return any(isinstance(node, ast.AsyncFunctionDef) and node.name == name for node in tree.body)
        case _:
            return False
