"""No name that a plan can spell leads from what it is given to the interpreter. Checked by walking everything."""

from __future__ import annotations

import types
from typing import Any

from planact_server.sandbox.inside import attributes, facades, language
from planact_server.sandbox.inside.aio import make
from planact_server.sandbox.inside.trampoline import Loop

FORBIDDEN = (types.ModuleType, types.FrameType, types.CodeType, types.TracebackType)


def _readable(value: Any) -> list[tuple[str, Any]]:
    """What `value.name` gives for every name that compiles, plainly or through the guard."""
    found = []
    for name in dir(value):
        if attributes.judge(name) == "forbidden":
            continue
        try:
            found.append((name, attributes.guarded_getattr(value, name)))
        except Exception:  # noqa: BLE001 - a property of a class without its instance
            continue
    return found


def _walk(start: dict[str, Any]) -> dict[str, Any]:
    """Every object that attribute reads reach, by path."""
    reached: dict[str, Any] = {}
    seen: set[Any] = set()
    waiting = [(path, value, 0) for path, value in start.items()]
    while waiting:
        path, value, depth = waiting.pop()
        # Classes and modules differ one by one; other objects show what their class gives them.
        surface = value if isinstance(value, type | facades.Module) else (type(value), getattr(value, "__name__", ""))
        if surface in seen:
            continue
        seen.add(surface)
        reached[path] = value
        if depth < 6:
            waiting += [(f"{path}.{name}", inner, depth + 1) for name, inner in _readable(value)]
    return reached


def _everything() -> dict[str, Any]:
    asyncio, _ = make(Loop(pump=lambda _seconds: None, expects_frames=lambda: False), lambda function: function)
    names = {name: value for name, value in language.plan_builtins().items() if attributes.is_ordinary_name(name)}
    instances = {"generator": (i for i in ()), "error": AttributeError("x", obj=facades), "lambda": lambda: 0}
    return {**names, **facades.MODULES, "asyncio": asyncio, **instances}


def test_no_attribute_leads_to_a_module_frame_code_or_traceback() -> None:
    reached = _walk(_everything())

    assert len(reached) > 1000
    assert [path for path, value in reached.items() if isinstance(value, FORBIDDEN)] == []


def test_no_attribute_leads_to_the_real_type_the_real_import_or_the_namespace_of_a_module() -> None:
    reached = _walk(_everything())
    wanted = (type, __import__, eval, exec, compile, open, input, globals, facades.__dict__, language.__dict__)

    assert [path for path, value in reached.items() if any(value is one for one in wanted)] == []


def test_no_class_that_a_plan_may_inherit_from_keeps_a_module_in_a_private_name() -> None:
    classes = [value for value in _walk(_everything()).values() if isinstance(value, type)]
    leaks = [
        (base, name)
        for base in classes
        for name, value in vars(base).items()
        if attributes.is_ordinary_name(name) and isinstance(value, FORBIDDEN)
    ]

    assert len(classes) > 150
    assert leaks == []


def test_no_facade_has_a_private_name_or_can_be_changed() -> None:
    for module in facades.MODULES.values():
        assert [name for name in vars(module) if name.startswith("_") and name != "__name__"] == []
        try:
            module.new = 1
        except AttributeError:
            continue
        raise AssertionError(module)
