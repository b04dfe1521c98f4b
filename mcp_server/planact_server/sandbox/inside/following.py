"""Where the results of tools go in a plan's text: which expressions are a result, or a part of one. Nothing is run.

Results are followed through names that are bound once, through loops and comprehensions, `await`, `sorted` and what
else hands them on. Whatever else happens to a value, nothing is known of it any more: better silent than wrong.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from planact_server.sandbox.inside import trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Shape: TypeAlias = Any
"""As `planact_server.catalog.expectations` has it, and `["tuple", [results or None]]`."""

Place: TypeAlias = "tuple[int, int, int | None, int | None]"
"""Where an expression begins and ends."""

_SAME_ITEMS = frozenset({"sorted", "list", "reversed", "tuple", "iter"})
_ONE_ITEM = frozenset({"min", "max", "next"})
_CHANGING = frozenset(str.split("append extend insert update setdefault pop popitem clear remove"))
_ASKING = frozenset({"isinstance", "type", "hasattr"})
_ERRORS = frozenset(str.split("KeyError IndexError LookupError TypeError AttributeError Exception BaseException"))


@dataclass(frozen=True, slots=True)
class Result:
    """A value that came from a tool, or a part of it."""

    tool: str
    shape: Shape
    results: int
    """How many results the shape was learned from; 0 where the server says it."""

    def part(self, shape: Shape) -> Result | None:
        return None if shape is None else Result(self.tool, shape, self.results)

    @property
    def kind(self) -> str:
        """`list`, `dict`, `str`, …, `either`."""
        return self.shape if isinstance(self.shape, str) else self.shape[0]

    @property
    def contents(self) -> Any:
        """The shape of a list's items, those of a dict's keys; None where they are not known."""
        return None if isinstance(self.shape, str) else self.shape[1]


_Value: TypeAlias = "Callable[[], Result | None] | None"


@dataclass(slots=True)
class Scope:
    """Names → where their only value comes from; None for those that may be anything."""

    parent: Scope | None
    hides: bool = False
    """Whether nothing is to be said of its names: those of a class."""

    values: dict[str, _Value] = field(default_factory=dict[str, _Value])

    def bind(self, name: str, value: _Value) -> None:
        self.values[name] = None if self.hides or name in self.values else value

    def value(self, name: str) -> _Value:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        return None


class Following:
    """One plan, read. `results` says which of its calls are tools, and what those return."""

    def __init__(self, tree: ast.Module, results: Mapping[Place, Result]) -> None:
        self.uses: list[tuple[ast.expr, Scope]] = []
        """Subscripts, attributes and calls that might read a part of a result, each in its scope."""

        self.own_keys: set[object] = set()
        """Keys that the plan puts somewhere itself, or asks for before it reads them."""

        self._results = results
        self._values: dict[ast.AST, Result | None] = {}
        self._inner: dict[ast.AST, Scope] = {}
        self._arguments: dict[ast.AST, ast.expr] = {}
        """Function of one parameter → the values that it is called with."""

        self._unsure: set[str] = set()
        """Names of which the plan finds out what they hold, or that it changes."""

        self._enter(tree.body, Scope(None))
        self._prepared = {
            inner
            for node in trees.walk(tree)
            if isinstance(node, ast.Try) and _expects_errors(node)
            for part in node.body
            for inner in trees.walk(part)
        }

    def is_prepared(self, node: ast.AST) -> bool:
        """Say whether the plan catches what may go wrong here."""
        return node in self._prepared

    def value(self, node: ast.expr, scope: Scope) -> Result | None:
        """Return what an expression is, as far as it is a tool's result."""
        if node not in self._values:
            self._values[node] = None  # a name that depends on itself
            self._values[node] = self._value(node, scope)
        return self._values[node]

    # ---- names -----------------------------------------------------------------------------------------------------

    def _enter(self, nodes: Iterable[ast.AST], scope: Scope) -> None:
        waiting = list(nodes)
        for node in waiting:
            self._note(node, scope)
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    scope.bind(node.name, None)
                    self._enter_function(node, scope)
                case ast.Lambda():
                    self._enter_function(node, scope)
                case ast.ClassDef():
                    scope.bind(node.name, None)
                    self._enter(trees.children(node), Scope(scope, hides=True))
                case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                    inner = self._inner[node] = Scope(scope)
                    for each in node.generators:
                        self._bind_item(each.target, each.iter, inner)
                    self._enter(trees.children(node), inner)
                case _:
                    self._bind_names(node, scope)
                    waiting.extend(trees.children(node))

    def _enter_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope) -> None:
        inner = self._inner[node] = Scope(scope)
        taken = node.args
        for each in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg):
            if each is not None:
                inner.bind(each.arg, lambda: self._argument(node, scope))
        self._enter(trees.children(node), inner)

    def _bind_names(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value, scope)
            case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
                self._bind(target, value, scope)
            case ast.For(target=target, iter=values) | ast.AsyncFor(target=target, iter=values):
                self._bind_item(target, values, scope)
            case ast.AugAssign(target=ast.Name() as target) | ast.withitem(optional_vars=ast.expr() as target):
                self._bind(target, None, scope)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._bind(target, None, scope)
            case ast.alias(name=name, asname=asname):
                scope.bind(asname or name.partition(".")[0], None)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                self._unsure.update(names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self._unsure.add(name)
            case _:
                pass

    def _bind(self, target: ast.expr, value: ast.expr | None, scope: Scope) -> None:
        match target:
            case ast.Name(id=name):
                scope.bind(name, None if value is None else lambda: self.value(value, scope))
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for place, each in enumerate(targets):
                    if isinstance(each, ast.Name) and value is not None:
                        scope.bind(each.id, lambda place=place: _at(self.value(value, scope), place))
                    else:
                        self._bind(each, None, scope)
            case ast.Starred(value=inner):
                self._bind(inner, None, scope)
            case _:
                pass

    def _bind_item(self, target: ast.expr, values: ast.expr, scope: Scope) -> None:
        match target, values:
            case ast.Name(id=name), _:
                scope.bind(name, lambda: _item(self.value(values, scope)))
            case ast.Tuple(elts=[first, ast.Name(id=name)]), ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]):
                self._bind(first, None, scope)
                scope.bind(name, lambda: _item(self.value(inner, scope)))
            case _:
                self._bind(target, None, scope)

    def _note(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.Subscript(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
                self.uses.append((node, scope))
            case ast.Subscript(value=target, slice=key):
                if isinstance(key, ast.Constant):
                    self.own_keys.add(key.value)
                self._be_unsure_of(target)
            case ast.Compare(left=ast.Constant(value=key), ops=[ast.In() | ast.NotIn(), *_]):
                self.own_keys.add(key)
            case ast.Match(subject=subject):
                self._be_unsure_of(subject)
            case ast.Call():
                self.uses.append((node, scope))
                self._note_call(node)
            case _:
                pass

    def _note_call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[asked, *_]) if name in _ASKING:
                self._be_unsure_of(asked)
            case ast.Call(func=ast.Attribute(value=target, attr=method)) if method in _CHANGING:
                self._be_unsure_of(target)
            case ast.Call(func=ast.Name(id="map" | "filter"), args=[ast.Lambda() as function, values]):
                self._arguments[function] = values
            case ast.Call(func=ast.Name(id="sorted" | "min" | "max"), args=[values], keywords=keywords):
                for keyword in keywords:
                    if keyword.arg == "key":
                        self._arguments[keyword.value] = values
            case _:
                pass

    def _be_unsure_of(self, node: ast.expr) -> None:
        while isinstance(node, ast.Subscript | ast.Attribute):
            node = node.value
        if isinstance(node, ast.Name):
            self._unsure.add(node.id)

    # ---- values ----------------------------------------------------------------------------------------------------

    def _value(self, node: ast.expr, scope: Scope) -> Result | None:
        match node:
            case ast.Name(id=name):
                value = scope.value(name) if name not in self._unsure else None
                return value() if value is not None else None
            case ast.Await(value=inner) | ast.NamedExpr(value=inner):
                return self.value(inner, scope)
            case ast.Subscript(value=inner, slice=ast.Constant(value=str(key))):
                return _under(self.value(inner, scope), key)
            case ast.Subscript(value=inner, slice=ast.Slice()):
                held = self.value(inner, scope)
                return held if held is not None and held.kind == "list" else None
            case ast.Subscript(value=inner, slice=key):
                place = key.value if isinstance(key, ast.Constant) and isinstance(key.value, int) else -1
                return _at(self.value(inner, scope), place)
            case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each):
                return _listed(self.value(each, self._inner[node]))
            case ast.BoolOp(op=ast.Or(), values=[first, ast.List(elts=[]) | ast.Dict(keys=[])]):
                return self.value(first, scope)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return self._together([(each, scope) for each in parts])
            case ast.Call():
                return self._results.get(place_of(node)) or self._called(node, scope)
            case _:
                return None

    def _called(self, node: ast.Call, scope: Scope) -> Result | None:
        match node:
            case ast.Call(func=ast.Attribute(value=inner, attr="get"), args=[ast.Constant(value=str(key)), *_]):
                return _under(self.value(inner, scope), key)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr="gather"), args=parts):
                if len(parts) == 1 and isinstance(parts[0], ast.Starred):
                    return self.value(parts[0].value, scope)
                return self._together([(each, scope) for each in parts])
            case ast.Call(func=ast.Name(id="parallel"), args=[ast.List(elts=parts)]):
                bodies = [(each.body, self._inner[each]) for each in parts if isinstance(each, ast.Lambda)]
                return self._together(bodies) if len(bodies) == len(parts) else None
            case ast.Call(func=ast.Name(id="map"), args=[ast.Lambda(body=body) as function, _]):
                return _listed(self.value(body, self._inner[function]))
            case ast.Call(func=ast.Name(id="filter"), args=[_, values]):
                return self.value(values, scope)
            case ast.Call(func=ast.Name(id=name), args=[values, *_]) if name in _SAME_ITEMS:
                return self.value(values, scope)
            case ast.Call(func=ast.Name(id=name), args=[values, *others]) if name in _ONE_ITEM:
                return _item(self.value(values, scope)) if name == "next" or not others else None
            case _:
                return None

    def _together(self, parts: Sequence[tuple[ast.expr, Scope]]) -> Result | None:
        """Return the value of several that stand side by side; nothing where none of them is a result."""
        if any(isinstance(each, ast.Starred) for each, _ in parts):
            return None
        found = [self.value(each, scope) for each, scope in parts]
        known = next((each for each in found if each is not None), None)
        return None if known is None else known.part(["tuple", found])

    def _argument(self, function: ast.AST, scope: Scope) -> Result | None:
        values = self._arguments.get(function)
        return _item(self.value(values, scope)) if values is not None else None


def place_of(node: ast.expr) -> Place:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _under(held: Result | None, key: str) -> Result | None:
    """Return what a dict has under a key."""
    if held is None or held.kind != "dict" or held.contents is None:
        return None
    return held.part(held.contents.get(key))


def _item(held: Result | None) -> Result | None:
    """Return what every item is, where one is like the other."""
    return held.part(held.contents) if held is not None and held.kind == "list" else None


def _at(held: Result | None, place: int) -> Result | None:
    """Return what stands at a place; what nobody knows the place of is -1."""
    if held is not None and held.kind == "tuple":
        return held.contents[place] if 0 <= place < len(held.contents) else None
    return _item(held)


def _listed(item: Result | None) -> Result | None:
    return None if item is None else item.part(["list", item.shape])


def _expects_errors(node: ast.Try) -> bool:
    caught = [handler.type for handler in node.handlers]
    inner = [part for each in caught if each is not None for part in trees.walk(each)]
    return None in caught or any(isinstance(part, ast.Name) and part.id in _ERRORS for part in inner)
