"""Walking syntax trees. A plan waits for every walk, and `ast`'s own looks into every field of every node."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_NODES = frozenset(
    str.split("id ctx op ops attr arg kind level module asname simple is_async conversion type_comment type_ignores")
)
"""Fields that hold texts, numbers, or nodes without fields: contexts and operators."""


LEAVES = frozenset(
    {
        *(str, int, type(None), ast.Load, ast.Store, ast.Del, ast.Constant, ast.Pass, ast.Break, ast.Continue),
        *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult, ast.LShift, ast.RShift),
        *(ast.BitOr, ast.BitXor, ast.BitAnd, ast.And, ast.Or, ast.Not, ast.Invert, ast.UAdd, ast.USub, ast.Eq),
        *(ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn),
    }
)
"""What has no contents and is allowed in any plan."""


class _Fields(dict[type, tuple[str, ...]]):
    """Node class → its fields that may hold nodes worth a visit."""

    def __missing__(self, kind: type) -> tuple[str, ...]:
        fields: tuple[str, ...] = () if kind is ast.Constant else getattr(kind, "_fields", ())
        self[kind] = tuple(field for field in fields if field not in _NO_NODES)
        return self[kind]


_FIELDS = _Fields()


def children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node is made of, contexts and operators aside."""
    for field in _FIELDS[type(node)]:
        value: Any = getattr(node, field, None)
        if type(value) is list:
            for item in cast("list[Any]", value):
                if isinstance(item, ast.AST):
                    yield item
        elif isinstance(value, ast.AST):
            yield value


def walk(tree: ast.AST) -> list[ast.AST]:
    """Return all nodes, contexts and operators aside; each behind the one that holds it."""
    found = [tree]
    for node in found:
        found.extend(children(node))
    return found


def levels(tree: ast.AST) -> Iterator[list[ast.AST]]:
    """Yield the nodes below a tree, one depth after another. Runs in no more than a few frames."""
    level = [tree]
    while level:
        level = [child for node in level for child in children(node)]
        yield level
