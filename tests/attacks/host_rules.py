"""The rules that the host keeps when a worker speaks, and how to take each away."""

from __future__ import annotations

import dataclasses
import json
import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, get_args, get_type_hints
from unittest.mock import patch

from pydantic import ValidationError

from planact_server.sandbox import connection, frame_json, frames, plan_run
from planact_server.sandbox.frames import Call, Done, FrameError, Output, WorkerFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

_MUCH = 10**12


def _budget(name: str) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(plan_run, name, _MUCH)


def _method(owner: Any, name: str, substitute: Callable[[Any], Any]) -> Callable[[], AbstractContextManager[Any]]:
    """`substitute` makes the new method from the old one."""
    return lambda: patch.object(owner, name, substitute(getattr(owner, name)))


def _any_size(listen: Any) -> Any:
    def any_size(self: Any, listener: Any, *, frame_bytes: int = _MUCH) -> None:
        listen(self, listener, frame_bytes=_MUCH)

    return any_size


def _last_end(receive: Any) -> Any:
    def last_end(self: Any, frame: Any, size: int) -> None:
        if not isinstance(frame, Done):
            receive(self, frame, size)
        else:
            self._done = frame
            self.wake()

    return last_end


def _any_frame(decode: Any) -> Any:
    def any_frame(body: bytes) -> Any:
        try:
            return decode(body)
        except FrameError:
            return Output(type="output", text=" ")

    return any_frame


def _any_id(take: Any) -> Any:
    def any_id(self: Any, frame: Any, size: int) -> None:
        self.last_id = min(self.last_id, frame.id - 1)
        take(self, frame, size)

    return any_id


def _any_number(count: Any) -> Any:
    def any_number(self: Any, frame: Any, size: int) -> Any:
        if isinstance(frame, Call):
            self._calls = frame.call - 1
        return count(self, frame, size)

    return any_number


def _any_call(bind: Any) -> Any:
    def any_call(self: Any, call: int, names: Sequence[str]) -> None:
        self._calls = max(self._calls, call)
        bind(self, call, names)

    return any_call


def _overlooking(receive: Any) -> Any:
    def overlooking(self: Any, frame: Any, size: int) -> None:
        if isinstance(frame, plan_run.Output | plan_run.Bound | plan_run.Question | plan_run.Done):
            receive(self, frame, size)

    return overlooking


_BY_TYPE: dict[str, Any] = {get_args(get_type_hints(kind)["type"])[0]: kind for kind in get_args(WorkerFrame)}


class _AnyShape:
    """Takes frames as they come: unknown keys are dropped, types are not looked at, an unknown frame is nothing."""

    def __init__(self, strict: Any) -> None:
        self._strict = strict

    def validate_python(self, raw: dict[str, Any]) -> Any:
        try:
            return self._strict.validate_python(raw)
        except ValidationError:
            pass
        kind = _BY_TYPE.get(raw.get("type") if isinstance(raw.get("type"), str) else "")
        if kind is None:
            return Output(type="output", text=" ")
        made = kind.__new__(kind)
        for field in dataclasses.fields(kind):
            object.__setattr__(made, field.name, raw.get(field.name, _empty(field)))
        return made


def _empty(field: Any) -> Any:
    return None if field.default is dataclasses.MISSING else field.default


SMALLER = {
    (plan_run, "FRAMES"): 1_200,
    (plan_run, "ASKS"): 100,
    (plan_run, "RESOLVED_NAMES"): 200,
    (plan_run, "ASK_BYTES"): 10_000,
    (plan_run, "TRAFFIC_FRAMES"): 4,
    (plan_run, "ARGUMENT_FRAMES"): 2,
    (plan_run, "WAITING"): 50,
    (frame_json, "MAX_NODES"): 300_000,
}
"""The host's own budgets, small enough for an attack on them to be quick."""


@contextmanager
def small_budgets() -> Iterator[None]:
    with ExitStack() as stack:
        for (module, name), value in SMALLER.items():
            stack.enter_context(patch.object(module, name, value))
        yield


RULES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "frames that can be read": lambda: patch.object(connection, "decode", _any_frame(connection.decode)),
    "size of a frame": _method(connection.Connection, "listen", _any_size),
    "values in a frame": lambda: patch.object(frame_json, "_refuse_too_many_values", lambda body: None),
    "nesting of a frame": lambda: patch.object(frame_json, "_refuse_too_deep", lambda value: None),
    "finite numbers": lambda: patch.object(frame_json, "_DECODER", json.JSONDecoder()),
    "whole characters": lambda: patch.object(frame_json, "_SURROGATE", re.compile(rb"(?!)")),
    "shape of a frame": lambda: patch.object(frames, "_WORKER_FRAME", _AnyShape(frames._WORKER_FRAME)),
    "fresh ids": _method(plan_run.PlanRun, "_take", _any_id),
    "numbers of calls": _method(plan_run.PlanRun, "_count", _any_number),
    "bindings of calls": _method(plan_run.PlanRun, "_bind", _any_call),
    "frames in their place": _method(plan_run.PlanRun, "receive", _overlooking),
    "one end": _method(plan_run.PlanRun, "receive", _last_end),
    "silence between plans": lambda: patch.object(connection, "_nobody", lambda frame, size: None),
    "number of frames": _budget("FRAMES"),
    "number of questions": _budget("ASKS"),
    "number of names": _budget("RESOLVED_NAMES"),
    "size of a question": _budget("ASK_BYTES"),
    "traffic": _budget("TRAFFIC_FRAMES"),
    "arguments of all calls": _budget("ARGUMENT_FRAMES"),
}
"""Name of a rule → what takes it away for a while."""


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Take rules away from every worker's host."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(RULES[name]())
        yield
