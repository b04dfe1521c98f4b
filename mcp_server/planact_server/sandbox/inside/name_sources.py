"""Where the names of a plan get their values from, as its text has it. Nothing is run.

Only what is certain: a name that is bound twice, or in a way that says nothing of its value, may be anything.
"""

from __future__ import annotations

import ast
from bisect import bisect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from planact_server.sandbox.inside import trees

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

Span: TypeAlias = "tuple[int, int, int, int]"
"""Line and column where something begins, line and column where it ends."""

_LOOKED_AT = frozenset({"isinstance", "type", "hasattr"})
_MOST_ASKED = 20
_CONTAINERS = frozenset({"dict", "list", "set", "defaultdict", "Counter", "OrderedDict", "deque"})
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
    not_made: set[str] = field(default_factory=set[str])
    """Names that are bound to something else than a new container."""

    parameters: set[str] = field(default_factory=set[str])

    def bind(self, name: str, source: Source | None) -> None:
        """Note what a name is bound to. A second time it may be anything."""
        if source is None or source.part != "whole" or not _makes_container(source.expression):
            self.not_made.add(name)
        self.sources[name] = None if self.kind == "class" or name in self.sources else source

    def source(self, name: str) -> Source | None:
        """Return where a name's value comes from, None where that is not known."""
        owner = self._owner(name)
        return None if owner is None else owner.sources[name]

    def binds(self, name: str) -> bool:
        """Say whether the plan itself gives a name a meaning here."""
        return self._owner(name) is not None

    def makes(self, name: str) -> bool:
        """Say whether a name is bound to nothing but containers that the plan makes."""
        owner = self._owner(name)
        return owner is not None and name not in owner.not_made

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
    fills: bool = False
    """Whether it gets keys or items that the plan does not name. Who cannot tell what it is, cannot tell what has them
    then."""


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
        self._looked_at: list[tuple[ast.expr, Scope]] = []
        self._prepared: list[Span] = []
        self._enter(tree.body, Scope(None))
        if earlier:
            self._be_unsure_of_earlier(tree.body, earlier)
        for asked, scope in self._looked_at:
            self._be_unsure_of(asked, scope)
        self._prepared = _united(self._prepared)

    def is_unsure(self, name: str) -> bool:
        """Say whether a name may be anything, whatever it is bound to."""
        return name in self._unsure

    def is_prepared(self, node: ast.expr) -> bool:
        """Say whether the plan catches what may go wrong here."""
        at = node.lineno, node.col_offset
        span = bisect(self._prepared, at, key=lambda span: span[:2]) - 1
        return span >= 0 and at < self._prepared[span][2:]

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
                inner.parameters.add(each.arg)
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
            case ast.Subscript(slice=ast.Constant(value=str(key))):
                self.own_keys.add(key)
            case ast.Subscript(ctx=ast.Store(), value=target):
                self.changes.append(Change(target, scope, fills=True))
            case ast.Subscript(value=target):
                self.changes.append(Change(target, scope))
            case ast.Attribute(attr="__setitem__" | "setitem" | "__ior__" | "ior", value=target):
                self.changes.append(Change(target, scope, fills=True))
            case ast.Attribute(ctx=ast.Load(), attr="keys", value=target):
                self.changes.append(Change(target, scope))
            case ast.Attribute(ctx=ast.Load()):
                self.uses.append((node, scope))
            case ast.Dict(keys=keys):
                self.own_keys.update(key.value for key in keys if isinstance(key, ast.Constant))
            case ast.Compare(left=asked, ops=[operator, *_], comparators=[within, *_]):
                for each in (asked, within):
                    self.own_keys.update(_constants(each))
                if isinstance(operator, ast.In | ast.NotIn) and not isinstance(asked, ast.Constant):
                    self.changes.append(Change(within, scope, only_dicts=True))
            case ast.Match(subject=subject):
                self._looked_at.append((subject, scope))
            case ast.MatchMapping(keys=keys):
                self.own_keys.update(key.value for key in keys if isinstance(key, ast.Constant))
            case ast.AugAssign(target=target, op=operator):
                is_given = isinstance(target, ast.Name) and target.id in scope.parameters
                self.changes.append(Change(target, scope, fills=is_given or isinstance(operator, ast.BitOr)))
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
        match node:
            case ast.Call(func=ast.Name(id=name), args=[asked, *_]) if name in _LOOKED_AT:
                self._looked_at.append((asked, scope))
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=key), *_]):
                self.uses.append((node, scope))
                self.keys_read.add(key)
                self.keys_tried.add(key)
            case ast.Call(func=ast.Attribute(attr="setdefault"), args=[ast.Constant(value=str(key)), *_]):
                self.own_keys.add(key)
            case ast.Call(func=ast.Attribute(value=target, attr="update"), args=args, keywords=keywords):
                self.own_keys.update(keyword.arg for keyword in keywords)
                if any(not isinstance(each, ast.Dict) for each in args) or any(each.arg is None for each in keywords):
                    self.changes += [Change(each, scope, fills=each is target) for each in (target, *args)]
            case ast.Call(func=ast.Attribute(value=target, attr="setdefault")):
                self.changes.append(Change(target, scope, fills=True))
            case ast.Call(func=ast.Attribute(value=target, attr="append" | "extend" | "insert")):
                self.changes.append(Change(_holder(target), scope, fills=True))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="heapq" | "bisect")), args=args):
                self.changes += [Change(each, scope) for each in args]
            case ast.Call(func=ast.Name(id="map" | "filter"), args=[ast.Lambda() as function, values]):
                self.arguments[function] = values, scope
            case ast.Call(func=ast.Name(id="sorted" | "min" | "max"), args=[values], keywords=keywords):
                for keyword in keywords:
                    if keyword.arg == "key":
                        self.arguments[keyword.value] = values, scope
            case _:
                pass

    def _be_unsure_of(self, asked: ast.expr, scope: Scope) -> None:
        """Take every name in an expression, and what it is an item of, for what the plan is not sure of either."""
        waiting = [(asked, scope)]
        for node, within in waiting:
            for part in trees.walk(node):
                if not isinstance(part, ast.Name) or part.id in self._unsure:
                    continue
                self._unsure.add(part.id)
                if (source := within.source(part.id)) is not None and len(waiting) < _MOST_ASKED:
                    waiting.append((source.expression, source.scope))


def _makes_container(value: ast.expr) -> bool:
    match value:
        case ast.Dict() | ast.DictComp() | ast.List() | ast.ListComp() | ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _CONTAINERS
        case _:
            return False


def _holder(target: ast.expr) -> ast.expr:
    """Return whose items are lists that get more of them: `groups` in `groups[team].append(user)`."""
    match target:
        case ast.Subscript(value=ast.Name() as holder):
            return holder
        case ast.Call(func=ast.Attribute(value=ast.Name() as holder, attr="setdefault")):
            return holder
        case _:
            return target


def _constants(node: ast.expr) -> Iterator[object]:
    """Give what a plan asks for by its name: a text, or those of a collection of texts."""
    for each in node.elts if isinstance(node, ast.Set | ast.List | ast.Tuple) else [node]:
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def _united(spans: Iterable[Span]) -> list[Span]:
    """Return the same places as spans that follow each other and have nothing in common."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span[:2] < found[-1][2:]:
            found[-1] = (*found[-1][:2], *max(found[-1][2:], span[2:]))
        else:
            found.append(span)
    return found


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
