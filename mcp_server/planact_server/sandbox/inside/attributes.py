"""Which attributes a plan may read and write: the static verdict and the guards that run.

A plain public name compiles to a plain attribute access, at CPython's speed. That is safe as long as no object that a
plan can reach has a public attribute of that name that leads to a module, a frame, a code object, a traceback or the
globals of a function. The public names that do lead there belong to frames, tracebacks, generators, coroutines and code
objects (`FORBIDDEN`), or are the few in `WATCHED`; `tests/fuzz` calls everything that is exposed and checks this
mechanically. Every name that begins with an underscore goes through `guarded_getattr`.
"""

from __future__ import annotations

import calendar
import decimal
import functools
import re
import string
import textwrap
import types
from collections.abc import Mapping
from enum import EnumMeta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from planact_server.sandbox.inside import foreign, formatting, sealed
from planact_server.sandbox.inside.sealed import Sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

Verdict: TypeAlias = Literal["plain", "guarded", "forbidden"]

_INSPECTED = (
    types.FrameType,
    types.TracebackType,
    types.CodeType,
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
)
_INSPECTING_PREFIXES = ("f_", "tb_", "co_", "gi_", "cr_", "ag_")
FORBIDDEN = frozenset(name for kind in _INSPECTED for name in dir(kind) if name.startswith(_INSPECTING_PREFIXES)) | {
    "mro",
    "with_traceback",
    "f_generator",
    "gi_suspended",
    "cr_suspended",
    "ag_suspended",
    "co_exceptiontable",
}

WATCHED = frozenset({"format", "format_map", "obj", "groupindex"})
"""Public names that are harmless on most objects; `str.format` reads attributes, `AttributeError.obj` may be ours, and
comparing the `groupindex` of a pattern, which the library's code uses too, would hand out the dict behind it."""

MAGIC = frozenset(
    str.split(
        "__init__ __new__ __post_init__ __repr__ __str__ __format__ __bytes__ __hash__ __bool__ __len__ "
        "__length_hint__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __contains__ __iter__ __next__ __reversed__ "
        "__getitem__ __setitem__ __delitem__ __missing__ __call__ __enter__ __exit__ __aenter__ __aexit__ "
        "__aiter__ __anext__ __await__ __add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ "
        "__imul__ __truediv__ __rtruediv__ __itruediv__ __floordiv__ __rfloordiv__ __ifloordiv__ __mod__ __rmod__ "
        "__imod__ __divmod__ __rdivmod__ __pow__ __rpow__ __ipow__ __matmul__ __rmatmul__ __imatmul__ __and__ "
        "__rand__ __iand__ __or__ __ror__ __ior__ __xor__ __rxor__ __ixor__ __lshift__ __rlshift__ __ilshift__ "
        "__rshift__ __rrshift__ __irshift__ __neg__ __pos__ __abs__ __invert__ __int__ __float__ __complex__ "
        "__index__ __round__ __trunc__ __floor__ __ceil__ __copy__ __deepcopy__ __init_subclass__ "
        "__class_getitem__ __fspath__"
    )
)
"""Methods that a class in a plan may define, and call on `super()` or on a base class."""

_ENUM_HOOKS = frozenset({"_missing_", "_generate_next_value_", "_ignore_"})
_NAMED_TUPLE = frozenset({"_asdict", "_replace", "_make", "_fields", "_field_defaults"})
_NAMES = frozenset({"__name__", "__qualname__", "__doc__"})
_EXCEPTION = frozenset({"__cause__", "__context__", "__notes__", "__suppress_context__"})
_PRIVATE = re.compile(r"_+\Z|__?[^\W_](\w*[^\W_])?\Z")
"""`_name` and `__name` are data of the plan; `_name_` and `__name__` belong to Python and to libraries."""

LONGEST_NAME = 400
"""Characters of a name in a plan: the host takes `server.tool` of 1,000."""

_OURS = "planact_server."
PLAN_MODULE = "__main__"
_SELF = cast("Any", super).__self__  # what super() stands for
_MADE_ONCE: tuple[Any, ...] = (property, staticmethod, classmethod, functools.cached_property, super)
"""Their `__init__`, called once more, would change what a library keeps."""
_MODULES_OF_MADE_ONCE = frozenset({"typing", "dataclasses", "functools"})
_NEVER = (types.ModuleType, types.FrameType, types.CodeType, types.TracebackType)
_WRITABLE = (BaseException, decimal.Context, textwrap.TextWrapper, calendar.Calendar)

plan_classes: set[type] = set()
"""Classes that plans have made (`classes.adopt`): their instances hold nothing but a plan's own data."""


def kind_of(value: object) -> type:
    """`type(value)`, with a type that checkers know."""
    return type(value)


_private_names: set[str] = set()
"""Names like `_x` that were read before: on a plan's own objects they need no second look."""


class PolicyError(AttributeError):
    """The language policy says no, whatever the object has."""


def judge(name: str) -> Verdict:
    """Say how an attribute access spelled `.name` is compiled."""
    if name.startswith("_"):
        readable = name in MAGIC or name in _NAMES or name in _EXCEPTION or name in _ENUM_HOOKS
        readable = readable or name in _NAMED_TUPLE or name in {"__members__", "__setattr__"}
        return "guarded" if readable or _PRIVATE.match(name) else "forbidden"
    if name in FORBIDDEN:
        return "forbidden"
    return "guarded" if name in WATCHED else "plain"


def is_ordinary_name(name: str) -> bool:
    """True for a variable, parameter or attribute name that a plan may choose."""
    return not name.startswith("_") or bool(_PRIVATE.match(name))


def is_method_name(name: str) -> bool:
    """True for a name that a class body may define."""
    return is_ordinary_name(name) or name in MAGIC or name in _ENUM_HOOKS


def guarded_getattr(target: Any, name: str) -> Any:
    """What `target.name` becomes where the name alone does not settle it, and what `getattr` does."""
    if name in _private_names and type(target) in plan_classes:
        return getattr(target, name)
    verdict = judge(name)
    if verdict == "plain":
        return getattr(target, name)
    if verdict == "forbidden":
        raise PolicyError(f"Attribute {name!r} is not available in a plan.")
    if not name.startswith("_"):
        return _watched(target, name)
    if _PRIVATE.match(name):
        _private_names.add(name)
    if not _may_read_private(target, name):
        raise PolicyError(f"Attribute {name!r} of {_kind(target)} is not available in a plan.")
    if name == "__setattr__":
        return setattr_in_plan
    value = getattr(target, name)
    is_refused = issubclass(kind_of(value), _NEVER) or (name == "__init__" and _is_made_once(target, value))
    if name in MAGIC and kind_of(value) is types.FunctionType and not foreign.is_of_plan(value):
        value = foreign.insisting(_described(target), name, value)
    if is_refused or value is foreign.NOWHERE:
        raise PolicyError(f"Attribute {name!r} of {_kind(target)} is not available in a plan.")
    if name == "__members__":  # comparing it would hand out the dict behind it
        return types.MappingProxyType(dict(value))
    return str(value) if name in {"__name__", "__qualname__"} else value


def writable(target: Any) -> Any:
    """Return the object whose attribute is about to be set or deleted, if a plan may do that."""
    kind = kind_of(target)
    if _is_own_kind(kind) or target_is_plan_class(target):
        return target
    if kind is types.FunctionType:
        if is_plan_function(target):
            return target
    elif isinstance(target, _WRITABLE) and not kind.__module__.startswith(_OURS):
        return target
    hint = "Make a class or a dict of your own to hold the value."
    raise AttributeError(f"Attributes of {_kind(target)} cannot be set in a plan. {hint}")


def is_plan_function(value: Any) -> bool:
    return type(value) is types.FunctionType and value.__module__ == PLAN_MODULE


def _is_own_kind(kind: type) -> bool:
    # The members of an Enum are made before its class statement is over.
    return kind in plan_classes or (isinstance(kind, EnumMeta) and kind.__module__ == PLAN_MODULE)


def target_is_plan_class(target: Any) -> bool:
    # By its bases too: in `__init_subclass__` a class is not ours yet.
    return isinstance(target, type) and not plan_classes.isdisjoint(target.__mro__)


def _may_read_private(target: Any, name: str) -> bool:
    kind = kind_of(target)
    if kind is super:
        return _may_read_private(_SELF.__get__(target), name)
    if _is_own_kind(kind) or target_is_plan_class(target):
        return True
    if issubclass(kind, foreign.ALIASES):
        return name in _NAMES
    is_class = isinstance(target, type)
    described: Any = target if is_class else kind
    if name in _NAMES:
        return is_class or callable(target) or described.__module__.startswith(_OURS)
    if described.__module__.startswith(_OURS):
        return False
    if name in _EXCEPTION:
        return isinstance(target, BaseException)
    if name in _NAMED_TUPLE:
        return issubclass(described, tuple)
    if name == "__members__":
        return isinstance(target, EnumMeta)
    if name == "__setattr__":
        return target is object
    return name in MAGIC


def _described(target: Any) -> type:
    """The class that has the attributes of an object, of a class, or of what `super()` stands for."""
    seen = _SELF.__get__(target) if kind_of(target) is super else target
    return seen if isinstance(seen, type) else kind_of(seen)


def _is_made_once(target: Any, value: Any) -> bool:
    kind = kind_of(target)
    is_one = kind is not super and issubclass(kind, _MADE_ONCE) and not _is_own_kind(kind)
    is_written = kind_of(value) is types.FunctionType and value.__module__ in _MODULES_OF_MADE_ONCE
    return is_one or is_written or any(value is each.__init__ for each in _MADE_ONCE)


def _watched(target: Any, name: str) -> Any:
    if name == "obj":
        if issubclass(_described(target), (BaseException, *foreign.FORWARDING)):
            raise PolicyError("Attribute 'obj' of an exception is not available in a plan.")
        return getattr(target, name)
    value = getattr(target, name)
    if name == "groupindex":
        return types.MappingProxyType(dict(value)) if kind_of(value) is types.MappingProxyType else value
    if value is str.format:
        return _format_unbound
    if value is str.format_map:
        return _format_map_unbound
    if isinstance(value, types.BuiltinMethodType) and isinstance(value.__self__, str):
        return sealed.make(_Format, value.__self__, mapping=name == "format_map")
    return value


def _kind(target: Any) -> str:
    if isinstance(target, type):
        return f"class {target.__name__!r}"
    kind = kind_of(target)
    return f"{kind.__name__!r} objects"


# ---- the builtins that take attribute names -------------------------------------------------------------------------

_MISSING: Any = object()


def getattr_in_plan(target: Any, name: str, default: Any = _MISSING, /) -> Any:
    """`getattr`, with the plan's rules. A forbidden name raises even where a default is given."""
    try:
        return guarded_getattr(target, _checked(name))
    except PolicyError:
        raise
    except AttributeError:
        if default is _MISSING:
            raise
        return default


def hasattr_in_plan(target: Any, name: str, /) -> bool:
    try:
        guarded_getattr(target, _checked(name))
    except AttributeError:
        return False
    return True


def setattr_in_plan(target: Any, name: str, value: Any, /) -> None:
    if not is_ordinary_name(_checked(name)) or name in FORBIDDEN:
        raise PolicyError(f"Attribute {name!r} cannot be set in a plan.")
    # object's own: a frozen dataclass sets its fields this way.
    put = object.__setattr__ if type(target) in plan_classes else setattr
    put(writable(target), name, value)


def set_own_attribute(target: Any, name: str, value: Any, /) -> None:
    """The builtin `setattr`: honours a frozen class."""
    if not is_ordinary_name(_checked(name)) or name in FORBIDDEN:
        raise PolicyError(f"Attribute {name!r} cannot be set in a plan.")
    setattr(writable(target), name, value)


def delattr_in_plan(target: Any, name: str, /) -> None:
    if not is_ordinary_name(_checked(name)) or name in FORBIDDEN:
        raise PolicyError(f"Attribute {name!r} cannot be deleted in a plan.")
    delattr(writable(target), name)


def vars_in_plan(target: Any, /) -> dict[str, Any]:
    """`vars` of a plan's own object, as a copy."""
    if type(target) not in plan_classes:
        raise TypeError(f"vars() works on instances of your own classes, not on {_kind(target)}.")
    return dict(getattr(target, "__dict__", {}))


def dir_in_plan(target: Any, /) -> list[str]:
    return [name for name in dir(target) if not name.startswith("_") and name not in FORBIDDEN]


def _checked(name: object) -> str:
    if type(name) is not str:
        raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")
    return name


# ---- str.format -----------------------------------------------------------------------------------------------------


class _PlanFormatter(string.Formatter):
    """`str.format` whose field names read attributes through the guard. For one use: it counts."""

    def __init__(self) -> None:
        self._numbers = formatting.Numbers()

    def parse(self, format_string: Any) -> Any:
        # The library's own numbering knows `{}` alone, not `{.name}` and `{[0]}`.
        for literal, field, spec, conversion in super().parse(format_string):
            yield literal, None if field is None else self._numbers.numbered(field), spec, conversion

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        first, rest = formatting.steps(field_name)
        value = self.get_value(first, args, kwargs)
        for is_attribute, key in rest:
            value = guarded_getattr(value, str(key)) if is_attribute else value[key]
        return value, first


@functools.lru_cache(maxsize=512)
def _is_harmless(template: str) -> bool:
    """True where `str.format` itself is safe: every attribute that it would read is a plain one."""
    names = formatting.attributes_read(template)
    return names is not None and all(judge(name) == "plain" for name in names)


def format_of(target: Any) -> Any:
    """`target.format`."""
    if type(target) is str and _is_harmless(target):
        return target.format
    return guarded_getattr(target, "format")


class _Format(metaclass=Sealed):
    """A bound `format` or `format_map` of one string."""

    __slots__ = ("_mapping", "_template")

    def __init__(self, template: str, *, mapping: bool) -> None:
        self._template = str.__str__(template)
        self._mapping = mapping

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        if _is_harmless(self._template):
            native = self._template.format_map if self._mapping else self._template.format
            return native(*args, **kwargs)
        if self._mapping:
            return _PlanFormatter().vformat(self._template, (), *args, **kwargs)
        return _PlanFormatter().vformat(self._template, args, kwargs)


def _format_unbound(template: str, /, *args: Any, **kwargs: Any) -> str:
    return sealed.make(_Format, template, mapping=False)(*args, **kwargs)


def _format_map_unbound(template: str, mapping: Any, /) -> str:
    return sealed.make(_Format, template, mapping=True)(mapping)


sealed.as_called({"format": _format_unbound, "format_map": _format_map_unbound})


def enum_members(names: Any) -> list[str | tuple[str, Any]]:
    """Refuse member names that would become methods of the class (`Enum("E", [("__reduce__", f)])`).

    Returns them as they were checked: a plan's own sequence or text might say something else when asked again.
    """
    if isinstance(names, str):
        return [_member(name) for name in str.__str__(names).replace(",", " ").split()]
    entries: Any = cast("Any", names).items() if isinstance(names, Mapping) else names
    return [_member(entry) if isinstance(entry, str) else _member_pair(*entry) for entry in entries]


def _member_pair(name: Any, value: Any) -> tuple[str, Any]:
    return _member(name), value


def _member(name: Any) -> str:
    plain = str.__str__(name) if isinstance(name, str) else ""
    if not plain or not is_ordinary_name(plain):
        raise PolicyError(f"{name!r} cannot name an Enum member in a plan.")
    return plain
