"""Methods of the library that are written in Python, made to insist on their object.

They take anything for `self`, and some call its class: `ChainMap.new_child(SomeClass, "X")` would call Python's own
`type`, with which a plan could make classes that lie about everything. Methods written in C check by themselves.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ONLY_NAMES = frozenset({"__init__", "__repr__", "__str__"})
"""They read the name of the class, and call nothing."""


def insist_on_objects(modules: Iterable[types.ModuleType]) -> None:
    """Put a check before every method of the modules' classes that might call the class of its object."""
    for module in modules:
        kinds: list[Any] = [value for value in vars(module).values() if isinstance(value, type)]
        for kind in kinds:
            if kind.__module__ == module.__name__ and not issubclass(kind, type):
                _insist(kind)


def _insist(kind: type[Any]) -> None:
    for name, value in list(vars(kind).items()):
        if isinstance(value, types.FunctionType) and _may_call_class(value):
            setattr(kind, name, _checked(kind, value))
        elif type(value) is property and value.fget is not None and _may_call_class(value.fget):
            setattr(kind, name, property(_checked(kind, value.fget), value.fset, value.fdel, value.__doc__))


def _may_call_class(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and function.__name__ not in _ONLY_NAMES and "__class__" in _names(code)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _checked(owner: type, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def checked(self: Any, /, *args: Any, **options: Any) -> Any:
        if owner not in type(self).__mro__:  # `isinstance` may be told anything
            raise TypeError(f"{method.__qualname__} needs a {owner.__name__!r} object, not {type(self).__name__!r}.")
        return method(self, *args, **options)

    del checked.__wrapped__
    return checked
