"""Which properties an object has, wherever in its schema they are declared. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_server.catalog.schemas import CleanSchema, Schema
    from planact_tools import JSONObject, JSONValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The declared properties of an object, in order. A required one need not be declared anywhere else."""

    properties: Mapping[str, Schema] = field(default_factory=dict[str, "Schema"])
    required: frozenset[str] = frozenset()
    listed: bool = False
    """Whether there is a list of properties at all; it may be empty."""

    additional: Schema | None = None
    """What the schema says about properties that it does not declare; None where it says nothing."""


def members(schema: Schema, within: CleanSchema) -> Members:
    """Collect properties from a schema, what it refers to, and its alternatives.

    A property of only some alternatives is not required.
    """
    return _collect(schema, within, {})


def _collect(schema: Schema, within: CleanSchema, seen: dict[str, Members]) -> Members:
    if isinstance(schema, bool):
        return Members()
    parts = [_own(schema)]
    if "$ref" in schema:
        # Remembered, for alternatives that share definitions would be walked again and again.
        ref = cast(str, schema["$ref"])
        if ref not in seen:
            seen[ref] = _collect(within.target(schema), within, seen)
        parts.append(seen[ref])
    parts += [_collect(part, within, seen) for part in branches(schema, "allOf")]
    for keyword in ("anyOf", "oneOf"):
        parts += _either([_collect(branch, within, seen) for branch in branches(schema, keyword)])
    return _merged(parts)


def branches(schema: JSONObject, keyword: str) -> list[Schema]:
    """Return the subschemas of `anyOf` and the like; none where the keyword is absent."""
    return cast("list[Schema]", schema.get(keyword, []))


def _own(schema: JSONObject) -> Members:
    return Members(
        properties=cast("dict[str, Schema]", schema.get("properties", {})),
        required=frozenset(cast("list[str]", schema.get("required", []))),
        listed="properties" in schema or "required" in schema,
        additional=cast("Schema | None", schema.get("additionalProperties")),
    )


def _either(alternatives: list[Members]) -> list[Members]:
    if not alternatives:
        return []
    merged = _merged(alternatives)
    required = frozenset[str].intersection(*(alternative.required for alternative in alternatives))
    return [replace(merged, required=required)]


def _merged(parts: list[Members]) -> Members:
    properties: dict[str, Schema] = {}
    for part in parts:
        for name, schema in part.properties.items():
            properties.setdefault(name, schema)
    required = frozenset[str]().union(*(part.required for part in parts))
    said = [part.additional for part in parts if part.additional is not None]
    # One part that forbids further properties does not forbid what another part declares.
    additional = next((each for each in said if each is not False), said[0] if said else None)
    listed = any(part.listed for part in parts)
    return Members(properties=properties, required=required, listed=listed, additional=additional)


def is_object(schema: JSONValue) -> bool:
    """Say whether a schema describes an object and nothing else, as far as it says so itself."""
    if not isinstance(schema, dict):
        return False
    if "type" in schema:
        return schema["type"] == "object"
    return "properties" in schema
