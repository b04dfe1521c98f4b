"""The shape of values as a JSON Schema: which types, which keys, and never a value itself. Pure.

For tools that do not say what they return. Shapes of several results are joined: what was in each of them is
required, what was in some is optional. An object whose keys look like data (no two results share one, or there are
very many) is a mapping, so that no names of people or files become names of fields.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planact_tools import JSONObject, JSONValue

MOST_LEVELS = 6
"""How deep a shape goes; what is below may be anything."""

MOST_NODES = 3_000
"""Values that one shape is read from: a sample of a large result."""

MOST_ITEMS = 50
"""Items of one list that are looked at, evenly spread."""

MOST_FIELDS = 60
"""Keys of an object that is no mapping."""

_FIELD = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$.@-]{0,63}")
_NUMBERED = re.compile(r"\d{4}")
_ORDER = ("string", "integer", "number", "boolean", "array", "object", "null")


def shape_of(value: JSONValue) -> JSONObject:
    """Return what a value looks like; `{}` is anything."""
    return _Reading().shape(value, 0)


def joined(one: JSONObject, other: JSONObject) -> JSONObject:
    """Return the shape that both of these have."""
    return _joined([one, other])


class _Reading:
    def __init__(self) -> None:
        self._nodes = 0

    def shape(self, value: JSONValue, level: int) -> JSONObject:
        self._nodes += 1
        match value:
            case bool():
                return {"type": "boolean"}
            case None:
                return {"type": "null"}
            case str():
                return {"type": "string"}
            case int():
                return {"type": "integer"}
            case float():
                return {"type": "number"}
            case _ if level >= MOST_LEVELS or self._nodes > MOST_NODES:
                return {}
            case list():
                return self._array(value, level)
            case dict():
                return self._object(value, level)

    def _array(self, items: list[JSONValue], level: int) -> JSONObject:
        step = max(1, -(-len(items) // MOST_ITEMS))
        shapes = [self.shape(item, level + 1) for item in items[::step]]
        return {"type": "array"} if not shapes else {"type": "array", "items": _joined(shapes)}

    def _object(self, value: JSONObject, level: int) -> JSONObject:
        if set(value) == {"$attachment"}:
            return {}  # an image, a sound: a handle in plans
        if len(value) > MOST_FIELDS or any(_is_data(key) for key in value):
            some = list(value.values())[:MOST_ITEMS]
            return _mapping([self.shape(each, level + 1) for each in some])
        properties: JSONObject = {key: self.shape(each, level + 1) for key, each in value.items()}
        return _fields(properties, properties)


def _is_data(key: str) -> bool:
    """Say whether a key is a value rather than a field: a path, a date, an id, a sentence."""
    return _FIELD.fullmatch(key) is None or _NUMBERED.search(key) is not None


def _joined(shapes: Iterable[JSONObject]) -> JSONObject:
    """Join alternatives type by type."""
    kinds: dict[str, list[JSONObject]] = {}
    for shape in shapes:
        options = cast("list[JSONObject]", shape.get("anyOf", [shape]))
        for option in options:
            if "type" not in option:
                return {}
            kinds.setdefault(cast("str", option["type"]), []).append(option)
    if "number" in kinds:
        kinds.pop("integer", None)
    merged = [_of_kind(kind, kinds[kind]) for kind in _ORDER if kind in kinds]
    return merged[0] if len(merged) == 1 else {"anyOf": [*merged]}


def _of_kind(kind: str, shapes: list[JSONObject]) -> JSONObject:
    if kind == "array":
        known = [cast("JSONObject", shape["items"]) for shape in shapes if "items" in shape]
        return {"type": "array", "items": _joined(known)} if known else {"type": "array"}
    return _objects(shapes) if kind == "object" else {"type": kind}


def _objects(shapes: list[JSONObject]) -> JSONObject:
    fields = [cast("JSONObject", shape.get("properties", {})) for shape in shapes]
    names = dict.fromkeys(name for each in fields for name in each)
    full = [each for each in fields if each]
    share_none = len(full) > 1 and not set(full[0]).intersection(*full[1:]) and _never_shared(full)
    if any("additionalProperties" in shape for shape in shapes) or share_none or len(names) > MOST_FIELDS:
        values = [cast("JSONObject", each) for known in fields for each in known.values()]
        others = [
            cast("JSONObject", shape["additionalProperties"]) for shape in shapes if "additionalProperties" in shape
        ]
        return _mapping([*values, *others])
    required = [frozenset(cast("list[str]", shape.get("required", []))) for shape in shapes]
    properties: JSONObject = {
        name: _joined([cast("JSONObject", each[name]) for each in fields if name in each]) for name in names
    }
    return _fields(properties, required[0].intersection(*required[1:]))


def _fields(properties: JSONObject, required: Iterable[str]) -> JSONObject:
    always = sorted(required)
    shape: JSONObject = {"type": "object", "properties": properties}
    return {**shape, "required": [*always]} if always else shape


def _never_shared(fields: list[JSONObject]) -> bool:
    """Say whether each key is in one object only."""
    return sum(map(len, fields)) == len({name for each in fields for name in each})


def _mapping(values: list[JSONObject]) -> JSONObject:
    return {"type": "object", "additionalProperties": _joined(values) if values else {}}
