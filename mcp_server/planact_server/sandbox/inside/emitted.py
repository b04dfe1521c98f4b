"""The code that takes the place of a plan's text where a guard or an observer belongs.

Guards stand where they protect something, and nowhere else. RestrictedPython also wraps iteration, unpacking, items and
augmented assignment: those guards keep the items of a *host's* objects apart. Here every object within reach is a value
of the plan or of a facade, and no container of theirs holds what the attribute guard keeps away, so `for`, `a, b = x`,
`x[i]`, `x[i] = v` and `x += v` stay as they are written and run at CPython's speed.

What is guarded asks first, in the plan's own code, whether the object's class is one that plans have made: then the
name alone decides, and no function is called. `type.` gives the true class, whatever `__class__` says, and a plan
cannot make a metaclass, so the question runs none of its code: the name that is read a second time after it still
stands for the same object.

Helper names have a dot in them: no plan can spell, bind or shadow them.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

GETATTR = "getattr."
FORMAT = "format."
WRITABLE = "writable."
TYPE = "type."
SUPER = "super."
OWN_CLASSES = "own-classes."
IMPORT = "import."
IMPORT_FROM = "import-from."
AWAIT = "await."
DEFER = "defer."
OPEN = "open-statements."
BEGIN = "begin."
COMMIT = "commit."
RESULT = "result."
CLASS_NAME = "class-name."


# Every node gets its place here: to look for those without one would be a walk through the whole plan.


def call(helper: str, arguments: Sequence[ast.expr], *, at: ast.AST) -> ast.Call:
    return ast.copy_location(ast.Call(_name(helper, at), [*arguments], []), at)


def constant(value: str | int | None, *, at: ast.AST) -> ast.Constant:
    return ast.copy_location(ast.Constant(value), at)


def assign(target: str, value: ast.Call) -> ast.stmt:
    name = ast.copy_location(ast.Name(target, ast.Store()), value)
    return ast.copy_location(ast.Assign([name], value), value)


def declaration(target: ast.expr, *, at: ast.AST) -> ast.stmt:
    """`x: int` → `if False: x = None`: in a function it makes a name local, and does nothing else."""
    binding = ast.copy_location(ast.Assign([target], constant(None, at=at)), at)
    return ast.copy_location(ast.If(constant(False, at=at), [binding], []), at)


def private_read(node: ast.Attribute, mangled: str) -> ast.expr:
    """`x._name`: asks the guard unless x is an object of a plan's own class."""
    guarded = call(GETATTR, [node.value, constant(mangled, at=node)], at=node)
    return _for_own_objects(node.value, node, guarded) if isinstance(node.value, ast.Name) else guarded


def writable(target: ast.expr) -> ast.expr:
    """The `x` of `x.name = ...` and of `del x.name`."""
    guarded = call(WRITABLE, [target], at=target)
    return _for_own_objects(target, target, guarded) if isinstance(target, ast.Name) else guarded


def _for_own_objects(name: ast.Name, plain: ast.expr, guarded: ast.expr) -> ast.expr:
    """`plain if type(name) in own_classes else guarded`. Reading a name twice does nothing twice."""
    kind = call(TYPE, [name], at=name)
    is_own = ast.copy_location(ast.Compare(kind, [ast.In()], [_name(OWN_CLASSES, name)]), name)
    return ast.copy_location(ast.IfExp(is_own, plain, guarded), plain)


def observed(statement: ast.stmt, number: int) -> list[ast.stmt]:
    """A statement between its markers. They are called only while the result of a tool waits for its name."""
    return [_when_open(BEGIN, number, statement), statement, _when_open(COMMIT, number, statement)]


def _when_open(marker: str, number: int, statement: ast.stmt) -> ast.stmt:
    mark = ast.copy_location(ast.Expr(call(marker, [constant(number, at=statement)], at=statement)), statement)
    return ast.copy_location(ast.If(_name(OPEN, statement), [mark], []), statement)


def observed_value(value: ast.expr, number: int) -> ast.expr:
    """The value of a walrus between the same markers."""
    begin = call(BEGIN, [constant(number, at=value)], at=value)
    return call(COMMIT, [constant(number, at=value), begin, value], at=value)


def name(helper: str, *, at: ast.AST) -> ast.Name:
    return _name(helper, at)


def _name(helper: str, at: ast.AST) -> ast.Name:
    return ast.copy_location(ast.Name(helper, ast.Load()), at)
