"""What a combined schema comes to: `$ref`, `allOf`, `anyOf`, `oneOf` and `if` worked into plain schemas. Pure.

Good enough to make a value from, not to judge one by: what is lost here is checked afterwards.
"""

from __future__ import annotations

import math
from itertools import count, islice, product, zip_longest
from typing import TYPE_CHECKING, cast

from planact_server.catalog.members import branches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planact_server.catalog.schemas import CleanSchema, Schema
    from planact_tools import JSONObject, JSONValue

MOST_OPTIONS = 32
MOST_STEPS = 1_000
"""Parts of one combined schema that are looked into: `allOf` six times, twelve levels deep, has a billion."""

_COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "then", "else", "not"})
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_BOTH = ("items", "additionalProperties", "contains", "propertyNames")
_TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")


def with_alternatives(schema: Schema, within: CleanSchema) -> Iterator[Schema]:
    """Return plain schemas, any of which a value may follow to follow the whole; in the order they are declared."""
    return _plain(schema, within, count())


def _plain(schema: Schema, within: CleanSchema, steps: Iterator[int]) -> Iterator[Schema]:
    if isinstance(schema, bool):
        yield schema
        return
    own: JSONObject = {key: value for key, value in schema.items() if key not in _COMBINING}
    if next(steps) >= MOST_STEPS:
        yield own
        return
    groups = [
        list(islice((option for branch in group for option in _plain(branch, within, steps)), MOST_OPTIONS))
        for group in _groups(schema, within)
    ]
    for chosen in islice(product(*groups), MOST_OPTIONS):
        yield merged([own, *chosen])


def _groups(schema: JSONObject, within: CleanSchema) -> Iterator[list[Schema]]:
    """Return lists of schemas, of each of which one has to hold."""
    if "$ref" in schema:
        yield [within.target(schema)]
    yield from ([branch] for branch in branches(schema, "allOf"))
    yield from (branches(schema, keyword) for keyword in ("anyOf", "oneOf") if keyword in schema)
    denied = schema.get("not")
    if isinstance(denied, dict) and denied.keys() == {"not"}:
        yield [cast("Schema", denied["not"])]
    if "if" in schema:
        yield [{"allOf": [schema["if"], schema.get("then", True)]}, cast("Schema", schema.get("else", True))]


def merged(schemas: Sequence[Schema]) -> Schema:
    """Return one schema for what all of them ask for together."""
    made: JSONObject = {}
    for schema in schemas:
        if schema is False:
            return False
        if schema is not True:
            for key, value in schema.items():
                made[key] = _joined(key, made[key], value) if key in made else value
    return False if made.get("type") == [] or made.get("enum") == [] else made


def _joined(key: str, first: JSONValue, second: JSONValue) -> JSONValue:
    """Return what a keyword says when two schemas use it."""
    if key in _LEAST or key in _MOST:
        return (max if key in _LEAST else min)(cast(float, first), cast(float, second))
    if key in _BOTH:
        return {"allOf": [first, second]}
    match key:
        case "type":
            return _common_types(first, second)
        case "enum":
            allowed = cast("list[JSONValue]", second)
            return [value for value in cast("list[JSONValue]", first) if value in allowed]
        case "properties":
            return _joined_properties(cast("JSONObject", first), cast("JSONObject", second))
        case "required":
            return list(dict.fromkeys([*cast("list[str]", first), *cast("list[str]", second)]))
        case "prefixItems":
            pairs = zip_longest(cast("list[JSONValue]", first), cast("list[JSONValue]", second), fillvalue=True)
            return [{"allOf": list(pair)} for pair in pairs]
        case "multipleOf" if isinstance(first, int) and isinstance(second, int):
            return math.lcm(first, second)
        case _:
            return first


def _joined_properties(first: JSONObject, second: JSONObject) -> JSONObject:
    both: JSONObject = {name: {"allOf": [first[name], second[name]]} for name in first if name in second}
    return {**first, **second, **both}


def _common_types(first: JSONValue, second: JSONValue) -> JSONValue:
    ours, theirs = _admitted(first), _admitted(second)
    return [word for word in _TYPES if word in ours and word in theirs]


def _admitted(said: JSONValue) -> set[str]:
    words = {said} if isinstance(said, str) else set(cast("list[str]", said))
    return words | {"integer"} if "number" in words else words
