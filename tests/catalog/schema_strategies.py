"""Schemas and values for property tests: dirty ones, and ones that any validator understands."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

KEYWORDS = [
    *("type", "properties", "required", "items", "additionalProperties", "enum", "const", "default", "anyOf", "oneOf"),
    *("allOf", "not", "$ref", "$defs", "definitions", "pattern", "minimum", "maximum", "exclusiveMinimum", "format"),
    *("minLength", "maxItems", "uniqueItems", "nullable", "patternProperties", "prefixItems", "description", "title"),
    *("if", "then", "else", "dependentRequired", "dependentSchemas", "propertyNames", "contains", "multipleOf", "$id"),
]
REFERENCES = ["#", "#/$defs/a", "#/definitions/b", "#/properties/x", "#/properties/y/items", "#/nowhere", "other.json"]
WORDS = ["string", "integer", "number", "boolean", "null", "array", "object", "float", "any", ""]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "class"]), inner, max_size=3)
    ),
    max_leaves=6,
)
texts = st.text(max_size=40) | st.sampled_from(
    [
        '"""',
        "\\",
        'ends with "',
        "\\N{x}",
        "a\nb\n  c",
        "\x00",
        "\u2028",
        "\u202e",
        "# no",
        "\ud800",
        "'''",
        '\\"""',
        "\r\n",
    ]
)


def _schema(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    maps = st.dictionaries(st.sampled_from(["x", "y", "a", "b", "class", "__x", "real-name", ""]), inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(WORDS) | st.lists(st.sampled_from(WORDS), max_size=3),
            "properties": maps,
            "$defs": maps,
            "definitions": maps,
            "required": st.lists(st.sampled_from(["x", "y", "a", "z"]), max_size=3),
            "items": inner | st.lists(inner, max_size=2),
            "additionalProperties": inner | st.booleans(),
            "anyOf": st.lists(inner, max_size=3),
            "oneOf": st.lists(inner, max_size=2),
            "allOf": st.lists(inner, max_size=2),
            "$ref": st.sampled_from(REFERENCES),
            "enum": st.lists(values, max_size=4),
            "const": values,
            "default": values,
            "description": texts,
            "pattern": st.sampled_from(["^a+$", "(a+)+$", "(?=x)", "[", "\\d{2}"]),
        },
    )


dirty_schemas = st.recursive(
    scalars | st.dictionaries(st.sampled_from(KEYWORDS), values, max_size=4), _schema, max_leaves=8
)
"""Anything that a server might send where a schema belongs."""

_bounded = {"minimum": st.integers(-5, 5), "maximum": st.integers(-5, 5), "multipleOf": st.sampled_from([1, 2, 0.5])}
_measured = {"minLength": st.integers(0, 3), "maxLength": st.integers(0, 3)}


def _of_type(word: str, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.just(word)}, optional=optional)


def _clean(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(st.sampled_from(["x", "y", "class"]), inner, max_size=3)
    return st.one_of(
        _of_type("array", items=inner, maxItems=st.integers(0, 3), uniqueItems=st.just(True)),
        _of_type(
            "object",
            properties=properties,
            required=st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2, unique=True),
            additionalProperties=inner | st.booleans(),
        ),
        *(st.fixed_dictionaries({key: st.lists(inner, min_size=1, max_size=3)}) for key in ("anyOf", "oneOf", "allOf")),
        st.fixed_dictionaries({"not": inner}),
        st.sampled_from(["a", "b"]).map(lambda name: {"$ref": f"#/$defs/{name}"}),
    )


well_formed_schemas = st.recursive(
    st.one_of(
        st.just(True),
        st.just({}),
        _of_type("string", **_measured, pattern=st.sampled_from(["^[ab]*$", "a", "^$"])),
        *(_of_type(word, **_bounded) for word in ("integer", "number")),
        *(_of_type(word) for word in ("boolean", "null")),
        st.fixed_dictionaries({"enum": st.lists(scalars, min_size=1, max_size=4)}),
        st.fixed_dictionaries({"const": values}),
    ),
    _clean,
    max_leaves=6,
)
"""Schemas of draft 2020-12 that mean exactly one thing, beside `DEFINITIONS`."""

DEFINITIONS: Any = {
    "a": {"type": ["string", "null"]},
    "b": {"type": "object", "properties": {"x": {"$ref": "#/$defs/b"}}, "required": ["y"]},
}
plain_texts = st.text("ab1 ", max_size=4)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-6, 6) | st.sampled_from([0.0, 1.0, 1.5, -2.5]) | plain_texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "class"]), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Values about which regular expressions of all kinds agree."""
