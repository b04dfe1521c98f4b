"""The classes of objects that the worker makes and plans hold.

`type(tool)` hands the class of a tool to a plan. A `Tool` that a plan made, and a method of `Tool` called with an
object of the plan in place of a tool, would hand their calls, and the frames that they come from, to whatever the plan
put in place of the worker's own parts.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Bound(type):
    """The metaclass of a class whose methods come with their object."""

    def __getattribute__(cls, name: str) -> Any:
        value = super().__getattribute__(name)
        if type(value) is types.FunctionType and not name.startswith("_"):
            raise AttributeError(f"{name!r} is a method of {cls.__name__!r} objects: call it on one of them.")
        return value


class Sealed(Bound):
    """The metaclass of a class that a plan cannot call either; `make` makes its objects."""

    def __call__(cls, *_args: object, **_options: object) -> NoReturn:
        raise TypeError(f"A plan cannot make {cls.__name__!r} objects.")


def as_called(names: Mapping[str, Any]) -> None:
    """Give functions and classes of ours the names that plans call them by: Python says those when a call is wrong."""
    for name, value in names.items():
        function = value.__func__ if type(value) is types.MethodType else value
        if type(function) is types.FunctionType and function.__module__.startswith("planact_server."):
            function.__name__ = function.__qualname__ = name
        elif type(value) is Bound:
            for method in vars(value).values():
                if type(method) is types.FunctionType:
                    method.__qualname__ = f"{name}.{method.__name__}"


def make(kind: Callable[_P, _T], /, *args: _P.args, **options: _P.kwargs) -> _T:
    """Make an object of a sealed class."""
    return cast("_T", type.__call__(cast("Any", kind), *args, **options))
