"""The names that every plan has before it binds any: Python's, the helpers, and what compiled code calls."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import (
    absent,
    aio,
    attributes,
    classes,
    emitted,
    facades,
    hints,
    language,
    sealed,
    tools,
)
from planact_server.sandbox.inside.channel import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def make(link: tools.Link, *, keep_result: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the names of one session. `keep_result` takes the value of a plan's last expression."""
    asyncio, schedulers = aio.make(link.loop, tools.later)
    modules = {**facades.MODULES, "asyncio": asyncio}
    helpers = tools.helpers(link)
    schedulers = (*schedulers, helpers["parallel"])

    def import_module(name: str, leaf: bool) -> facades.Module:
        if name not in modules:
            message, hint = absent.missing_module(name)
            raise ModuleNotFoundError(f"{message} {hint}", name=name)
        return modules[name if leaf else name.partition(".")[0]]

    def import_name(name: str, attribute: str) -> Any:
        module = import_module(name, True)
        if attribute not in vars(module):
            submodule = modules.get(f"{name}.{attribute}")
            if submodule is None:
                advice = hints.did_you_mean(attribute, vars(module))
                message = f"cannot import name {attribute!r} from {name!r} in a plan. {advice}".rstrip()
                raise ImportError(message, name=name)
            return submodule
        return vars(module)[attribute]

    def defer(function: Any, scheduler: Any = None) -> Any:
        return tools.later(function) if scheduler is None or _is_one_of(scheduler, schedulers) else function

    names = language.plan_builtins()
    for table in (names, helpers, {"print": link.channel.print}):
        sealed.as_called(table)
    for table in (names, *map(vars, modules.values())):
        classes.offer(table.values())
    return {
        **names,
        **helpers,
        "print": link.channel.print,
        "ToolError": ToolError,
        emitted.GETATTR: attributes.guarded_getattr,
        emitted.FORMAT: attributes.format_of,
        emitted.WRITABLE: attributes.writable,
        emitted.TYPE: type,
        emitted.SUPER: language.super_in_plan,
        emitted.OWN_CLASSES: attributes.plan_classes,
        emitted.CLASS_NAME: language.class_name,
        emitted.IMPORT: import_module,
        emitted.IMPORT_FROM: import_name,
        emitted.AWAIT: _awaitable,
        emitted.DEFER: defer,
        emitted.OPEN: link.observer.open,
        emitted.BEGIN: link.observer.begin,
        emitted.COMMIT: link.observer.commit,
        emitted.RESULT: keep_result,
    }


def _is_one_of(function: Any, functions: Iterable[Any]) -> bool:
    # By identity: an `__eq__` of the plan would be handed what it is compared with.
    called = function.__func__ if type(function) is types.MethodType else function
    return any(known is function or known is called for known in functions)


class _Ready:
    """A plain value under `await`."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Any:
        return self._value
        yield  # makes this a generator


def _awaitable(value: Any) -> Any:
    """`await f(x)` works whether f is a coroutine function, a tool or a plain function."""
    return value if hasattr(attributes.kind_of(value), "__await__") else _Ready(value)
