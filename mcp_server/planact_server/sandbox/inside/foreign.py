"""Where Python hands over the attributes of another object than the one that is asked.

An alias of a generic type (`list[int]`) passes every question on to what it stands for, and its class takes any object
for that. A method written in Python takes any object for `self`; those that `dataclass` writes read and set whatever
names a plan has given to its fields.
"""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, cast

from planact_server.sandbox.inside import emitted

if TYPE_CHECKING:
    from collections.abc import Callable

ALIASES: tuple[type, ...] = (types.GenericAlias, getattr(typing, "_BaseGenericAlias"))  # noqa: B009 - no stub knows it
"""They answer for what they stand for, special methods included."""

FORWARDING: tuple[type, ...] = (*ALIASES, types.MethodType, super)
"""They pass on what they do not have themselves."""

NOWHERE: Any = object()


def is_of_plan(function: types.FunctionType) -> bool:
    """Say whether the policy compiled this function, so that every read in it asks the guard."""
    return emitted.GETATTR in cast("Any", function).__builtins__


def insisting(kind: type, name: str, function: Any) -> Any:
    """Return a method that takes objects of its class only, or NOWHERE where no class has it: an object's own dict did.

    `function` is what `name` stands for in `kind` or one of its bases.
    """
    for owner in kind.__mro__:
        held = vars(owner).get(name)
        if held is function:
            return _insisting(owner, function)
        if isinstance(held, staticmethod) and cast("Any", held).__func__ is function:
            return function
    return NOWHERE


def _insisting(owner: type, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, /, *args: Any, **options: Any) -> Any:
        if owner not in type(self).__mro__:  # `isinstance` may be told anything
            raise TypeError(f"{function.__qualname__} needs a {owner.__name__!r} object, not {type(self).__name__!r}.")
        return function(self, *args, **options)

    return method
