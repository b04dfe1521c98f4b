"""A session as it is now, so that what a plan does to it can be taken back.

Nothing is copied deeply. Of every object that can change, what it holds directly is noted, and going back puts that
in again: objects stay the same objects, so whoever shared one still shares it. What hides its state (a generator, a
hash in progress) stays as the plan left it, and is named.
"""

# A session's values may be anything; what their contents are is unknown, which is the truth.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

import abc
import collections
import datetime as dt
import decimal
import fractions
import functools
import io
import itertools
import random
import re
import types
import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any, TypeAlias

from planact_server.sandbox.inside import attributes, handles
from planact_server.sandbox.inside.attributes import kind_of
from planact_server.sandbox.inside.facades import Module
from planact_server.sandbox.inside.tools import AskModel, CallTool, Placeholder, Server, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_OBJECTS = 2_000_000
"""Looking at more than so many would take longer than the host waits."""

MOST_NAMED = 50

_Put: TypeAlias = "Callable[[Any, Any], None]"
_Part: TypeAlias = "tuple[Callable[[Any], Any], _Put | None, Callable[[Any], Iterable[Any]]]"
"""How one part of an object is read, how it is put back if it ever changes, and what it leads to."""

_FIXED: frozenset[type] = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, range, slice, type(...), type(NotImplemented)),
        *(dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone, zoneinfo.ZoneInfo),
        *(decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern, re.Match),
        *(types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType),
        *(types.MemberDescriptorType, types.GetSetDescriptorType, types.MethodWrapperType, types.CodeType),
        *(types.ClassMethodDescriptorType, types.GenericAlias, types.UnionType, types.MappingProxyType),
        *(kind_of(collections.namedtuple("_Pair", "a").a), kind_of(vars(abc.ABC)["_abc_impl"])),  # type: ignore[attr-defined]
        *(Module, Tool, Server, CallTool, AskModel, Placeholder, handles.Handle, handles.LargeText),
    }
)
"""Kinds whose objects stay as they are, and hold nothing that does not."""

_MISSING: Any = object()


class TooLargeError(Exception):
    """The session holds more objects than can be looked at."""


class Checkpoint:
    """What a session's variables held."""

    def __init__(self, names: dict[str, Any]) -> None:
        """Note everything that can be reached from `names`. Raises TooLargeError or MemoryError."""
        self.unsettled: list[str] = []
        """Names that hold something whose state cannot be put back; the first `MOST_NAMED` of them."""

        self._names = names
        self._saved = dict(names)
        self._random = random.getstate()
        self._decimal = decimal.getcontext().copy()
        self._notes: list[tuple[_Put, Any, Any]] = []
        self._seen: set[int] = {id(names)}
        for name, value in self._saved.items():
            # `__builtins__` and its like are ours.
            if not name.startswith("__") and not self._note(value) and len(self.unsettled) < MOST_NAMED:
                self.unsettled.append(name)

    def restore(self) -> None:
        """Put everything back. May be done more than once; runs a plan's `__hash__`, which may raise anything."""
        for put, target, content in self._notes:
            put(target, content)
        _put_dict(self._names, self._saved)
        random.setstate(self._random)
        decimal.setcontext(self._decimal.copy())

    def _note(self, value: Any) -> bool:
        """Note a value and all that it leads to. False when some of that hides its state."""
        settled = True
        waiting = [value]
        while waiting:
            target = waiting.pop()
            kind = kind_of(target)
            if kind in _FIXED or id(target) in self._seen:
                continue
            if len(self._seen) >= MOST_OBJECTS:
                raise TooLargeError
            # The notes keep every object alive that has one, and with it the rest: no id comes twice.
            self._seen.add(id(target))
            parts = _parts(target, kind, self._names)
            if parts is None:
                settled = False
                continue
            for read, put, held in parts:
                content = read(target)
                if content is _MISSING:
                    continue
                if put is not None:
                    self._notes.append((put, target, content))
                waiting.extend(each for each in held(content) if kind_of(each) not in _FIXED)
        return settled


def _parts(target: Any, kind: type, names: dict[str, Any]) -> list[_Part] | None:
    """Return how to read, put back and look into each part of an object; None for one that hides its state."""
    if kind is types.FunctionType:
        return [_DICT_OF_OBJECT, _FUNCTION] if target.__globals__ is names else []
    if issubclass(kind, type):
        return [_CLASS] if attributes.target_is_plan_class(target) else []
    if kind.__module__ == "typing":
        return []
    found = [_BY_BASE[base] for base in kind.__mro__ if base in _BY_BASE][:1]
    is_plain = kind in attributes.plan_classes or kind in _WITH_DICT or BaseException in kind.__mro__
    if is_plain:
        found.append(_DICT_OF_OBJECT)
        found += [
            _slot(member)
            for base in kind.__mro__
            if base in attributes.plan_classes
            for member in vars(base).values()
            if kind_of(member) is types.MemberDescriptorType
        ]
    return found if is_plain or kind in _BY_BASE else None


# ---- what is put back ------------------------------------------------------------------------------------------------


def _put_list(target: Any, content: Any) -> None:
    list.__setitem__(target, slice(None), content)


def _put_dict(target: Any, content: Any) -> None:
    dict.clear(target)
    dict.update(target, content)


def _put_default(target: Any, content: Any) -> None:
    held, target.default_factory = content
    _put_dict(target, held)


def _put_ordered(target: Any, content: Any) -> None:
    collections.OrderedDict.clear(target)
    for key, value in content:
        collections.OrderedDict.__setitem__(target, key, value)


def _put_set(target: Any, content: Any) -> None:
    set.clear(target)
    set.update(target, content)


def _put_deque(target: Any, content: Any) -> None:
    collections.deque.clear(target)
    collections.deque.extend(target, content)


def _put_bytes(target: Any, content: Any) -> None:
    bytearray.__setitem__(target, slice(None), content)


def _buffer(kind: Any) -> Any:
    """A `StringIO` or `BytesIO`: its content and where it is read."""

    def read(target: Any) -> Any:
        try:
            return kind.getvalue(target), kind.tell(target)
        except ValueError:  # closed, and never open again
            return _MISSING

    def put(target: Any, content: Any) -> None:
        text, position = content
        kind.seek(target, 0)
        kind.truncate(target)
        kind.write(target, text)
        kind.seek(target, position)

    return read, put, _nothing


def _instance_dict(target: Any) -> Any:
    try:
        return dict.copy(object.__getattribute__(target, "__dict__"))
    except AttributeError:  # a class with slots
        return _MISSING


def _put_instance_dict(target: Any, content: Any) -> None:
    _put_dict(object.__getattribute__(target, "__dict__"), content)


def _class_content(target: Any) -> Any:
    return dict(type.__getattribute__(target, "__dict__"))


def _class_held(content: Any) -> Iterator[Any]:
    """What a class holds; of the names that Python gives it only the functions."""
    for name, value in content.items():
        if not name.startswith("__") or kind_of(value) is types.FunctionType:
            yield value


def _put_class(target: Any, content: Any) -> None:
    now = _class_content(target)
    for name in now.keys() - content.keys():
        type.__delattr__(target, name)
    for name, value in content.items():
        if now.get(name, _MISSING) is not value:
            type.__setattr__(target, name, value)


def _function_content(target: Any) -> Any:
    cells = tuple((cell, _cell_content(cell)) for cell in target.__closure__ or ())
    return cells, target.__defaults__, target.__kwdefaults__


def _function_held(content: Any) -> Iterator[Any]:
    cells, defaults, keywords = content
    yield from (value for _, value in cells if value is not _MISSING)
    yield from defaults or ()
    yield from (keywords or {}).values()


def _put_function(target: Any, content: Any) -> None:
    cells, target.__defaults__, target.__kwdefaults__ = content
    for cell, value in cells:
        if value is not _MISSING:
            cell.cell_contents = value
        elif _cell_content(cell) is not _MISSING:
            del cell.cell_contents


def _cell_content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return _MISSING


def _slot(member: Any) -> Any:
    def read(target: Any) -> Any:
        try:
            return (member.__get__(target, kind_of(target)),)
        except AttributeError:
            return ()

    def put(target: Any, content: Any) -> None:
        if content:
            member.__set__(target, content[0])
        elif read(target):
            member.__delete__(target)

    return read, put, _items


def _items(content: Any) -> Any:
    return content


def _keys_and_values(content: Any) -> Any:
    return itertools.chain(dict.keys(content), dict.values(content))


def _nothing(_: Any) -> tuple[()]:
    return ()


_DICT_OF_OBJECT: Any = (_instance_dict, _put_instance_dict, _keys_and_values)
_CLASS: Any = (_class_content, _put_class, _class_held)
_FUNCTION: Any = (_function_content, _put_function, _function_held)

_BY_BASE: dict[type, Any] = {
    collections.OrderedDict: (
        lambda target: list(collections.OrderedDict.items(target)),
        _put_ordered,
        lambda content: (part for pair in content for part in pair),
    ),
    collections.defaultdict: (
        lambda target: (dict.copy(target), target.default_factory),
        _put_default,
        lambda content: (*_keys_and_values(content[0]), content[1]),
    ),
    list: (lambda target: list.__getitem__(target, slice(None)), _put_list, _items),
    dict: (dict.copy, _put_dict, _keys_and_values),
    set: (set.copy, _put_set, set.__iter__),
    collections.deque: (lambda target: list(collections.deque.__iter__(target)), _put_deque, _items),
    bytearray: (lambda target: bytearray.__getitem__(target, slice(None)), _put_bytes, _nothing),
    io.StringIO: _buffer(io.StringIO),
    io.BytesIO: _buffer(io.BytesIO),
    random.Random: (random.Random.getstate, random.Random.setstate, _nothing),
    # From here on objects that stay as they are, and only lead to others.
    tuple: (tuple.__iter__, None, _items),
    frozenset: (frozenset.__iter__, None, _items),
    types.MethodType: (lambda target: (target.__self__, target.__func__), None, _items),
    functools.partial: (lambda target: (target.func, target.args, target.keywords), None, _items),
    property: (lambda target: (target.fget, target.fset, target.fdel), None, _items),
    classmethod: (lambda target: (target.__func__,), None, _items),
    staticmethod: (lambda target: (target.__func__,), None, _items),
    BaseException: (lambda target: (target.args, target.__cause__, target.__context__), None, _items),
}
_WITH_DICT = frozenset({collections.Counter, collections.ChainMap, collections.UserDict, collections.UserList})
"""Library classes in Python whose objects hold their state in `__dict__`, beside what a base class holds."""
