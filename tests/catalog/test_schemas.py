"""Whatever a server sends as a schema is brought into one small dialect, and what is lost is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from catalog.schema_strategies import DEFINITIONS, dirty_schemas, well_formed_schemas
from planact_server.catalog.members import members
from planact_server.catalog.schemas import MAX_DEPTH, MAX_NODES, clean


@given(dirty_schemas)
def test_what_comes_out_is_a_valid_schema(schema: Any) -> None:
    cleaned = clean(schema)
    for each in (cleaned.root, *cleaned.definitions.values()):
        Draft202012Validator.check_schema(each)


@given(well_formed_schemas)
def test_a_well_formed_schema_loses_nothing(schema: Any) -> None:
    cleaned = clean({"properties": {"value": schema}, "$defs": DEFINITIONS})

    assert (cleaned.root, cleaned.problems) == ({"properties": {"value": schema}}, ())
    assert cleaned.definitions == {name: DEFINITIONS[name] for name in cleaned.definitions}


@pytest.mark.parametrize(
    ("schema", "root", "problems"),
    [
        (None, True, ("schema: not a schema; not checked",)),
        ({"type": "strnig"}, {}, ("schema: type 'strnig' is unknown; not checked",)),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}, ()),
        ({"type": "integer", "nullable": True}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, ()),
        ({"minimum": 3, "exclusiveMinimum": True}, {"exclusiveMinimum": 3}, ()),
        ({"minimum": "3"}, {}, ("schema: minimum is not a number; not checked",)),
        ({"items": [{"type": "string"}, {}]}, {"prefixItems": [{"type": "string"}, {}]}, ()),
        ({"pattern": "("}, {}, ("schema: pattern '(' cannot be read; not checked",)),
        ({"pattern": "(?=a)b"}, {}, ("schema: pattern '(?=a)b' cannot be read; not checked",)),
        ({"properties": {"a": 5}}, {"properties": {"a": True}}, ("a: not a schema; not checked",)),
        ({"properties": []}, {}, ("schema: properties is no object of schemas; not checked",)),
        ({"required": True}, {}, ("schema: required is no list of names; not checked",)),
        ({"enum": "a"}, {}, ("schema: enum is no list of values; not checked",)),
        (
            {"$ref": "https://example.org/x.json"},
            {},
            ("schema: reference 'https://example.org/x.json' leads nowhere; not checked",),
        ),
        ({"$id": "urn:x", "$schema": "y", "title": "T"}, {"title": "T"}, ()),
        (
            {"patternProperties": {"^x": {}}, "additionalProperties": False},
            {"additionalProperties": True},
            ("schema: patternProperties are not supported; not checked",),
        ),
    ],
)
def test_one_schema_in_the_dialect(schema: Any, root: Any, problems: tuple[str, ...]) -> None:
    cleaned = clean(schema)
    assert (cleaned.root, cleaned.problems) == (root, problems)


NOWHERE = {"$ref": "#/$defs/nope"}
UNREADABLE = {"pattern": "(?=a)b"}


@pytest.mark.parametrize(
    ("schema", "root"),
    [
        ({"oneOf": [{"type": "string"}, NOWHERE]}, {"anyOf": [{"type": "string"}, {}]}),
        (
            {"oneOf": [{"type": "string"}, NOWHERE], "anyOf": [{"minLength": 1}]},
            {"anyOf": [{"minLength": 1}], "allOf": [{"anyOf": [{"type": "string"}, {}]}]},
        ),
        ({"not": NOWHERE, "type": "string"}, {"type": "string"}),
        ({"not": {"anyOf": [UNREADABLE]}}, {}),
        ({"if": UNREADABLE, "then": {"required": ["a"]}, "else": False}, {}),
        ({"contains": UNREADABLE, "minContains": 0, "maxContains": 1}, {}),
        (
            {"oneOf": [{"not": {"$ref": "#/$defs/odd"}}], "nullable": True},
            {"anyOf": [{"anyOf": [{}]}, {"type": "null"}]},
        ),
        ({"not": {"items": {"$ref": "#/$defs/through"}}}, {}),
        ({"not": {"description": 5, "default": float("nan")}}, {"not": {}}),
        ({"if": {"$ref": "#/$defs/good"}, "then": UNREADABLE}, {"if": {"$ref": "#/$defs/good"}, "then": {}}),
    ],
)
def test_nothing_is_refused_for_what_cannot_be_read(schema: Any, root: Any) -> None:
    definitions = {"odd": UNREADABLE, "through": {"items": {"$ref": "#/$defs/odd"}}, "good": {"type": "string"}}
    cleaned = clean({**schema, "$defs": definitions})
    assert cleaned.root == root
    assert cleaned.problems


def test_alternatives_that_cannot_be_read_are_named() -> None:
    cleaned = clean({"properties": {"a": {"oneOf": [{"type": "string"}, NOWHERE]}}})
    assert cleaned.problems == (
        "a.oneOf[1]: reference '#/$defs/nope' leads nowhere; not checked",
        "a: oneOf has something in it that cannot be read; not checked",
    )


def test_references_of_every_kind_become_definitions() -> None:
    cleaned = clean(
        {
            "properties": {
                "a": {"$ref": "#/$defs/Old~1New"},
                "b": {"$ref": "#/definitions/B"},
                "c": {"$ref": "#/properties/d/items"},
                "d": {"type": "array", "items": {"type": "integer"}},
                "whole": {"$ref": "#"},
            },
            "$defs": {"Old/New": {"type": "string"}},
            "definitions": {"B": {"type": "object", "properties": {"again": {"$ref": "#/definitions/B"}}}},
        }
    )

    assert cleaned.problems == ()
    assert set(cleaned.definitions) == {"Old_1New", "B", "items", "Root"}
    assert cleaned.definitions["Old_1New"] == {"type": "string"}
    assert cleaned.definitions["items"] == {"type": "integer"}
    assert cleaned.definitions["B"] == {"type": "object", "properties": {"again": {"$ref": "#/$defs/B"}}}
    assert cleaned.definitions["Root"] == cleaned.root


def test_a_reference_that_only_refers_to_itself_is_given_up() -> None:
    cleaned = clean({"properties": {"a": {"$ref": "#/properties/b"}, "b": {"anyOf": [{"$ref": "#/properties/a"}]}}})

    assert cleaned.definitions == {"a": True, "b": True}
    assert cleaned.problems == (
        "b: refers to itself and nothing else; not checked",
        "a: refers to itself and nothing else; not checked",
    )


def test_a_schema_without_end_is_cut_off() -> None:
    deep: Any = {}
    for _ in range(3_000):
        deep = {"items": deep}
    wide = {"properties": {f"p{number}": {} for number in range(MAX_NODES + 10)}}

    assert any("nested too deeply" in problem for problem in clean(deep).problems)
    assert any("too large" in problem for problem in clean(wide).problems)
    assert str(clean(deep).root).count("items") == MAX_DEPTH + 1


def test_ten_thousand_definitions_in_a_chain_are_read_in_a_bounded_stack() -> None:
    definitions = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(10_000)}
    cleaned = clean({"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": definitions})
    assert any("too many references" in problem for problem in cleaned.problems)


def test_properties_are_found_in_references_and_alternatives() -> None:
    cleaned = clean(
        {
            "$ref": "#/$defs/Base",
            "allOf": [{"properties": {"b": {}}, "required": ["b"]}],
            "oneOf": [
                {"properties": {"c": {}, "d": {}}, "required": ["c", "d"]},
                {"properties": {"c": {}, "e": {}}, "required": ["c", "e"]},
            ],
            "$defs": {"Base": {"properties": {"a": {}}, "required": ["a"], "additionalProperties": False}},
        }
    )

    found = members(cleaned.root, cleaned)

    assert list(found.properties) == ["a", "b", "c", "d", "e"]
    assert found.required == {"a", "b", "c"}
    assert found.additional is False
