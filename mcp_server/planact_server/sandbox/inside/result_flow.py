"""Which expressions of a plan are a tool's result, or a part of one. Nothing is run.

Results are followed through names that are bound once, through loops and comprehensions, `await`, `sorted` and what
else hands them on. Whatever else happens to a value, nothing is known of it any more: better silent than wrong.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_server.sandbox.inside.name_sources import NameSources, Scope, Source

Shape: TypeAlias = Any
"""As `planact_server.catalog.expectations` has it, and `["tuple", [results or None]]`."""

Place: TypeAlias = "tuple[int, int, int | None, int | None]"
"""Where an expression begins and ends."""

MOST_STEPS = 60
"""From a use back to the call of a tool. Each takes a few frames of Python's stack."""

EACH = "[]"
_SAME_ITEMS = frozenset({"sorted", "list", "reversed", "tuple", "iter"})


@dataclass(frozen=True, slots=True)
class Result:
    """A value that came from a tool, or a part of it."""

    tool: str
    shape: Shape
    results: int
    """How many results the shape was learned from; 0 where the server says it."""

    path: str | None = ""
    """Where it stands in the tool's result: `/entries/[]`, each step a key or one of a list; None where that is not
    known."""

    def part(self, shape: Shape, step: str | None = None) -> Result | None:
        """Return a value of this shape that came from the same tool; None for one that may be anything."""
        path = None if step is None or self.path is None else f"{self.path}/{step}"
        return None if shape is None else Result(self.tool, shape, self.results, path)

    @property
    def kind(self) -> str:
        """`list`, `dict`, `str`, …, `either`, `tuple`."""
        return self.shape if isinstance(self.shape, str) else self.shape[0]

    @property
    def contents(self) -> Any:
        """The shape of a list's items, those of a dict's keys; None where they are not known."""
        return None if isinstance(self.shape, str) else self.shape[1]


class ResultFlow:
    """Follows results through one plan. `results` says which of its calls are tools, and what those return."""

    def __init__(self, names: NameSources, results: Mapping[Place, Result]) -> None:
        self._names = names
        self._results = results
        self._known: dict[ast.expr, Result | None] = {}
        self._steps = 0
        self._changed = frozenset[str]()
        changed: set[str] = set()
        self.is_lost = False
        """Whether the plan puts into something what may then be anywhere: nothing can be said of any result."""

        for change in names.changes:
            held = self.value(change.expression, change.scope)
            if held is not None and (held.kind == "dict" or not change.only_dicts):
                changed.add(held.tool)
            elif held is None and change.fills and not self._is_own(change.expression, change.scope):
                self.is_lost = True
        self._changed = frozenset(changed)
        self._known.clear()

    def _is_own(self, node: ast.expr, scope: Scope) -> bool:
        return isinstance(node, ast.Name) and scope.makes(node.id) and not self._names.is_unsure(node.id)

    def value(self, node: ast.expr, scope: Scope) -> Result | None:
        """Return what an expression is, as far as it is a tool's result and stays what it was."""
        if node in self._known:
            return self._known[node]
        if self._steps >= MOST_STEPS:
            return None
        self._known[node] = None  # a name that depends on itself
        self._steps += 1
        try:
            found = self._value(node, scope)
        finally:
            self._steps -= 1
        self._known[node] = None if found is not None and found.tool in self._changed else found
        return self._known[node]

    def _value(self, node: ast.expr, scope: Scope) -> Result | None:
        match node:
            case ast.Name(id=name):
                return self._named(name, scope)
            case ast.NamedExpr(value=inner):
                return self.value(inner, scope)
            case ast.Await(value=ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr="gather")) as call):
                return self._gathered(call, scope)
            case ast.Await(value=inner):
                return self.value(inner, scope)
            case ast.Subscript(value=inner, slice=ast.Constant(value=str(key))):
                return self._under(self.value(inner, scope), key)
            case ast.Subscript(value=inner, slice=ast.Slice()):
                held = self.value(inner, scope)
                return held if held is not None and held.kind == "list" else None
            case ast.Subscript(slice=ast.Name(id=name)) if _is_slice(scope.source(name)):
                return None
            case ast.Subscript(value=inner, slice=key):
                place = key.value if isinstance(key, ast.Constant) and isinstance(key.value, int) else -1
                return _at(self.value(inner, scope), place)
            case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each):
                return _listed(self.value(each, self._names.inner[node]))
            case ast.BoolOp(op=ast.Or(), values=[first, ast.List(elts=[]) | ast.Dict(keys=[])]):
                return self.value(first, scope)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return self._together([(each, scope) for each in parts])
            case ast.Call():
                return self._results.get(place_of(node)) or self._called(node, scope)
            case _:
                return None

    def _named(self, name: str, scope: Scope) -> Result | None:
        source = scope.source(name)
        if source is None or self._names.is_unsure(name):
            return None
        held = self.value(source.expression, source.scope)
        match source.part:
            case "whole":
                return held
            case "item":
                return _item(held)
            case "place":
                return _at(held, source.place)

    def _called(self, node: ast.Call, scope: Scope) -> Result | None:
        match node:
            case ast.Call(func=ast.Attribute(value=inner, attr="get"), args=[ast.Constant(value=str(key)), *other]):
                return self._under(self.value(inner, scope), key) if all(map(_is_empty, other)) else None
            case ast.Call(func=ast.Name(id=name)) if scope.binds(name):
                return None
            case ast.Call(func=ast.Name(id="parallel"), args=[ast.List(elts=parts)]):
                bodies = [(each.body, self._names.inner[each]) for each in parts if isinstance(each, ast.Lambda)]
                return self._together(bodies) if len(bodies) == len(parts) else None
            case ast.Call(func=ast.Name(id="map"), args=[ast.Lambda(body=body) as function, _]):
                return _listed(self.value(body, self._names.inner[function]))
            case ast.Call(func=ast.Name(id="filter"), args=[_, values]):
                return _if_list(self.value(values, scope))
            case ast.Call(func=ast.Name(id=name), args=[values]) if name in _SAME_ITEMS:
                return _if_list(self.value(values, scope))
            case ast.Call(func=ast.Name(id="min" | "max"), args=[values], keywords=keywords):
                return _item(self.value(values, scope)) if all(each.arg == "key" for each in keywords) else None
            case ast.Call(func=ast.Name(id="next"), args=[values] | [values, ast.Constant(value=None)]):
                return _item(self.value(values, scope))
            case _:
                return None

    def _under(self, held: Result | None, key: str) -> Result | None:
        """Return what a dict has under a key, where the plan itself puts nothing there."""
        if held is None or held.kind != "dict" or held.contents is None or key in self._names.own_keys:
            return None
        return held.part(held.contents.get(key), key)

    def _gathered(self, call: ast.Call, scope: Scope) -> Result | None:
        match call:
            case ast.Call(keywords=[_, *_]):
                return None  # exceptions among the results
            case ast.Call(args=[ast.Starred(value=several)]):
                return _if_list(self.value(several, scope))
            case _:
                return self._together([(each, scope) for each in call.args])

    def _together(self, parts: Sequence[tuple[ast.expr, Scope]]) -> Result | None:
        """Return the value of several that stand side by side; nothing where none of them is a result."""
        if any(isinstance(each, ast.Starred) for each, _ in parts):
            return None
        found = [self.value(each, scope) for each, scope in parts]
        known = next((each for each in found if each is not None), None)
        return None if known is None else known.part(["tuple", found])


def place_of(node: ast.expr) -> Place:
    """Return where an expression stands: no two that begin alike end alike, but for brackets around one."""
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _is_slice(source: Source | None) -> bool:
    match source.expression if source is not None else None:
        case ast.Call(func=ast.Name(id="slice")):
            return True
        case _:
            return False


def _is_empty(default: ast.expr) -> bool:
    match default:
        case ast.Constant(value=None) | ast.List(elts=[]) | ast.Dict(keys=[]):
            return True
        case _:
            return False


def _item(held: Result | None) -> Result | None:
    """Return what every item is, where one is like the other."""
    return held.part(held.contents, EACH) if held is not None and held.kind == "list" else None


def _at(held: Result | None, place: int) -> Result | None:
    """Return what stands at a place; what nobody knows the place of is -1."""
    if held is not None and held.kind == "tuple":
        return held.contents[place] if 0 <= place < len(held.contents) else None
    return _item(held)


def _listed(item: Result | None) -> Result | None:
    return None if item is None else item.part(["list", item.shape])


def _if_list(held: Result | None) -> Result | None:
    """What takes the items of a dict takes its keys."""
    return held if held is not None and held.kind == "list" else None
