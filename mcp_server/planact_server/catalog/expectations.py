"""What a plan may expect of a tool's result, in few words: for the check that reads a plan before it runs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from planact_server.catalog.members import branches
from planact_server.catalog.signatures import unwrapped

if TYPE_CHECKING:
    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.schemas import CleanSchema, Schema
    from planact_server.catalog.signatures import Learned
    from planact_tools import JSONObject, JSONValue

MOST_LEVELS = 5
"""How deep a shape goes; what is below may be anything."""

MOST_NODES = 200
"""Of one tool, its keys among them. What lies beyond may be anything: every plan that calls the tool is told all."""

_FIELD = re.compile(r"[^\W\d][\w$@.-]{0,63}")
"""What is no sentence: keys are shown to a model."""

_WORDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_OBJECT = frozenset({"type", "properties", "required", "additionalProperties", "title", "description", "examples"})
"""All that the schema of an object may say to be understood here as it is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The shape of a tool's results.

    A shape is `None` for anything, a word (`str`, `int`, `float`, `bool`), `["list", shape of its items]`,
    `["dict", {key: shape}]`, `["dict", None]` for one whose keys nobody knows, or `["either", [shapes]]`.
    """

    shape: JSONValue
    results: int
    """How many results it was learned from; 0 where the server says it."""


def expectation(tool: CatalogTool, learned: Learned | None) -> Expectation | None:
    """Return what is known of a tool's results; None where that says nothing about how to read them."""
    schema = tool.returns if tool.returns is not None else learned.schema if learned is not None else None
    if schema is None:
        return None
    known = _known.get(tool)
    if known is None or known[0] is not schema:
        seen = unwrapped(schema) if schema is tool.returns else schema.root
        known = _known[tool] = schema, _Reading(schema, learned=schema is not tool.returns).shape(seen)
    results = learned.results if learned is not None and tool.returns is None else 0
    return None if known[1] is None else Expectation(shape=known[1], results=results)


_known: WeakKeyDictionary[CatalogTool, tuple[CleanSchema, JSONValue]] = WeakKeyDictionary()


class _Reading:
    def __init__(self, within: CleanSchema, *, learned: bool) -> None:
        self._within = within
        self._learned = learned
        self._nodes = MOST_NODES

    def shape(self, schema: Schema, level: int = 0) -> JSONValue:
        self._nodes -= 1
        if isinstance(schema, bool) or level > MOST_LEVELS or self._nodes < 0:
            return None
        if "$ref" in schema:
            return self.shape(self._within.target(schema), level + 1) if len(schema) == 1 else None
        if "properties" in schema or schema.get("type") == "object":
            return self._object(schema, level)
        alternatives = [*branches(schema, "anyOf"), *branches(schema, "oneOf")]
        if alternatives:
            return _either([self.shape(each, level + 1) for each in alternatives if each != {"type": "null"}])
        if schema.get("type") == "array":
            uniform = "items" in schema and "prefixItems" not in schema
            return ["list", self.shape(cast("Schema", schema["items"]), level + 1) if uniform else None]
        word = schema.get("type")
        is_plain = not schema.keys() & {"const", "enum", "allOf", "not", "if"}
        return _WORDS.get(word) if isinstance(word, str) and is_plain else None

    def _object(self, schema: JSONObject, level: int) -> JSONValue:
        properties = cast("dict[str, Schema]", schema.get("properties", {}))
        required = cast("list[str]", schema.get("required", []))
        keys = [*dict.fromkeys([*properties, *required])]
        self._nodes -= len(keys)
        # That further keys are allowed where nothing is said of them is a rule of JSON Schema, and no intention.
        is_closed = keys and schema.get("additionalProperties") in (None, False) and schema.keys() <= _OBJECT
        is_closed = is_closed and not (self._learned and _looks_like_data(properties))
        if not is_closed or self._nodes < 0 or not all(map(_FIELD.fullmatch, keys)):
            return ["dict", None] if schema.get("type", "object") == "object" else None
        return ["dict", {key: self.shape(properties.get(key, True), level + 1) for key in keys}]


def _looks_like_data(properties: dict[str, Schema]) -> bool:
    """Say whether the keys may be names of things: several objects under them that are all alike."""
    alike = {_keys_of(each) for each in properties.values()}
    return len(properties) > 1 and len(alike) == 1 and frozenset() not in alike


def _keys_of(schema: Schema) -> frozenset[str]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return frozenset(properties) if isinstance(properties, dict) else frozenset()


def _either(shapes: list[JSONValue]) -> JSONValue:
    if not shapes or None in shapes:
        return None
    return shapes[0] if len(shapes) == 1 else ["either", shapes]
