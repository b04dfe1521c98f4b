"""Where the names of a plan get their values from, as its text has it. Nothing is run.

Only what is certain: a name that is bound twice, or in a way that says nothing of its value, may be anything.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from planact_server.sandbox.inside import trees

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Span: TypeAlias = "tuple[int, int, int, int]"
"""Line and column where something begins, line and column where it ends."""

_LOOKED_AT = frozenset({"isinstance", "type", "hasattr"})
_FORGIVEN = frozenset(str.split("KeyError IndexError LookupError TypeError AttributeError Exception BaseException"))
_OTHER_ERRORS = frozenset(
    str.split("ToolError ValueError RuntimeError OSError TimeoutError ZeroDivisionError NameError")
)
_WITHOUT_NEWS = frozenset({ast.Name, ast.Constant, *trees.LEAVES})
_NOTED = frozenset(
    {
        *(ast.Subscript, ast.Attribute, ast.Dict, ast.Compare, ast.Match, ast.MatchMapping, ast.Call, ast.AugAssign),
        *(ast.With, ast.AsyncWith, ast.Try, ast.TryStar),
    }
)
_BINDING = frozenset(
    {
        *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.withitem, ast.Delete),
        *(ast.alias, ast.Global, ast.Nonlocal, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping),
    }
)
_WITH_A_SCOPE = frozenset(
    {
        *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef),
        *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    }
)
_CONDITIONAL = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match, ast.With, ast.AsyncWith)


@dataclass(frozen=True, slots=True)
class Source:
    """What a name is: an expression's value, one of its items, or what stands at a place of it."""

    part: Literal["whole", "item", "place"]
    expression: ast.expr
    scope: Scope
    place: int = 0


@dataclass(slots=True)
class Scope:
    """Names → where their only value comes from; None for those that may be anything."""

    parent: Scope | None
    kind: Literal["plain", "class", "comprehension"] = "plain"
    sources: dict[str, Source | None] = field(default_factory=dict[str, "Source | None"])

    def bind(self, name: str, source: Source | None) -> None:
        """Note what a name is bound to. A second time it may be anything."""
        self.sources[name] = None if self.kind == "class" or name in self.sources else source

    def source(self, name: str) -> Source | None:
        """Return where a name's value comes from, None where that is not known."""
        owner = self._owner(name)
        return None if owner is None else owner.sources[name]

    def binds(self, name: str) -> bool:
        """Say whether the plan itself gives a name a meaning here."""
        return self._owner(name) is not None

    def _owner(self, name: str) -> Scope | None:
        scope: Scope | None = self
        while scope is not None and name not in scope.sources:
            scope = scope.parent
        return scope


@dataclass(frozen=True, slots=True)
class Change:
    """A value that the plan changes, or asks what it has."""

    expression: ast.expr
    scope: Scope
    only_dicts: bool = False
    given_to: str | None = None
    """The function that may change it, or whose owner may: only if the plan makes that itself."""


class NameSources:
    """One plan, read."""

    def __init__(self, tree: ast.Module, *, earlier: Collection[str] = (), unsure: Collection[str] = ()) -> None:
        """`earlier`: names of the session that the plan binds anew. `unsure`: names that may be anything."""
        self.uses: list[tuple[ast.expr, Scope]] = []
        """Subscripts, attributes and calls of `get`, each in its scope."""

        self.own_keys: set[object] = set()
        """Keys that the plan puts somewhere itself, or asks for before it reads them."""

        self.keys_read: set[object] = set()
        """All keys that the plan reads by their name."""

        self.keys_tried: set[object] = set()
        """Keys that it asks for with `get`: it knows that they may not be there."""

        self.changes: list[Change] = []
        self.inner: dict[ast.AST, Scope] = {}
        """Lambda or comprehension → the scope of its body."""

        self.arguments: dict[ast.AST, tuple[ast.expr, Scope]] = {}
        """Lambda → the values that its first parameter is given, one after the other."""

        self._unsure = set(unsure)
        self._modules: set[str] = set()
        self._prepared: list[Span] = []
        self._enter(tree.body, Scope(None))
        if earlier:
            self._be_unsure_of_earlier(tree.body, earlier)

    def is_unsure(self, name: str) -> bool:
        """Say whether a name may be anything, whatever it is bound to."""
        return name in self._unsure

    def is_prepared(self, node: ast.expr) -> bool:
        """Say whether the plan catches what may go wrong here."""
        at = node.lineno, node.col_offset
        return any(first[:2] <= at < first[2:] for first in self._prepared)

    def _enter(self, nodes: Iterable[ast.AST], scope: Scope) -> None:
        waiting = list(nodes)
        for node in waiting:
            kind = type(node)
            if kind in _WITHOUT_NEWS:
                continue
            if kind in _NOTED:
                self._note(node, scope)
            if kind in _BINDING:
                self._bind_names(node, scope)
            if kind not in _WITH_A_SCOPE:
                waiting.extend(trees.children(node))
                continue
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    self._enter_function(node, scope)
                case ast.ClassDef():
                    scope.bind(node.name, None)
                    self._enter(trees.children(node), Scope(scope, "class"))
                case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                    inner = self.inner[node] = Scope(scope, "comprehension")
                    for each in node.generators:
                        self._bind_item(each.target, each.iter, inner)
                    self._enter(trees.children(node), inner)
                case _:
                    pass

    def _enter_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope) -> None:
        inner = self.inner[node] = Scope(scope)
        taken = node.args
        names = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg]
        for each in names:
            if each is not None:
                inner.bind(each.arg, None)
        first = (*taken.posonlyargs, *taken.args)[:1]
        if isinstance(node, ast.Lambda) and first and node in self.arguments:
            values, outer = self.arguments[node]
            inner.sources[first[0].arg] = Source("item", values, outer)
        elif not isinstance(node, ast.Lambda):
            scope.bind(node.name, None)
        self._enter(trees.children(node), inner)

    # ---- binding ---------------------------------------------------------------------------------------------------

    def _bind_names(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value, scope)
            case ast.AnnAssign(target=target, value=value):
                self._bind(target, value, scope)
            case ast.NamedExpr(target=target) if scope.kind == "comprehension":
                self._unsure.add(target.id)  # it is bound outside of it
            case ast.NamedExpr(target=target, value=value):
                self._bind(target, value, scope)
            case ast.For(target=target, iter=values) | ast.AsyncFor(target=target, iter=values):
                self._bind_item(target, values, scope)
            case ast.AugAssign(target=ast.Name(id=name)):
                if (source := scope.sources.get(name)) is not None:
                    self.changes.append(Change(source.expression, source.scope))
                scope.bind(name, None)
            case ast.withitem(optional_vars=ast.expr() as target):
                self._bind(target, None, scope)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._bind(target, None, scope)
            case ast.alias(name=name, asname=asname):
                scope.bind(asname or name.partition(".")[0], None)
                self._modules.add(asname or name.partition(".")[0])
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                self._unsure.update(names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self._unsure.add(name)
            case ast.MatchMapping(rest=str(name)):
                self._unsure.add(name)
            case _:
                pass

    def _be_unsure_of_earlier(self, body: list[ast.stmt], earlier: Collection[str]) -> None:
        """Names of the session that are bound under a condition may be what they were."""
        for statement in body:
            if isinstance(statement, _CONDITIONAL):
                bound = (node for node in trees.walk(statement) if isinstance(node, ast.Name))
                self._unsure.update(node.id for node in bound if node.id in earlier)

    def _bind(self, target: ast.expr, value: ast.expr | None, scope: Scope) -> None:
        match target:
            case ast.Name(id=name):
                scope.bind(name, None if value is None else Source("whole", value, scope))
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                if any(isinstance(each, ast.Starred) for each in targets):
                    value = None
                for place, each in enumerate(targets):
                    if isinstance(each, ast.Name) and value is not None:
                        scope.bind(each.id, Source("place", value, scope, place))
                    else:
                        self._bind(each, None, scope)
            case ast.Starred(value=inner):
                self._bind(inner, None, scope)
            case _:
                pass

    def _bind_item(self, target: ast.expr, values: ast.expr, scope: Scope) -> None:
        match target, values:
            case ast.Name(id=name), _:
                scope.bind(name, Source("item", values, scope))
            case ast.Tuple(elts=[first, ast.Name(id=name)]), ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]):
                self._bind(first, None, scope)
                scope.bind(name, Source("item", inner, scope))
            case _:
                self._bind(target, None, scope)

    # ---- what else is said of values -------------------------------------------------------------------------------

    def _note(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.Subscript(ctx=ast.Load(), slice=key):
                self.uses.append((node, scope))
                if isinstance(key, ast.Constant):
                    self.keys_read.add(key.value)
            case ast.Subscript(slice=ast.Constant(value=key)):
                self.own_keys.add(key)
            case ast.Subscript(value=target):
                self.changes.append(Change(target, scope))
            case ast.Attribute(ctx=ast.Load(), attr="keys", value=target):
                self.changes.append(Change(target, scope))
            case ast.Attribute(ctx=ast.Load()):
                self.uses.append((node, scope))
            case ast.Dict(keys=keys):
                self.own_keys.update(key.value for key in keys if isinstance(key, ast.Constant))
            case ast.Compare(left=asked, ops=[ast.In() | ast.NotIn(), *_], comparators=[within, *_]):
                if isinstance(asked, ast.Constant):
                    self.own_keys.add(asked.value)
                else:
                    self.changes.append(Change(within, scope, only_dicts=True))
            case ast.Match(subject=subject):
                self._be_unsure_of(subject)
            case ast.MatchMapping(keys=keys):
                self.own_keys.update(key.value for key in keys if isinstance(key, ast.Constant))
            case ast.AugAssign(target=target):
                self.changes.append(Change(target, scope))
            case ast.With(items=items, body=[*body]) | ast.AsyncWith(items=items, body=[*body]):
                if any(map(_suppresses, items)):
                    self._prepared.append(_span(body))
            case ast.Try() | ast.TryStar():
                if _forgives(node):
                    self._prepared.append(_span(node.body))
            case ast.Call():
                self._note_call(node, scope)
            case _:
                pass

    def _note_call(self, node: ast.Call, scope: Scope) -> None:
        self._note_handing_on(node, scope)
        match node:
            case ast.Call(func=ast.Name(id=name), args=[asked, *_]) if name in _LOOKED_AT:
                self._be_unsure_of(asked)
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=key), *_]):
                self.uses.append((node, scope))
                self.keys_read.add(key)
                self.keys_tried.add(key)
            case ast.Call(func=ast.Attribute(attr="setdefault"), args=[ast.Constant(value=key), *_]):
                self.own_keys.add(key)
            case ast.Call(func=ast.Attribute(value=target, attr="update"), args=args, keywords=keywords):
                self.own_keys.update(keyword.arg for keyword in keywords)
                if any(not isinstance(each, ast.Dict) for each in args):
                    self.changes += [Change(each, scope) for each in (target, *args)]
            case ast.Call(func=ast.Attribute(value=target, attr="append" | "extend" | "insert" | "setdefault")):
                self.changes.append(Change(target, scope))
            case ast.Call(func=ast.Name(id="map" | "filter"), args=[ast.Lambda() as function, values]):
                self.arguments[function] = values, scope
            case ast.Call(func=ast.Name(id="sorted" | "min" | "max"), args=[values], keywords=keywords):
                for keyword in keywords:
                    if keyword.arg == "key":
                        self.arguments[keyword.value] = values, scope
            case _:
                pass

    def _note_handing_on(self, node: ast.Call, scope: Scope) -> None:
        """What becomes of a value in a function of the plan's own is not followed."""
        match node.func:
            case ast.Name(id="zip") | ast.Attribute(value=ast.Name(id="heapq" | "bisect")):
                self.changes += [Change(each, scope) for each in node.args]
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name)) if name not in self._modules:
                self.changes += [Change(each, scope, given_to=name) for each in node.args]
            case _:
                pass

    def _be_unsure_of(self, node: ast.expr) -> None:
        while isinstance(node, ast.Subscript | ast.Attribute):
            node = node.value
        if isinstance(node, ast.Name):
            self._unsure.add(node.id)


def _span(body: list[ast.stmt]) -> Span:
    last = body[-1]
    return body[0].lineno, body[0].col_offset, last.end_lineno or last.lineno, last.end_col_offset or 0


def _forgives(node: ast.Try | ast.TryStar) -> bool:
    """Say whether what a key or an attribute that is not there raises may be caught."""
    caught = [handler.type for handler in node.handlers]
    return None in caught or any(_is_forgiven(each) for each in caught if each is not None)


def _suppresses(item: ast.withitem) -> bool:
    call = item.context_expr
    if not isinstance(call, ast.Call):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name == "suppress" and any(map(_is_forgiven, call.args))


def _is_forgiven(caught: ast.expr) -> bool:
    named = [part.id for part in trees.walk(caught) if isinstance(part, ast.Name)]
    return any(name in _FORGIVEN or name not in _OTHER_ERRORS for name in named)
