"""Classes whose objects only the worker makes.

`type(tool)` hands the class of a tool to a plan. A `Tool` that a plan made would hand its calls, and the frames that
they come from, to whatever the plan gave it in place of the worker's own parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Sealed(type):
    """The metaclass of such a class: calling the class fails, `make` makes its objects."""

    def __call__(cls, *_args: object, **_options: object) -> NoReturn:
        raise TypeError(f"A plan cannot make {cls.__name__!r} objects.")


def make(kind: Callable[_P, _T], /, *args: _P.args, **options: _P.kwargs) -> _T:
    """Make an object of a sealed class."""
    return cast("_T", type.__call__(cast("Any", kind), *args, **options))
