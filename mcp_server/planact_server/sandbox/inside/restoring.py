"""Putting a session's functions, classes and imports back from their source, in a worker that has just begun.

A source is as hostile as any plan and passes the same policy. Evaluating it reaches no tool and prints nothing, has a
deadline, and leaves nothing behind but the name it defines: data that it changes are put back, so that what happened
once does not happen twice.
"""

from __future__ import annotations

import inspect
import os
import time
from typing import TYPE_CHECKING, Any, cast

from planact_server.sandbox.inside import attributes, checks, definitions, memory, policy, scopes, source, trees
from planact_server.sandbox.inside.interrupts import PlanStopped
from planact_server.sandbox.inside.source import Refused, Text

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from types import CodeType

    from planact_server.sandbox.inside.channel import Channel
    from planact_server.sandbox.inside.definitions import Found
    from planact_server.sandbox.inside.interrupts import Interrupts

ALL_SECONDS = 5.0
ONE_SECONDS = 1.0
"""For the code that runs while a session is put back: decorators, defaults, class bodies."""


class Restoring:
    """Makes definitions again in the variables of one session."""

    def __init__(
        self, variables: dict[str, Any], builtins: Mapping[str, Any], channel: Channel, interrupts: Interrupts
    ) -> None:
        self._variables = variables
        self._builtins = builtins
        self._channel = channel
        self._interrupts = interrupts
        self._owed: list[scopes.Names] = []

    def make(self, sources: Mapping[str, str]) -> dict[str, tuple[Found, Any]]:
        """Define what can be defined, in order. Returns what came of it."""
        kept = dict(self._variables)
        made: dict[str, tuple[Found, Any]] = {}
        deadline = time.monotonic() + ALL_SECONDS
        copied = False
        memory.hold_back()
        self._channel.silent = True
        try:
            for name, text in sources.items():
                checked = self._checked(name, Text(text, f"<{name}, put back>"))
                if checked is None:
                    continue
                found, code, names = checked
                if found.evaluates and not copied:
                    self._variables.update({name: _copy(value) for name, value in kept.items() if name[:2] != "__"})
                    copied = True
                if self._evaluate(code, deadline - time.monotonic()) and name in self._variables:
                    made[name] = found, self._variables[name]
                    self._owed.append(names)
        finally:
            self._channel.silent = False
            memory.release()
        self._variables.clear()
        self._variables.update(kept)
        self._variables.update({name: value for name, (_, value) in made.items()})
        return made

    def outside_names(self, known: Container[str]) -> list[str]:
        """Return the names that what was put back takes from outside: nobody has been asked for them here yet."""
        return [name for names in self._owed for name in checks.outside_names(names, known)] if self._owed else []

    def settle(self) -> None:
        """Those names have been looked up."""
        self._owed.clear()

    def _checked(self, name: str, text: Text) -> tuple[Found, CodeType, scopes.Names] | None:
        """Hold a source to the policy. Nothing where it does not pass, or does something else than to define."""
        try:
            tree = source.parse(text, max_bytes=definitions.MOST_BYTES)
            found = definitions.sole_definition(tree, text, name)
            if (
                found is None
                or not attributes.is_ordinary_name(name)
                or any(checks.missing_imports(trees.walk(tree), text))
            ):
                return None
            names = scopes.analyse(tree)
            if any(checks.undefined(names, {}, text, self._variables, self._builtins)):
                return None
            return found, policy.compile_plan(tree, text, statements={}), names
        except (Refused, MemoryError):
            return None

    def _evaluate(self, code: CodeType, seconds: float) -> bool:
        if seconds <= 0:
            return False
        seconds = min(seconds, ONE_SECONDS)
        self._interrupts.begin(seconds, cpu_seconds=seconds, give_up=_give_up)
        done = False
        try:
            try:
                value = eval(code, self._variables)  # noqa: S307 - it was checked like any plan
                done = value is None
                if inspect.iscoroutine(value):
                    value.close()  # it waits for something, which only a plan may
            except BaseException:  # noqa: BLE001 - whatever happens, this definition is lost and the next one is tried
                done = False
            self._interrupts.end()
        except PlanStopped:  # it arrived between the last instruction and here
            self._interrupts.end()
        return done


def _copy(value: Any) -> Any:
    """Copy data as they came from the host."""
    match value:
        case dict():
            return {key: _copy(item) for key, item in cast("dict[str, Any]", value).items()}
        case list():
            return [_copy(item) for item in cast("list[Any]", value)]
        case _:
            return value


def _give_up() -> None:
    """A definition swallows its stop: the host goes on without definitions, in another worker."""
    os._exit(0)
