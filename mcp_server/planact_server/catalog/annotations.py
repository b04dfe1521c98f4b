"""Python types for schemas: `list[str]`, `Literal['a', 'b']`, `TypedDict`s for nested objects. Pure.

What comes out is always an expression that Python can parse, on one line, whatever the schema holds.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, cast

from planact_server.catalog.members import branches, is_object, members
from planact_server.catalog.naming import BUILTINS, identifier
from planact_server.catalog.schemas import MAX_NODES, REF_PREFIX, CleanSchema, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planact_tools import JSONObject, JSONValue

SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}

MAX_LEVELS = 8
"""How far into a schema a single annotation looks before it says `Any`."""

MAX_CHOICES = 40
"""Members of an enum or a union that are written out."""

_TYPING = frozenset({"Any", "Literal", "NotRequired", "TypedDict"})

_KEYWORD_TYPES = {
    "object": ("properties", "additionalProperties", "required", "minProperties", "maxProperties", "propertyNames"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key of a `TypedDict`, as its owner spells it."""

    key: str
    annotation: str
    required: bool
    description: str


@dataclass(slots=True, kw_only=True)
class Annotator:
    """Writes annotations for the schemas of one tool and keeps the `TypedDict`s that they mention."""

    schema: CleanSchema
    prefix: str
    """What the names of the `TypedDict`s begin with. Empty: objects are plain `dict`s."""

    classes: dict[str, list[Field]] = field(default_factory=dict[str, list[Field]])
    """Finished `TypedDict`s, each after those that it needs, as far as recursion allows."""

    choices: int = MAX_CHOICES
    budget: int = 2_000
    """Subschemas still to be looked at: definitions that refer to each other can unfold without end."""

    _named: dict[str, str] = field(default_factory=dict[str, str])
    _open: set[str] = field(default_factory=set[str])

    def annotate(self, schema: Schema, name: str, levels: int = MAX_LEVELS) -> str:
        """Return the annotation for a schema. `name` is what a `TypedDict` for it would be called."""
        return self._union(self._options(schema, name, levels))

    def _options(self, schema: Schema, name: str, levels: int) -> list[str]:
        """Return the members of a union; none for a schema that admits nothing."""
        if schema is False or (isinstance(schema, dict) and schema.get("not") in (True, {})):
            return []
        self.budget -= 1
        if schema is True or levels <= 0 or self.budget <= 0:
            return ["Any"]
        if "$ref" in schema:
            return self._reference(schema, name, levels)
        if "const" in schema:
            return _literal([schema["const"]], self.choices)
        if "enum" in schema:
            return _literal(cast("list[JSONValue]", schema["enum"]), self.choices)
        for each in ("anyOf", "oneOf"):
            if each in schema and "type" not in schema and "properties" not in schema:
                return self._alternatives(branches(schema, each), name, levels)
        if "allOf" in schema and not is_object(schema):
            return self._combined(schema, name, levels)
        return [self._of_type(word, schema, name, levels) for word in _types(schema)]

    def _reference(self, schema: JSONObject, name: str, levels: int) -> list[str]:
        ref = cast(str, schema["$ref"])
        target = self.schema.target(schema)
        if not self.prefix or not self._has_members(target):
            return self._options(target, name, levels - 1)
        if ref not in self._named:
            self._named[ref] = self._class_name(ref.removeprefix(REF_PREFIX))
            self._describe(self._named[ref], target, ref.removeprefix(REF_PREFIX), levels - 1)
        named = self._named[ref]
        return [repr(named) if named in self._open else named]

    def _alternatives(self, schemas: list[Schema], name: str, levels: int) -> list[str]:
        numbered = (name if index == 1 else f"{name}_{index}" for index in count(1))
        found = [self._options(each, called, levels - 1) for each, called in zip(schemas, numbered, strict=False)]
        return [option for options in found for option in options]

    def _combined(self, schema: JSONObject, name: str, levels: int) -> list[str]:
        if self._has_members(schema):
            return [self._object(schema, name, levels)]
        said = [self._options(part, name, levels - 1) for part in branches(schema, "allOf")]
        informative = [options for options in said if options != ["Any"]]
        return informative[0] if informative else ["Any"]

    def _of_type(self, word: str, schema: JSONObject, name: str, levels: int) -> str:
        if word == "array":
            return self._array(schema, name, levels)
        if word == "object":
            return self._object(schema, name, levels)
        return SCALARS.get(word, "Any")

    def _array(self, schema: JSONObject, name: str, levels: int) -> str:
        items = [*branches(schema, "prefixItems")]
        if "items" in schema:
            items.append(cast("Schema", schema["items"]))
        options = self._alternatives(items, f"{name}_item", levels)
        return f"list[{self._union(options)}]" if options and options != ["Any"] else "list"

    def _object(self, schema: JSONObject, name: str, levels: int) -> str:
        if self._has_members(schema):
            return self._class(schema, name, levels) if self.prefix else "dict"
        values = schema.get("additionalProperties")
        if isinstance(values, dict) and values:
            annotation = self.annotate(values, f"{name}_value", levels - 1)
            return f"dict[str, {annotation}]" if annotation != "Any" else "dict"
        return "dict"

    def _has_members(self, schema: Schema) -> bool:
        # Only what can be nothing but an object becomes a class; a mixed union is spelled out.
        if isinstance(schema, bool) or "enum" in schema or "const" in schema:
            return False
        if not is_object(schema) and not ("allOf" in schema and "type" not in schema):
            return False
        return bool(members(schema, self.schema).properties)

    def _class(self, schema: Schema, name: str, levels: int) -> str:
        called = self._class_name(name)
        self._describe(called, schema, name, levels)
        return called

    def _describe(self, called: str, schema: Schema, name: str, levels: int) -> None:
        taken = members(schema, self.schema)
        fields = [
            Field(
                key=key,
                annotation=self.annotate(each, f"{name}_{key}", levels - 1),
                required=key in taken.required,
                description=str(each.get("description", "")) if isinstance(each, dict) else "",
            )
            for key, each in taken.properties.items()
        ]
        self._open.discard(called)
        self.classes[called] = fields

    def _class_name(self, name: str) -> str:
        """Return a free name and keep it."""
        own = "" if name == self.prefix else identifier(name.removeprefix(f"{self.prefix}_"))
        words = [*self.prefix.split("_"), *own.split("_")]
        stem = identifier("".join(word[:1].upper() + word[1:] for word in words)[:80], kind="T")
        taken = self.classes.keys() | self._open | BUILTINS | _TYPING
        called = next(
            each for each in (stem, *(f"{stem}{number}" for number in range(2, MAX_NODES))) if each not in taken
        )
        self._open.add(called)
        return called

    def _union(self, options: Iterable[str]) -> str:
        """Join the members of a union: each once, literals together, None last."""
        found = list(dict.fromkeys(options))
        if not found or "Any" in found or len(found) > self.choices:
            return "Any"
        literals = [option for option in found if option.startswith("Literal[")]
        if len(literals) > 1:
            inside = dict.fromkeys(option[len("Literal[") : -1] for option in literals)
            found = [f"Literal[{', '.join(inside)}]", *(option for option in found if option not in literals)]
        if "None" in found:
            found = [*(option for option in found if option != "None"), "None"]
        if len(found) > 1 and any(option.startswith(("'", '"')) for option in found):
            # A name in quotes cannot stand beside `|` when the stub is executed.
            return repr(" | ".join(option.strip("'\"") for option in found))
        return " | ".join(found)


def _types(schema: JSONObject) -> list[str]:
    said = schema.get("type")
    if isinstance(said, str):
        return [said]
    if isinstance(said, list):
        return [str(word) for word in said]
    hints = (word for word, keywords in _KEYWORD_TYPES.items() if any(each in schema for each in keywords))
    return [next(hints, "any")]


def _literal(values: list[JSONValue], most: int) -> list[str]:
    """Return `Literal[…]` where Python has one for the values, else their types."""
    if not all(value is None or isinstance(value, str | int) for value in values):
        return list(dict.fromkeys(_type_of(value) for value in values))
    shown = list(dict.fromkeys(repr(value) for value in values if value is not None))
    if len(shown) > most:
        shown = [*shown[:most], "..."]
    return [*([f"Literal[{', '.join(shown)}]"] if shown else []), *(["None"] if None in values else [])]


def _type_of(value: JSONValue) -> str:
    return "None" if value is None else type(value).__name__


def is_plain_key(key: str) -> bool:
    """Say whether a key can be written as a name in a class body."""
    return key.isidentifier() and not keyword.iskeyword(key) and not key.startswith("__") and key.isascii()
