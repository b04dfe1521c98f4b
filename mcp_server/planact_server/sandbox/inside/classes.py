"""The classes that plans make: what they may inherit, and which fields they may have.

Python reads some attributes without asking the guard: `case Point(a, b)` those named in `__match_args__`,
`dataclasses.asdict` and the methods of a dataclass those named by its fields. That is well where the name leads to a
plan's own data. It must not lead to anything else, at no moment: a plan's `__init_subclass__` runs before its class
statement is over, so a new class is taken in before that.
"""

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import itertools
import keyword
import types
import typing
from typing import TYPE_CHECKING, Any, cast

from planact_server.sandbox.inside import attributes
from planact_server.sandbox.inside.attributes import judge, kind_of, plan_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_NEVER_INHERITED = (
    BaseExceptionGroup,  # one with a method `split` of its own confuses `except*` in CPython 3.11 and 3.12
    super,  # it reads as if it were another object
    dataclasses.Field,  # its `name` becomes source code that `dataclass` executes
    type,
)
_MADE_BY_PLANS = (Exception, tuple, dict, enum.Enum)
"""Plans make classes of these without a class statement, or get them to see without a name."""

_CLASS_VARIABLE: Any = getattr(dataclasses, "_FIELD_CLASSVAR")  # noqa: B009 - private, and known to no stub


def build_class(body: Any, name: str, /, *bases: Any, **options: Any) -> Any:
    """What a `class` statement calls."""
    # A text of a plan's own class may say one name now and another one later.
    if any(type(option) is not str or option == "metaclass" for option in options):
        raise TypeError("metaclass= is not available in a plan.")
    # What really becomes a base: `Generic[T]` and `Annotated[T, ...]` stand for other classes.
    true_bases = types.resolve_bases(bases)
    for base in true_bases:
        check_base(base)
    _check_inherited_fields(cast("tuple[type, ...]", true_bases))
    made = builtins.__build_class__(body, name, *bases, **options)
    if isinstance(made, type):
        adopt(made)
    return made


_offered: set[Any] = set(types.resolve_bases(cast("Any", (typing.NamedTuple, typing.TypedDict))))


def offer(values: Iterable[Any]) -> None:
    """Let plans inherit from what they know by name.

    Whatever else `type(x)` shows them stays out: many of those classes pass questions on to other objects.
    """
    _offered.update(value for value in values if isinstance(value, type))


def check_base(base: Any) -> None:
    """Raise TypeError for what a class of a plan may not inherit from."""
    if not isinstance(base, type):
        raise TypeError(f"A class in a plan cannot inherit from {base!r}.")
    if base in plan_classes:
        return
    ours = base.__module__.startswith("planact_server.") and not issubclass(base, Exception)
    known = base in _offered or issubclass(base, _MADE_BY_PLANS)
    if ours or issubclass(base, _NEVER_INHERITED) or not known:
        raise TypeError(f"A class in a plan cannot inherit from {base!r}.")


def adopt(made: type) -> None:
    """Take a new class in among the plan's own.

    Its positional patterns are well on true instances; an abstract class or a protocol may claim any object
    (`register`), so it keeps the plain names only.
    """
    for base in made.__bases__:  # once more: what an alias stands for could have changed
        check_base(base)
    plan_classes.add(made)
    names: tuple[str, ...] = getattr(made, "__match_args__", ())
    if _claims_others(made) and not _are_plain(names):
        cast("Any", made).__match_args__ = tuple(itertools.takewhile(_is_plain, names))
    hook = vars(made).get("__init_subclass__")
    if hook is not None and hook not in _early_hooks:
        early = _after_adoption(hook)
        _early_hooks.add(early)
        cast("Any", made).__init_subclass__ = early


_early_hooks: set[Any] = set()


def _after_adoption(hook: Any) -> Any:
    """A plan's `__init_subclass__`, which sees the new class once it is taken in."""

    def __init_subclass__(cls: type, /, **options: Any) -> None:  # noqa: N807 - the name that a plan reads
        if attributes.target_is_plan_class(cls):
            adopt(cls)
        hook.__get__(None, cls)(**options)

    return classmethod(cast("Any", __init_subclass__))


def dataclass(cls: type | None = None, /, **options: Any) -> Any:
    """`dataclasses.dataclass` for classes of plans."""

    def decorate(plain: Any) -> type:
        return _as_dataclass(plain, options)

    return decorate if cls is None else decorate(cls)


def _as_dataclass(plain: Any, options: dict[str, Any]) -> type:
    if not _is_own(plain):
        raise TypeError("@dataclass works on classes of your own.")
    names = tuple(plain.__annotations__)
    for name in names:
        # They become source code. Those of a TypedDict may be any text.
        if type(name) is not str or not name.isidentifier() or keyword.iskeyword(name):
            raise TypeError(f"{name!r} cannot name a field.")
        if not attributes.is_ordinary_name(name):
            raise TypeError(f"{name!r} cannot name a field in a plan.")
        if _is_shared(getattr(plain, name, None), name):
            raise TypeError(f"The field {name!r} is a field of another class. Call field() for each.")
    _check_names(names, plain.__mro__)
    _document(plain, names)
    made = cast("type", dataclasses.dataclass(**{**options, "match_args": False})(plain))
    if options.get("match_args", True) and "__match_args__" not in vars(made):
        fields: dict[str, Any] = cast("Any", made).__dataclass_fields__
        cast("Any", made).__match_args__ = tuple(
            name
            for name, field in fields.items()
            if field.init and not field.kw_only and field._field_type is not _CLASS_VARIABLE  # noqa: SLF001
        )
    adopt(made)  # slots=True makes a new class
    return made


def _is_shared(value: Any, name: str) -> bool:
    """Say whether it is a field of another class by another name: it would take this name there too, unseen."""
    return isinstance(value, dataclasses.Field) and cast("Any", value).name not in (None, name)


def _document(plain: Any, names: Iterable[str]) -> None:
    """Describe a class that does not do so itself.

    `dataclass` would ask `inspect.signature`, which evaluates names of modules in the documentation of a base class.
    """
    if not plain.__doc__:
        plain.__doc__ = f"{plain.__name__}({', '.join(names)})"


def total_ordering(cls: Any) -> Any:
    """`functools.total_ordering` for classes of plans."""
    if not _is_own(cls):
        raise TypeError("@total_ordering works on classes of your own.")
    return functools.total_ordering(cls)


def _is_own(value: Any) -> bool:
    return isinstance(value, type) and value in plan_classes


def _check_inherited_fields(bases: Sequence[type]) -> None:
    """Raise TypeError where the fields of one base would read what another keeps back."""
    patterns = [name for base in bases for name in getattr(base, "__match_args__", ())]
    if any(map(_claims_others, bases)) and not _are_plain(patterns):
        raise TypeError(
            f"A class that other classes may register with cannot inherit the fields {_kept_back(patterns)}."
            " Hold an object that has them instead."
        )
    fields = [name for base in bases for name in getattr(base, "__dataclass_fields__", ())]
    _check_names([*patterns, *fields], [parent for base in bases for parent in base.__mro__])


def _check_names(names: Iterable[str], parents: Iterable[type]) -> None:
    """Raise TypeError where a field bears the name of something that a library's class keeps back."""
    library = [parent for parent in parents if parent not in plan_classes]
    for name in names:
        if not name.startswith("_") and not _is_plain(name) and any(name in vars(parent) for parent in library):
            raise TypeError(f"The field {name!r} would hide a method of the same name. Choose another name.")


def _claims_others(kind: type) -> bool:
    """True for a class that `isinstance` asks, instead of looking at the object."""
    return cast("Any", kind_of(kind)).__instancecheck__ is not cast("Any", type).__instancecheck__


def _is_plain(name: str) -> bool:
    return judge(name) == "plain"


def _are_plain(names: Iterable[str]) -> bool:
    return all(map(_is_plain, names))


def _kept_back(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names if not _is_plain(name))


def members(original: Callable[..., Any]) -> Callable[..., Any]:
    """`Enum("E", names)` makes a class without a class statement: its names and its base pass the same checks."""

    def create(cls: type, class_name: str, names: Any, **options: Any) -> Any:
        if options.get("type") is not None:
            check_base(options["type"])
            _check_inherited_fields((options["type"], cls))
        return original(cls, class_name, attributes.enum_members(names), **options)

    return create
