"""Which names a plan takes from outside, and which it makes itself.

Python's own scoping rules over the syntax tree, without running anything: what is read as a global, what is bound at
module level, and which calls are spelled `tool(...)` or `server.tool(...)`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from planact_server.sandbox.inside import trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Position: TypeAlias = "tuple[int, int]"

_NESTED = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef})
_COMPREHENSIONS = frozenset({ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp})
_WITH_AN_END = (ast.stmt, ast.ExceptHandler, ast.pattern)
_BINDING = frozenset(
    {
        *(ast.Name, ast.NamedExpr, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.alias, ast.ExceptHandler),
        *(ast.MatchAs, ast.MatchStar, ast.MatchMapping, ast.Global, ast.Nonlocal),
    }
)
"""Nodes that say something about a scope's names."""


@dataclass(slots=True)
class Names:
    """What the analysis found. Nodes are the original ones, for pointing at them."""

    read: dict[str, list[ast.Name]] = field(default_factory=dict[str, "list[ast.Name]"])
    """Names read as globals."""

    read_in_functions: set[ast.Name] = field(default_factory=set[ast.Name])
    """Those of `read` that happen when a function is called, by then with the plan's own names bound."""

    dotted: dict[tuple[str, str], list[ast.Attribute]] = field(
        default_factory=dict[tuple[str, str], "list[ast.Attribute]"]
    )
    """`base.attribute` reads whose base is read as a global."""

    calls: list[tuple[str, ast.Call]] = field(default_factory=list["tuple[str, ast.Call]"])
    """Calls of `name` or `base.attribute` whose base is read as a global."""

    bound: dict[str, Position] = field(default_factory=dict[str, Position])
    """Names bound at module level (also through `global`) → where the first binding statement ends."""

    defined: set[str] = field(default_factory=set[str])
    """Module-level names bound by def, class or import only: they hold no tool."""

    def from_outside(self, name: str) -> bool:
        """True when some read of the name may happen before the plan itself has bound it."""
        if name not in self.bound:
            return True
        early = (node for node in self.read.get(name, ()) if node not in self.read_in_functions)
        return any((node.lineno, node.col_offset) < self.bound[name] for node in early)


def analyse(tree: ast.Module) -> Names:
    """Analyse a whole plan."""
    names = Names()
    module = _Scope(None, "module")
    _collect(tree.body, module, names)
    names.defined = module.definitions - module.assignments
    _Reader(names, module).visit_all(tree.body)
    return names


@dataclass(slots=True)
class _Scope:
    parent: _Scope | None
    kind: str
    bound: set[str] = field(default_factory=set[str])
    globals: set[str] = field(default_factory=set[str])
    nonlocals: set[str] = field(default_factory=set[str])
    definitions: set[str] = field(default_factory=set[str])
    assignments: set[str] = field(default_factory=set[str])

    def is_in_function(self) -> bool:
        return self.kind == "function" or (self.parent is not None and self.parent.is_in_function())

    def reads_global(self, name: str) -> bool:
        """True when a read of `name` here reaches the module's scope."""
        scope: _Scope | None = self
        innermost = True
        while scope is not None and scope.kind != "module":
            if name in scope.globals:
                return True
            if name in scope.bound and (innermost or scope.kind != "class"):
                return False
            innermost = innermost and scope.kind == "comprehension"
            scope = scope.parent
        return True


def _collect(body: Iterable[ast.AST], scope: _Scope, names: Names) -> None:
    """Find what the statements bind in their own scope, without entering nested scopes."""
    for statement in body:
        for node, end in _own_binding_nodes(statement):
            if isinstance(node, ast.Global):
                scope.globals.update(node.names)
                for name in node.names:
                    names.bound.setdefault(name, end)
            elif isinstance(node, ast.Nonlocal):
                scope.nonlocals.update(node.names)
            for name, is_definition in _bindings(node):
                (scope.definitions if is_definition else scope.assignments).add(name)
                scope.bound.add(name)
                if scope.kind == "module" or name in scope.globals:
                    names.bound[name] = min(names.bound.get(name, end), end)
    scope.bound -= scope.globals | scope.nonlocals


def _own_binding_nodes(statement: ast.AST) -> Iterator[tuple[ast.AST, Position]]:
    """Walk a statement without going into functions, classes and comprehension targets.

    With each node that says something about names comes the place from which on a name that it binds is bound.
    """
    waiting = [(statement, _end(statement))]
    while waiting:
        node, end = waiting.pop()
        kind = type(node)
        if isinstance(node, _WITH_AN_END):
            end = _end(node)
        if kind in _BINDING:
            yield node, end
        if kind in _NESTED:
            waiting += [(outer, end) for outer in _evaluated_outside(node)]
        elif kind in _COMPREHENSIONS:
            yield from ((inner, end) for inner in trees.walk(node) if isinstance(inner, ast.NamedExpr))
        elif isinstance(node, ast.withitem):
            waiting += [(child, _end(node.context_expr)) for child in trees.children(node)]
        else:
            waiting += [(child, end) for child in trees.children(node)]


def _end(node: ast.AST) -> Position:
    """Where a statement has bound its own names: after its head, for those that have a body."""
    match node:
        case ast.For(iter=head) | ast.AsyncFor(iter=head) | ast.ExceptHandler(type=ast.expr() as head):
            return _end(head)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.ExceptHandler():
            return node.lineno, node.col_offset
        case ast.stmt() | ast.expr() | ast.pattern():
            return node.end_lineno or 0, node.end_col_offset or 0
        case _:
            return 0, 0


def _bindings(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """The names that this very node binds, and whether it is a definition."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name, False
        case ast.NamedExpr(target=ast.Name(id=name)):
            yield name, False
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, True
        case ast.alias(name=name, asname=asname):
            yield asname or name.partition(".")[0], True
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, False
        case ast.MatchMapping(rest=str(name)):
            yield name, False
        case _:
            return


def _evaluated_outside(node: ast.AST) -> list[ast.expr]:
    """Decorators, defaults, bases: parts of a definition that belong to the scope around it."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [*node.decorator_list, *_defaults(node.args)]
    if isinstance(node, ast.Lambda):
        return _defaults(node.args)
    return []


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]


def _parameters(arguments: ast.arguments) -> set[str]:
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return {argument.arg for argument in (*plain, *starred)}


class _Reader(ast.NodeVisitor):
    """Second pass: every read, in the scope where it happens."""

    def __init__(self, names: Names, scope: _Scope) -> None:
        self._names = names
        self._scope = scope

    def generic_visit(self, node: ast.AST) -> None:
        self.visit_all(trees.children(node))

    def visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            if type(node) in _READING:
                self.visit(node)
            else:
                self.visit_all(trees.children(node))

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and self._scope.reads_global(node.id):
            self._names.read.setdefault(node.id, []).append(node)
            if self._scope.is_in_function():
                self._names.read_in_functions.add(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and self._scope.reads_global(node.value.id):
            self._names.dotted.setdefault((node.value.id, node.attr), []).append(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Name(id=name) if self._scope.reads_global(name):
                self._names.calls.append((name, node))
            case ast.Attribute(value=ast.Name(id=base), attr=attribute) if self._scope.reads_global(base):
                self._names.calls.append((f"{base}.{attribute}", node))
            case _:
                pass
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)  # annotations are never evaluated
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        outer = self._with_type_parameters(node)
        outer.visit_all(_evaluated_outside(node))
        outer.enter(node.body, "class", set())

    def visit_TypeAlias(self, node: Any) -> None:
        """Its value is worked out when somebody asks for it, which no plan can."""

    def _with_type_parameters(self, node: Any) -> _Reader:
        """Python 3.12: `def f[T](...)`, `class C[T](...)`, `type A[T] = ...`."""
        parameters: list[Any] = getattr(node, "type_params", [])
        if not parameters:
            return self
        scope = _Scope(self._scope, "type parameters", bound={parameter.name for parameter in parameters})
        return _Reader(self._names, scope)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_comprehension(node.generators, [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_comprehension(node.generators, [node.elt])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_comprehension(node.generators, [node.elt])

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node.generators, [node.key, node.value])

    def _visit_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, body: Iterable[ast.AST]
    ) -> None:
        outer = self._with_type_parameters(node)
        outer.visit_all(_evaluated_outside(node))
        outer.enter(body, "function", _parameters(node.args))

    def enter(self, body: Iterable[ast.AST], kind: str, bound: set[str]) -> None:
        scope = _Scope(self._scope, kind)
        _collect(body, scope, self._names)
        scope.bound |= bound
        _Reader(self._names, scope).visit_all(body)

    def _visit_comprehension(self, generators: list[ast.comprehension], elements: list[ast.expr]) -> None:
        self.visit(generators[0].iter)
        scope = _Scope(self._scope, "comprehension")
        for generator in generators:
            targets = (node for node in trees.walk(generator.target) if isinstance(node, ast.Name))
            scope.bound.update(name.id for name in targets if isinstance(name.ctx, ast.Store))
        inner = _Reader(self._names, scope)
        for index, generator in enumerate(generators):
            inner.visit_all([generator.target, *generator.ifs, *([generator.iter] if index else [])])
        inner.visit_all(elements)


_READING = frozenset(
    getattr(ast, name.removeprefix("visit_"))
    for name in vars(_Reader)
    if name.startswith("visit_") and hasattr(ast, name.removeprefix("visit_"))
)
"""Nodes that `_Reader` has a method for. Looking for one by its name takes longer than most visits."""
