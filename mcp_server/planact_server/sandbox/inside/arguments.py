"""Python values → JSON, for the arguments of a tool call. What JSON cannot say is refused with the parameter's name."""

# A plan's values may be anything; narrowing them by isinstance leaves their contents unknown, which is the truth.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import math
import uuid
from typing import Any

from planact_server.sandbox.inside import handles
from planact_server.sandbox.inside.attributes import kind_of

_MAX_DEPTH = 100
_LISTS = (list, tuple, set, frozenset, collections.deque)
_TEXTS = (dt.date, dt.time, decimal.Decimal, uuid.UUID)
_LAZY = (kind_of({}.keys()), kind_of({}.values()), range)


def to_json(value: Any, parameter: str, depth: int = 0) -> Any:
    """Convert one argument. Raises TypeError or ValueError naming the parameter."""
    kind = kind_of(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if depth > _MAX_DEPTH:
        raise ValueError(f"Argument {parameter!r} is nested more than {_MAX_DEPTH} levels deep, or contains itself.")
    if isinstance(value, enum.Enum):
        return to_json(value.value, parameter, depth + 1)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"Argument {parameter!r} holds {float(value)!r}, which is no JSON number.")
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return _object(value, parameter, depth)
    if isinstance(value, _LISTS) or kind in _LAZY:
        items: Any = value
        return [to_json(item, parameter, depth + 1) for item in items]
    if isinstance(value, _TEXTS):
        return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
    if isinstance(value, handles.Handle | handles.LargeText):
        return handles.to_wire(value)
    raise TypeError(
        f"Argument {parameter!r} holds a value of type {kind.__name__}, which JSON cannot say. {_advice(value)}"
    )


def _object(value: dict[Any, Any], parameter: str, depth: int) -> dict[str, Any]:
    items: Any = dict.items(value)
    return {_key(key, parameter): to_json(item, parameter, depth + 1) for key, item in items}


def _key(key: Any, parameter: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int | float | dt.date | decimal.Decimal | uuid.UUID) and not isinstance(key, bool):
        return str(key)
    raise TypeError(f"Argument {parameter!r} has the key {key!r:.80}; the keys of a JSON object are text.")


def _advice(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return "Pass base64.b64encode(value).decode() or value.decode()."
    if hasattr(type(value), "__dataclass_fields__"):
        return "Pass dataclasses.asdict(value)."
    if hasattr(type(value), "__await__"):
        return "Await it first."
    if hasattr(type(value), "__next__"):
        return "Pass list(value)."
    return "Pass a dict, a list or text."
