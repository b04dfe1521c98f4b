"""Calls everything that is exposed with hostile arguments, and looks at whatever comes of it."""

from __future__ import annotations

import collections
import inspect
import itertools
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fuzz.child import say_where
from fuzz.hostile import Hostile
from fuzz.invariant import Invariant, readable
from planact_server.sandbox.inside import attributes, tools
from planact_server.sandbox.inside.interrupts import PlanStopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fuzz.room import Room

_CALL_SECONDS = 0.5
_MOST_OPERATORS = 10
_IN_C = (types.MethodWrapperType, types.WrapperDescriptorType, types.BuiltinMethodType, types.MethodDescriptorType)
_MOST_FINDINGS = 5
_MOST_TARGETS = 6000

_LEFT_OUT = {
    "SystemExit": "ends this process where it is raised by chance",
}
"""Names that are not called, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Names of hostile values."""

    positional: Sequence[str]
    keywords: Sequence[tuple[int, str]] = ()
    """Each for one of a function's own parameters, counted round."""


class Sweep:
    """All calls of one room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._invariant = Invariant(room)
        self._hostile = Hostile(room)
        self.targets: dict[str, Callable[[], Any]] = {}
        self.calls = 0
        self.answered = 0
        """Calls that returned instead of raising."""

        self._kinds: set[Any] = set()
        self._operators: collections.Counter[str] = collections.Counter()
        self._parameters: dict[str, list[str]] = {}
        self._inherited: dict[int, Any] = {}
        for name, value in room.exposed().items():
            self._add(name, value)
        for name in ("image", "large text", "task", "future", "pending", "match", "pattern", "file", "bytes file"):
            self._add_methods(f"<{name}>", self._hostile.make(name), lambda name=name: self._hostile.make(name))

    def run(self, arguments: Arguments, *, only: str = "") -> list[str]:
        """Call every target once and return what breaks the invariant."""
        findings: list[str] = []
        for name in list(self.targets):
            if name.startswith(only):
                findings += itertools.islice(self._one(name, arguments), _MOST_FINDINGS)
            if len(findings) >= _MOST_FINDINGS:
                break
        self._room.session._loop.reset()
        return findings

    # ---- what is called ---------------------------------------------------------------------------------------------

    def _add(self, name: str, value: Any) -> None:
        if name in _LEFT_OUT or len(self.targets) >= _MOST_TARGETS:
            return
        if callable(value):
            self.targets[name] = lambda: value
        self._add_methods(name, value, lambda: value)

    def _add_methods(self, name: str, value: Any, make: Callable[[], Any]) -> None:
        """The methods of a class (the first argument stands for the object), or of one object of each kind."""
        kind: Any = ("class", value) if isinstance(value, type) else type(value)
        if kind in self._kinds or kind in attributes.plan_classes or len(self.targets) >= _MOST_TARGETS:
            return
        self._kinds.add(kind)
        if not isinstance(value, type):
            seen = self._room.names["type"](value)  # not Python's own
            self.targets[f"type({name})"] = lambda: seen
            self._add_methods(f"type({name})", seen, lambda: seen)
        for step, inner in readable(value):
            if not callable(inner) or ".raised" in step or isinstance(inner, type) or self._is_protocol(step, inner):
                continue
            inherited = inner if isinstance(value, type) and not hasattr(inner, "__self__") else (kind, step)
            if id(inherited) not in self._inherited:
                self._inherited[id(inherited)] = inherited
                self.targets[f"{name}{step}"] = lambda step=step: attributes.guarded_getattr(make(), step[1:])

    def _is_protocol(self, step: str, inner: Any) -> bool:
        """Operators written in C are called a few times each: there are thousands, and all do the same."""
        if not isinstance(inner, _IN_C) or not step.startswith(".__"):
            return False
        self._operators[step] += 1
        return self._operators[step] > _MOST_OPERATORS

    # ---- calling ----------------------------------------------------------------------------------------------------

    def _one(self, name: str, arguments: Arguments) -> Iterator[str]:
        say_where(name)
        target = self._attempt(self.targets[name])
        if isinstance(target, BaseException):
            return
        yield from self._invariant.breaches(target, name, depth=1)
        positional = [self._hostile.make(each) for each in arguments.positional]
        parameters = self._parameters_of(name, target) if arguments.keywords else ()
        keywords = {
            parameters[-1 - number % len(parameters)]: self._hostile.make(each)
            for number, each in arguments.keywords
            if parameters
        }
        self._hostile.heard.clear()
        result = self._attempt(lambda: target(*positional, **keywords))
        yield from self._look(f"{name}()", result)
        owner = getattr(target, "__objclass__", None)
        if isinstance(result, TypeError) and isinstance(owner, type):
            fitting = self._hostile.fitting(owner)
            result = self._attempt(lambda: target(fitting, *positional, **keywords))
            yield from self._look(f"{name}(self)", result)
        if callable(result) and not isinstance(result, type | tools.Tool):
            # `attrgetter("x")`, `wraps(f)`: what they return wants one more argument.
            for value in positional:
                again = self._attempt(lambda value=value: result(value))
                yield from self._look(f"{name}()()", again)

    def _look(self, path: str, result: Any) -> Iterator[str]:
        self.calls += 1
        self.answered += not isinstance(result, BaseException)
        heard, self._hostile.heard = self._hostile.heard, []
        yield from self._invariant.breaches(result, path)
        for hook, value in heard[:200]:
            yield from self._invariant.breaches(value, f"{path}: {hook}", depth=2)
        if not isinstance(result, BaseException):
            self._add_methods(path, result, lambda: result)  # from now on: one that was not seen before

    def _parameters_of(self, name: str, target: Any) -> list[str]:
        if name not in self._parameters:
            try:
                parameters = inspect.signature(target).parameters.values()
            except (ValueError, TypeError, AttributeError):
                parameters = ()
            kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            self._parameters[name] = [parameter.name for parameter in parameters if parameter.kind in kinds]
        return self._parameters[name]

    def _attempt(self, call: Callable[[], Any]) -> Any:
        """What a call returns or raises."""
        try:
            return self._room.session._interrupts.foreign(call, seconds=_CALL_SECONDS)
        except PlanStopped as stop:
            return stop
        except BaseException as error:  # noqa: BLE001 - a plan can catch most of them, and holds what they hold
            return error.with_traceback(None)
