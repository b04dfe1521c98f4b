"""What Python a plan may use, and how it is compiled.

RestrictedPython's transformer refuses every syntax node that it does not know, which keeps new Python versions from
opening doors. This subclass opens what models really write and adds the markers that the runtime observes. What guards
and markers look like in the compiled code is in `emitted`.
"""

# ruff: noqa: N802, N815 - the names of ast.NodeVisitor

from __future__ import annotations

import ast
import copy
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from RestrictedPython.transformer import RestrictingNodeTransformer

from planact_server.sandbox.inside import attributes, class_options, deferring, emitted, formatting, refusals, trees
from planact_server.sandbox.inside.source import Problem, Refused, Text, syntax_problem

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from types import CodeType

_COMPILER_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | 0x1000000  # CO_FUTURE_ANNOTATIONS: annotations stay text
_COMPILER_DEPTH = 20_000

_Node = TypeVar("_Node", bound=ast.AST)


def compile_plan(tree: ast.Module, text: Text, *, statements: Mapping[ast.AST, int]) -> CodeType:
    """Check and compile a plan. `tree` is used up. Raises Refused with every objection.

    `statements` are the assignments that need a commit marker, with their numbers (see `bindings`).
    """
    policy = Policy(text, statements)
    normal_depth = sys.getrecursionlimit()
    sys.setrecursionlimit(_COMPILER_DEPTH)
    try:
        checked = policy.visit(tree)
        if policy.problems:
            raise Refused(*policy.problems[:20])
        return compile(checked, text.filename, "exec", flags=_COMPILER_FLAGS, dont_inherit=True)
    except SyntaxError as error:
        raise Refused(syntax_problem(error, text)) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        message = f"The plan cannot be compiled: {error}."
        hint = "Write it in smaller pieces: shorter expressions, less nesting, several functions."
        raise Refused(Problem(type="SyntaxError", message=message, hint=hint)) from None
    finally:
        sys.setrecursionlimit(normal_depth)


class Policy(RestrictingNodeTransformer):
    """One plan's check and rewriting."""

    def __init__(self, text: Text, statements: Mapping[ast.AST, int]) -> None:
        super().__init__()
        self.problems: list[Problem] = []
        self._text = text
        self._statements = statements
        self._deferred: dict[ast.AST, ast.expr | None] = {}
        self._in_class_body = False
        self._class_name = ""

    def node_contents_visit(self, node: _Node) -> _Node:
        """Visit what a node is made of. As RestrictedPython's, without a visit to what needs none."""
        for field in node._fields:
            value: Any = getattr(node, field, None)
            if type(value) is list:
                items = cast("list[Any]", value)
                items[:] = [new for item in items for new in self._in_place_of(item)]
            elif type(value) not in trees.LEAVES and isinstance(value, ast.AST):
                setattr(node, field, self.visit(value))
        return node

    def _in_place_of(self, item: Any) -> list[Any]:
        if type(item) in trees.LEAVES or not isinstance(item, ast.AST):
            return [item]
        new: Any = self.visit(item)
        return cast("list[Any]", new) if isinstance(new, list) else [new]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Refuse syntax that nobody has looked at yet."""
        self.not_allowed(node)
        return node

    # ---- saying no -------------------------------------------------------------------------------------------------

    def refuse(self, node: ast.AST, message: str, hint: str) -> None:
        problem = self._text.problem(node, "PolicyError", message, hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def error(self, node: ast.AST, info: str) -> None:  # noqa: ARG002 - in RestrictedPython's words, not the author's
        self.not_allowed(node)

    def not_allowed(self, node: ast.AST) -> None:
        self.refuse(node, *refusals.construct(node))

    def check_name(self, node: Any, name: str | None, allow_magic_methods: bool = False) -> None:
        if name is None:
            return
        if len(name) > attributes.LONGEST_NAME:
            self.refuse(node, *refusals.too_long(name))
            return
        if name == "super" or (name.startswith("_tmp") and name[4:].isdigit()):  # RestrictedPython's own variables
            self.refuse(node, f"The name {name!r} is reserved.", "Choose another name.")
        may_be = attributes.is_method_name if allow_magic_methods else attributes.is_ordinary_name
        if not may_be(name):
            self.refuse(node, *refusals.name(name))

    def check_function_argument_names(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        given = node.args
        for argument in (*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg):
            if argument is not None:
                self.check_name(argument, argument.arg)

    def _check_attribute(self, node: ast.AST, name: str) -> attributes.Verdict:
        if len(name) > attributes.LONGEST_NAME:
            self.refuse(node, *refusals.too_long(name))
        verdict = attributes.judge(name)
        if verdict == "forbidden":
            self.refuse(node, *refusals.attribute(name))
        return verdict

    # ---- names and attributes --------------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load):
            if node.id == "__name__":
                return ast.copy_location(ast.Constant("__main__"), node)
            if node.id == "super":
                return emitted.name(emitted.SUPER, at=node)
        if self._in_class_body and isinstance(node.ctx, ast.Store) and node.id == "__hash__":
            return node
        self.check_name(node, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        match node:
            case ast.Attribute(
                value=ast.Attribute(value=value, attr="__class__"),
                attr="__name__" | "__qualname__",
                ctx=ast.Load(),
            ):
                return emitted.call(emitted.CLASS_NAME, [self.visit(value)], at=node)
            case _:
                pass
        if isinstance(node.ctx, ast.Load):
            verdict = self._check_attribute(node, node.attr)
            return self._read(self.node_contents_visit(node), verdict)
        if node.attr in attributes.FORBIDDEN or not class_options.is_settable(node.attr):
            self.refuse(node, *refusals.stored_attribute(node.attr))
        visited = self.node_contents_visit(node)
        visited.value = emitted.writable(visited.value)
        return visited

    def _read(self, node: ast.Attribute, verdict: attributes.Verdict) -> ast.expr:
        if verdict == "plain":
            return node
        if node.attr in {"format", "format_map"} and self._is_harmless_template(node.value):
            return node
        name = self._mangled(node.attr)
        if node.attr.startswith("_") and attributes.is_ordinary_name(node.attr):
            return emitted.private_read(node, name)
        if node.attr == "format":
            return emitted.call(emitted.FORMAT, [node.value], at=node)
        return emitted.call(emitted.GETATTR, [node.value, emitted.constant(name, at=node)], at=node)

    def _is_harmless_template(self, template: ast.expr) -> bool:
        """True for `"...".format` when the guard lets pass every attribute that the text reads."""
        if not isinstance(template, ast.Constant) or not isinstance(template.value, str):
            return False
        names = formatting.attributes_read(template.value)
        for name in names or ():
            self._check_attribute(template, name)
        return names is not None and all(attributes.judge(name) == "plain" for name in names)

    def _mangled(self, name: str) -> str:
        """`self.__x` in a class, as the compiler would spell it."""
        owner = self._class_name.lstrip("_")
        is_private = name.startswith("__") and not name.endswith("__")
        return f"_{owner}{name}" if owner and is_private else name

    # ---- calls -----------------------------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not (node.args or node.keywords):
            return node  # Python's own: it looks for the class around it under this very name
        for inner in deferring.calls(node):
            self._deferred[inner] = node.func
        deferred = node in self._deferred
        scheduler = self._deferred.get(node)
        visited = self.node_contents_visit(node)
        if deferred:
            who = [] if scheduler is None else [copy.deepcopy(scheduler)]
            visited.func = emitted.call(emitted.DEFER, [visited.func, *who], at=visited.func)
        return visited

    def visit_Await(self, node: ast.Await) -> ast.AST:
        if isinstance(node.value, ast.Call):
            self._deferred[node.value] = None
        visited = self.node_contents_visit(node)
        visited.value = emitted.call(emitted.AWAIT, [visited.value], at=visited.value)
        return visited

    # ---- assignments -----------------------------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> Any:
        if self._in_class_body and (class_options.is_class_option(node) or class_options.is_method_alias(node)):
            return node
        return self._observed(node, self.node_contents_visit(node))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if isinstance(node.target, ast.Attribute) and node.target.attr in attributes.WATCHED:
            # It reads, and no guard is asked.
            self.refuse(node, *refusals.augmented_attribute(node.target.attr))
        return self._observed(node, self.node_contents_visit(node))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if self._in_class_body and node.simple:
            # The compiler keeps the annotation as text: a dataclass needs the field, nobody needs the value.
            target = self.visit(node.target)
            value = None if node.value is None else self.visit(node.value)
            return ast.copy_location(ast.AnnAssign(target, node.annotation, value, node.simple), node)
        if node.value is None:
            return emitted.declaration(self.visit(node.target), at=node)
        plain = ast.copy_location(ast.Assign([self.visit(node.target)], self.visit(node.value)), node)
        return self._observed(node, plain)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        visited = cast("ast.NamedExpr", super().visit_NamedExpr(node))
        number = self._statements.get(node)
        if number is not None:
            visited.value = emitted.observed_value(visited.value, number)
        return visited

    def _observed(self, node: ast.stmt, visited: ast.stmt) -> Any:
        number = self._statements.get(node)
        return visited if number is None else emitted.observed(visited, number)

    # ---- plain statements that RestrictedPython wraps or refuses ----------------------------------------------------

    def _accept(self, node: _Node) -> _Node:
        return self.node_contents_visit(node)

    visit_For = visit_AsyncFor = visit_With = visit_AsyncWith = visit_comprehension = _accept  # type: ignore[assignment]
    visit_Subscript = visit_TryStar = visit_Match = visit_match_case = _accept  # type: ignore[assignment]
    visit_MatchValue = visit_MatchSingleton = visit_MatchSequence = visit_MatchOr = visit_TypeAlias = _accept

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """Keep the value of the last expression, which is the plan's result."""
        last = node.body[-1] if node.body else None
        visited = self.node_contents_visit(node)
        if isinstance(last, ast.Expr):
            last.value = emitted.call(emitted.RESULT, [last.value], at=last.value)
        return visited

    def visit_Global(self, node: Any) -> Any:
        for name in node.names:
            self.check_name(node, name)
        return node

    visit_Nonlocal = visit_Global

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.check_name(node, node.name)
        if node.type is None:
            # A bare `except:` would also catch the interrupt that ends a plan at its deadline.
            node.type = ast.copy_location(ast.Name("Exception", ast.Load()), node)
        return self.node_contents_visit(node)

    # ---- imports ---------------------------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> Any:
        """`import a.b as c` → `c = import.("a.b", True)`: the real import machinery is never asked."""
        assignments: list[ast.stmt] = []
        for alias in node.names:
            target = alias.asname or alias.name.partition(".")[0]
            self.check_name(alias, target)
            parts = (alias.name, alias.asname is not None)
            arguments = [emitted.constant(part, at=node) for part in parts]
            assignments.append(emitted.assign(target, emitted.call(emitted.IMPORT, arguments, at=node)))
        return assignments

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        if node.module == "__future__":
            return ast.copy_location(ast.Pass(), node)
        if node.level or node.module is None:
            self.refuse(node, "Relative imports are not available in a plan.", "Use `import module`.")
            return node
        assignments: list[ast.stmt] = []
        for alias in node.names:
            target = alias.asname or alias.name
            if alias.name == "*":
                self.refuse(node, *refusals.star_import(node.module))
                continue
            self.check_name(alias, target)
            arguments = [emitted.constant(part, at=node) for part in (node.module, alias.name)]
            assignments.append(emitted.assign(target, emitted.call(emitted.IMPORT_FROM, arguments, at=node)))
        return assignments

    # ---- functions and classes -------------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: Any) -> Any:
        self.check_name(node, node.name, allow_magic_methods=self._in_class_body)
        self.check_function_argument_names(node)
        node.returns = None
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        decorators, node.decorator_list = node.decorator_list, []
        with self._inside(class_body=False):
            visited = self.node_contents_visit(node)
        visited.decorator_list = decorators
        return visited

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.check_function_argument_names(node)
        with self._inside(class_body=False):
            return self.node_contents_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.check_name(node, node.name)
        if any(keyword.arg == "metaclass" for keyword in node.keywords):
            self.refuse(node, "metaclass= is not available in a plan.", "Use a class decorator.")
        outside = [*node.decorator_list, *node.bases, *node.keywords]
        decorators, bases, keywords = (len(node.decorator_list), len(node.bases), len(node.keywords))
        seen = [self.visit(part) for part in outside]
        body = copy.copy(node)
        body.decorator_list, body.bases, body.keywords = [], [], []
        outer, self._class_name = self._class_name, node.name
        with self._inside(class_body=True):
            visited = self.node_contents_visit(body)
        self._class_name = outer
        visited.decorator_list = seen[:decorators]
        visited.bases = seen[decorators : decorators + bases]
        visited.keywords = seen[len(seen) - keywords :] if keywords else []
        return visited

    @contextmanager
    def _inside(self, *, class_body: bool) -> Generator[None]:
        before, self._in_class_body = self._in_class_body, class_body
        try:
            yield
        finally:
            self._in_class_body = before

    def visit_TypeVar(self, node: Any) -> Any:
        self.check_name(node, node.name)
        return self.node_contents_visit(node)

    visit_ParamSpec = visit_TypeVarTuple = visit_TypeVar

    # ---- patterns --------------------------------------------------------------------------------------------------

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        self.check_name(node, node.rest)
        return self.node_contents_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        self.check_name(node, node.name)
        return node

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        self.check_name(node, node.name)
        return self.node_contents_visit(node)

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        for name in node.kwd_attrs:
            if attributes.judge(name) != "plain":  # a pattern reads attributes without asking the guard
                self.refuse(node, f"Attribute {name!r} is not available in a pattern.", "Read it in the case's body.")
        return self.node_contents_visit(node)
