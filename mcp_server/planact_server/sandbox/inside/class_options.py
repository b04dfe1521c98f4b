"""What the statements of a class body, and those that set attributes, may bind beside ordinary names."""

from __future__ import annotations

import ast

from planact_server.sandbox.inside import attributes


def is_settable(attribute: str) -> bool:
    # An Enum's `__new__` sets the value of the member that it makes.
    return attributes.is_ordinary_name(attribute) or attribute == "_value_"


def is_method_alias(node: ast.Assign) -> bool:
    """`__radd__ = __add__`: a method that the class has, by another name that it might have defined."""
    targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
    is_method = isinstance(node.value, ast.Name) and node.value.id in attributes.MAGIC
    return is_method and len(targets) == len(node.targets) and attributes.MAGIC.issuperset(targets)


def is_class_option(node: ast.Assign) -> bool:
    """`__slots__` and `__match_args__` with names that a plan may read anyway."""
    match node:
        case ast.Assign(targets=[ast.Name(id="__slots__" | "__match_args__")], value=value):
            names = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
            return all(
                isinstance(name, ast.Constant)
                and isinstance(name.value, str)
                and (attributes.judge(name.value) == "plain" or attributes.is_ordinary_name(name.value))
                and name.value not in attributes.FORBIDDEN
                and name.value not in attributes.WATCHED
                for name in names
            )
        case _:
            return False
