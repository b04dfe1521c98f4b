"""What a Python type cannot say about a parameter: bounds, lengths, patterns, formats. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, cast

from planact_server.catalog.members import branches, members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planact_server.catalog.schemas import CleanSchema, Schema
    from planact_tools import JSONObject

MAX_LEVELS = 6
MAX_VISITS = 500

_PHRASES = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} keys",
    "maxProperties": "at most {} keys",
    "pattern": "matches {!r}",
    "format": "format {}",
    "uniqueItems": "no item twice",
}


def notes(schema: Schema, path: str, within: CleanSchema) -> list[tuple[str, str]]:
    """Return pairs of a path such as `location.city` or `rows[].id` and what holds there."""
    visited = islice(_walk(schema, path, within, frozenset(), MAX_LEVELS), MAX_VISITS)
    return list(dict.fromkeys((place, said) for place, said in visited if said))


def _walk(
    schema: Schema, path: str, within: CleanSchema, above: frozenset[str], levels: int
) -> Iterator[tuple[str, str]]:
    if isinstance(schema, bool) or levels <= 0:
        return
    yield path, _said(schema)
    if "$ref" in schema and (ref := cast(str, schema["$ref"])) not in above:
        yield from _walk(within.target(schema), path, within, above | {ref}, levels - 1)
    for keyword in ("allOf", "anyOf", "oneOf"):
        for branch in branches(schema, keyword):
            yield from _walk(branch, path, within, above, levels - 1)
    for item in [*branches(schema, "prefixItems"), cast("Schema", schema.get("items", True))]:
        yield from _walk(item, f"{path}[]", within, above, levels - 1)
    for name, part in members(schema, within).properties.items() if "properties" in schema else ():
        yield from _walk(part, f"{path}.{name}", within, above, levels - 1)


def _said(schema: JSONObject) -> str:
    return ", ".join(phrase.format(schema[keyword]) for keyword, phrase in _PHRASES.items() if keyword in schema)
