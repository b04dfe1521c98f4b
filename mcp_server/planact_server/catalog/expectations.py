"""What a plan may expect of a tool's result, in few words: for the check that reads a plan before it runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from planact_server.catalog.checker import HANDLE_KEY
from planact_server.catalog.members import branches, is_object, members
from planact_server.catalog.signatures import unwrapped

if TYPE_CHECKING:
    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.schemas import CleanSchema, Schema
    from planact_server.catalog.signatures import Learned
    from planact_tools import JSONObject, JSONValue

MOST_LEVELS = 5
MOST_NODES = 200
"""Of one tool. What lies beyond may be anything: every plan that calls the tool is told all of it."""

LONGEST_KEY = 64

_WORDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The shape of a tool's results.

    A shape is `None` for anything, a word (`str`, `int`, `float`, `bool`, `None`), `["list", shape of its items]`,
    `["dict", {key: shape}]`, `["dict", None]` for one whose keys nobody knows, or `["either", [shapes]]`.
    """

    shape: JSONValue
    results: int
    """How many results it was learned from; 0 where the server says it."""


def expectation(tool: CatalogTool, learned: Learned | None) -> Expectation | None:
    """Return what is known of a tool's results; None where that says nothing about how to read them."""
    known = _known.get(tool)
    if known is None or known[0] is not learned:
        known = _known[tool] = learned, _expectation(tool, learned)
    return known[1]


_known: WeakKeyDictionary[CatalogTool, tuple[Learned | None, Expectation | None]] = WeakKeyDictionary()


def _expectation(tool: CatalogTool, learned: Learned | None) -> Expectation | None:
    if tool.returns is not None:
        shape, results = _Reading(tool.returns).shape(unwrapped(tool.returns)), 0
    elif learned is not None:
        shape, results = _Reading(learned.schema).shape(learned.schema.root), learned.results
    else:
        return None
    return None if shape is None else Expectation(shape=shape, results=results)


class _Reading:
    def __init__(self, within: CleanSchema) -> None:
        self._within = within
        self._nodes = MOST_NODES

    def shape(self, schema: Schema, level: int = 0) -> JSONValue:
        self._nodes -= 1
        if isinstance(schema, bool) or level > MOST_LEVELS or self._nodes < 0:
            return None
        if "$ref" in schema:
            return self.shape(self._within.target(schema), level + 1)
        if "const" in schema or "enum" in schema:
            return None
        if is_object(schema) or "allOf" in schema:
            return self._object(schema, level)
        alternatives = [*branches(schema, "anyOf"), *branches(schema, "oneOf")]
        if alternatives:
            return _either([self.shape(each, level + 1) for each in alternatives])
        said = schema.get("type")
        words = cast("list[JSONValue]", said if isinstance(said, list) else [said])
        return _either([self._of_type(word, schema, level) for word in words])

    def _of_type(self, word: JSONValue, schema: JSONObject, level: int) -> JSONValue:
        match word:
            case "object":
                return self._object(schema, level)
            case "array":
                uniform = "items" in schema and "prefixItems" not in schema
                return ["list", self.shape(cast("Schema", schema["items"]), level + 1) if uniform else None]
            case str():
                return _WORDS.get(word)
            case _:
                return None

    def _object(self, schema: JSONObject, level: int) -> JSONValue:
        taken = members(schema, self._within)
        keys = taken.properties
        # That further keys are allowed where nothing is said of them is a rule of JSON Schema, and no intention.
        if not keys or taken.additional not in (None, False) or not all(map(_is_plain, keys)):
            return ["dict", None] if is_object(schema) else None
        return ["dict", {key: self.shape(each, level + 1) for key, each in keys.items()}]


def _is_plain(key: str) -> bool:
    return len(key) <= LONGEST_KEY and key.isprintable() and key != HANDLE_KEY


def _either(shapes: list[JSONValue]) -> JSONValue:
    if not shapes or None in shapes:
        return None
    return shapes[0] if len(shapes) == 1 else ["either", shapes]
