"""The builtins of a plan and its `type`, and the process set up for them."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import enum
import sys
import time
import types
import typing
from typing import Any, cast

from planact_server.sandbox.inside import attributes, classes, facades, foreign, library, timezones
from planact_server.sandbox.inside.attributes import (
    delattr_in_plan,
    dir_in_plan,
    getattr_in_plan,
    hasattr_in_plan,
    set_own_attribute,
    vars_in_plan,
)
from planact_server.sandbox.inside.sealed import Bound, Sealed

# ---- `type` ----------------------------------------------------------------------------------------------------------


class _TypeOfTypes(type):
    """Makes `type` in plans a class for isinstance() and a function of one argument, and never the real one."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        if len(args) != 1 or options:
            raise TypeError("type() takes one argument in a plan. Write a class statement to make a class.")
        found = attributes.kind_of(args[0])
        if issubclass(found, type):
            return PlanType
        if found is super:
            return PlanSuper
        return cast("Any", PlanAlias if issubclass(found, foreign.ALIASES) else found)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, type)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, type)

    def __repr__(cls) -> str:
        return "<class 'type'>"


class PlanType(metaclass=_TypeOfTypes):
    """`type`, as plans see it."""


PlanType.__name__ = PlanType.__qualname__ = "type"


class PlanAlias(metaclass=Sealed):
    """The class of `list[int]`, as plans see it.

    The real one makes an alias of anything. Called twice, that of a partial ends the process (CPython 3.11 to 3.13).
    """


PlanAlias.__name__ = PlanAlias.__qualname__ = "GenericAlias"


class PlanSuper(metaclass=Sealed):
    """The class of what `super()` gives, as plans see it."""


PlanSuper.__name__ = PlanSuper.__qualname__ = "super"


def super_in_plan(kind: Any, /, *target: Any) -> Any:
    """`super` with arguments. It looks into the bases of a class past the class itself, which keeps its methods."""
    if issubclass(attributes.kind_of(kind), Bound):
        raise attributes.PolicyError("super(kind, target) works on classes of your own and of Python in a plan.")
    return cast("Any", super)(kind, *target)


def class_name(target: Any) -> str:
    """`x.__class__.__name__`."""
    return PlanType.__name__ if isinstance(target, type) else type(target).__name__


# ---- builtins --------------------------------------------------------------------------------------------------------

_PLAIN_BUILTINS = str.split(
    "NotImplemented Ellipsis abs all any aiter anext ascii bin bool bytearray bytes callable "
    "chr classmethod complex dict divmod enumerate filter float format frozenset hash hex id int isinstance "
    "issubclass iter len list map max min next object oct ord pow property range repr reversed round set "
    "slice sorted staticmethod str sum super tuple zip"
)

_EXCEPTIONS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException) and not name.startswith("_")
}

UNAVAILABLE = {
    "open": "Plans have no files; use a connected tool: search_tools('read file').",
    "input": "Nobody can answer while a plan runs; end the plan with the question as its result.",
    "eval": "Write the expression, or use json.loads for data.",
    "exec": "Write the code in the plan.",
    "compile": "Write the code in the plan.",
    "globals": "Use the variables by name.",
    "locals": "Use the variables by name.",
    "breakpoint": "Use print().",
    "help": "Use describe('server.tool').",
    "exit": "Let the plan end, or raise an exception.",
    "quit": "Let the plan end, or raise an exception.",
    "memoryview": "Use bytes or bytearray.",
    "__import__": "Use an import statement.",
}
"""Builtins of Python that a plan does not have → what to do instead."""


def plan_builtins() -> dict[str, Any]:
    """A fresh builtins dictionary: what every plan has, tools and helpers aside."""
    plain = {name: getattr(builtins, name) for name in _PLAIN_BUILTINS if hasattr(builtins, name)}
    safe: dict[str, Any] = {
        "type": PlanType,
        "getattr": getattr_in_plan,
        "hasattr": hasattr_in_plan,
        "setattr": set_own_attribute,
        "delattr": delattr_in_plan,
        "vars": vars_in_plan,
        "dir": dir_in_plan,
        # Catching everything must not catch the interrupt that ends a plan.
        "BaseException": Exception,
        "__build_class__": classes.build_class,
        "__import__": _import_for_c,
    }
    return plain | _EXCEPTIONS | safe


_NEEDED_BY_C = frozenset(
    str.split("_strptime time datetime warnings unicodedata io collections.abc typing re json.decoder")
)


def _import_for_c(name: str, *_: object) -> Any:
    """C code (`strptime`) imports through the running frame's builtins. Plans cannot spell this function's name."""
    if name not in _NEEDED_BY_C:
        raise ImportError(f"No module named {name!r} in a plan.")
    return sys.modules[name]


# ---- preparing the process -------------------------------------------------------------------------------------------


def _guard_enum() -> None:
    meta: Any = enum.EnumMeta
    meta._create_ = classes.members(meta._create_)


class _SealedKinds(dict[type, Any]):
    """How `copy` treats each type; objects of the worker itself are left whole."""

    def get(self, kind: type, default: Any = None) -> Any:
        return _itself if kind.__module__.startswith("planact_server.") else super().get(kind, default)


def _itself(value: Any, _memo: object = None) -> Any:
    return value


def _seal_copies() -> None:
    """`deepcopy(print, memo)` would take the channel to the host apart and leave the pieces in the plan's `memo`."""
    for table in ("_copy_dispatch", "_deepcopy_dispatch"):
        setattr(copy, table, _SealedKinds(getattr(copy, table)))


def _name_annotations() -> None:
    """Annotations are kept as text; `dataclasses` finds ClassVar, InitVar and KW_ONLY in the module of that name."""
    module = types.ModuleType("__main__")
    for name in ("ClassVar", "InitVar", "KW_ONLY"):
        setattr(module, name, getattr(typing, name, None) or getattr(dataclasses, name))
    module.__dict__.update(typing=typing, dataclasses=dataclasses)
    sys.modules["__main__"] = module


def prepare() -> None:
    """Set this process up for plans. Called once, before the jail closes."""
    timezones.preload()
    library.insist_on_objects(sys.modules[name] for name in facades.MODULES)
    _guard_enum()
    _seal_copies()
    _name_annotations()
    for codec in ("utf-8", "utf-16", "utf-32", "latin-1", "ascii", "cp1252", "idna", "punycode", "utf-7"):
        "".encode(codec)
    time.strptime("2000", "%Y")
