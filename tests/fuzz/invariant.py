"""What must never reach a plan, and the walk that looks for it.

A value has reached a plan when its code holds it: as a result, as an argument of its hooks, as an exception, or by
reading on from there as a plan reads: attributes through the guard, items, iteration.
"""

from __future__ import annotations

import builtins
import collections
import io
import itertools
import operator
import sys
import types
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import attributes
from planact_server.sandbox.inside.interrupts import PlanStopped
from planact_server.sandbox.inside.language import PlanAlias, PlanSuper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fuzz.room import Room

_MACHINERY = (types.ModuleType, types.FrameType, types.CodeType, types.TracebackType, types.CellType)
_FILES = (io.IOBase,)
_PLAIN_FILES = (io.StringIO, io.BytesIO)
_REACHING: tuple[Any, ...] = (
    *(eval, exec, compile, open, __import__, input, globals, locals, breakpoint, getattr, setattr, delattr, hasattr),
    *(vars, dir, type, classmethod.__get__, str.format, str.format_map, operator.attrgetter),
    *(operator.methodcaller, sys._getframe, property.__init__, staticmethod.__init__, classmethod.__init__),
)
_WRAPPERS = (
    types.BuiltinMethodType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)
_REACHING_METHODS = frozenset(
    str.split(
        "__getattribute__ __setattr__ __delattr__ __get__ __set__ __delete__ __reduce__ __reduce_ex__ __setstate__ "
        "__getstate__ __subclasses__ __dir__ __instancecheck__ __subclasscheck__ __prepare__ mro with_traceback"
    )
)
_OURS = "planact_server."
_SCALARS = (type(None), bool, int, float, complex, str, bytes, bytearray, range, slice)
_CONTAINERS = (list, tuple, set, frozenset, collections.deque)
_EXTRA_NAMES = sorted(attributes.FORBIDDEN | attributes.WATCHED | attributes.MAGIC) + str.split(
    "__globals__ __closure__ __code__ __builtins__ __dict__ __class__ __self__ __func__ __wrapped__ __mro__ __bases__ "
    "__traceback__ __context__ __cause__ __module__ __loader__ __spec__ __defaults__ __kwdefaults__ __annotations__ "
    "__init_subclass__ __subclasses__ __origin__ __args__ _link _wire _loop _channel _coroutine _functions _read"
)
_MOST_ITEMS = 12
_MOST_OF_A_KIND = 4


class Invariant:
    """Looks at values in one room."""

    def __init__(self, room: Room) -> None:
        exposed = room.exposed()
        self._listed = {id(value) for value in exposed.values()} | {id(value) for value in room.names.values()}
        self._kept = list(exposed.values())
        methods = [value for value in exposed.values() if isinstance(value, types.MethodType)]
        self._methods = {(id(method.__func__), id(method.__self__)) for method in methods}
        self._kinds = set(_kinds_of_ours(exposed.values())) | set(_kinds_of_ours(made_by_the_worker(room)))
        # An `__exit__` gets the first, the others are what `type` gives for `list[int]` and for `super()`.
        self._kinds |= {PlanStopped, PlanAlias, PlanSuper}
        own = (room.session._builtins, room.session._globals)
        modules = [module for module in sys.modules.values() if isinstance(module, types.ModuleType)]
        self._namespaces = {id(names) for names in (*own, *map(vars, modules))}
        self._seen_kinds: collections.Counter[Any] = collections.Counter()

    def breaches(self, value: Any, path: str, depth: int = 3) -> Iterator[str]:
        """Say what is reached from a value that must not be, and how."""
        waiting = [(value, path, depth)]
        visited = 0
        while waiting and visited < 400:
            value, path, depth = waiting.pop()
            visited += 1
            reason = self._reason(value)
            if reason is not None:
                yield f"{path} is {reason}"
            elif depth and type(value) not in _SCALARS:
                waiting += [(inner, f"{path}{step}", depth - 1) for step, inner in self._onward(value)]

    def _reason(self, value: Any) -> str | None:
        """Say why a plan must not hold this, if it must not."""
        kind = type(value)
        if isinstance(value, _MACHINERY):
            return f"a {kind.__name__}"
        if issubclass(kind, dict) and id(value) in self._namespaces:
            return "the namespace of a module or of a session"
        if any(value is each for each in _REACHING):
            return f"Python's own {value.__name__!r}"
        if kind in (operator.attrgetter, operator.methodcaller):
            return f"Python's own {kind.__name__!r}"
        if isinstance(value, _FILES) and not isinstance(value, _PLAIN_FILES):
            return "a file"
        if isinstance(value, _WRAPPERS):
            return self._reason_of_wrapper(value)
        if isinstance(value, types.MethodType):
            return self._reason_of_method(value)
        if isinstance(value, type):
            own = _is_ours(value) and value not in self._kinds and not issubclass(value, Exception)
            return "an inner class" if own else None
        if isinstance(value, types.FunctionType):
            inner = _is_ours(value) and "<" not in value.__qualname__
            return f"an inner function: {value.__qualname__}" if inner and not self._is_known(value) else None
        if _is_ours(kind) and kind not in self._kinds and not isinstance(value, Exception):
            return f"an inner object: {kind.__qualname__}"
        return None

    def _reason_of_wrapper(self, value: Any) -> str | None:
        name = value.__name__
        if name in _REACHING_METHODS:
            return f"the method {value.__qualname__!r}"
        if name in ("format", "format_map") and isinstance(getattr(value, "__self__", None), str):
            template = value.__self__
            if type(template) is not str or not attributes._is_harmless(template):
                return "the format method of a text"
        return None

    def _reason_of_method(self, value: types.MethodType) -> str | None:
        owner = value.__self__
        if not _is_ours(type(owner)) or (id(value.__func__), id(owner)) in self._methods:
            return None
        public = not value.__name__.startswith("_") and type(owner) in self._kinds
        return None if public else f"an inner method: {value.__qualname__}"

    def _is_known(self, value: Any) -> bool:
        return (
            id(value) in self._listed
            or value in (attributes.setattr_in_plan, attributes._format_unbound)
            or (value is attributes._format_map_unbound)
        )

    # ---- reading on -------------------------------------------------------------------------------------------------

    def _onward(self, value: Any) -> Iterable[tuple[str, Any]]:
        yield from self._items(value)
        if self._is_new(value):
            yield from readable(value)

    def _is_new(self, value: Any) -> bool:
        """Classes, functions and facades differ one by one; of other kinds a few show what all have."""
        one_by_one = isinstance(value, type | types.FunctionType) or type(value).__name__ == "Module"
        key = id(value) if one_by_one else type(value)
        if one_by_one:
            self._kept.append(value)  # no id comes twice
        self._seen_kinds[key] += 1
        return self._seen_kinds[key] <= (1 if one_by_one else _MOST_OF_A_KIND)

    def _items(self, value: Any) -> Iterable[tuple[str, Any]]:
        kind = type(value)
        if isinstance(value, dict):
            for key, inner in itertools.islice(list(dict.items(value)), _MOST_ITEMS):
                yield ".key", key
                yield f"[{_short(key)}]", inner
        elif isinstance(value, _CONTAINERS):
            base = next(each for each in _CONTAINERS if isinstance(value, each))
            for number, inner in enumerate(itertools.islice(list(base.__iter__(value)), _MOST_ITEMS)):
                yield f"[{number}]", inner
        elif kind is types.MappingProxyType:
            spy = _Spy()
            _ = value == spy
            for inner in spy.seen:
                yield " == spy", _ClassNamespace if type(inner) is dict and "__module__" in inner else inner
        elif not isinstance(value, type) and hasattr(kind, "__next__") and kind not in attributes.plan_classes:
            for number in range(_MOST_ITEMS):
                try:
                    yield f".next{number}", next(value)
                except BaseException as error:  # noqa: BLE001 - whatever it raises, a plan would catch most
                    yield f".next{number}.raised", error
                    return


class _Spy:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        self.seen.append(other)
        return False


_ClassNamespace = vars(builtins)
"""Stands for the dict of a class."""


def readable(value: Any) -> Iterator[tuple[str, Any]]:
    """What `value.name` gives for every name that the guard lets pass."""
    try:
        names = dict.fromkeys([*dir(value), *_EXTRA_NAMES])
    except BaseException:  # noqa: BLE001 - a hook of the value itself
        names = dict.fromkeys(_EXTRA_NAMES)
    for name in names:
        if type(name) is not str or attributes.judge(name) == "forbidden":
            continue
        try:
            inner = attributes.guarded_getattr(value, name)
        except BaseException as error:  # noqa: BLE001 - a property of a class without its instance, a hook
            if not isinstance(error, AttributeError):
                yield f".{name}.raised", error
            continue
        yield f".{name}", inner


def _is_ours(value: Any) -> bool:
    """A plan may give any object to a class as its module (`Enum("E", "a", module=...)`)."""
    module = value.__module__
    return type(module) is str and module.startswith(_OURS)


def _kinds_of_ours(values: Iterable[Any]) -> Iterator[type]:
    for value in values:
        kind = value if isinstance(value, type) else type(value)
        if _is_ours(kind):
            yield kind


def made_by_the_worker(room: Room) -> list[Any]:
    """One object of each kind that plans get and cannot make."""
    room.define(
        "import asyncio, functools, operator\n"
        "made = [*image(1), echo.later(1), asyncio.get_event_loop(), asyncio.timeout(1), asyncio.Future(),\n"
        "        asyncio.create_task(asyncio.sleep(0)), '{0._x}'.format, asyncio, todo_fuzz, echo, demo, call_tool,\n"
        "        ask_model, asyncio.Queue(), asyncio.Event(), asyncio.Lock(), asyncio.TaskGroup(), asyncio.gather(),\n"
        "        ToolError('x')]"
    )
    made: list[Any] = room.session._globals.pop("made")
    return made


def _short(value: Any) -> str:
    return repr(value)[:30] if type(value) in _SCALARS else type(value).__name__
