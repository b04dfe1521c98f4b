"""A stand-in fits its schema, is the same for the same call, and shows what the call was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from jsonschema import Draft202012Validator

from catalog.making import define, only
from catalog.recorded import recorded_servers
from catalog.schema_strategies import DEFINITIONS, dirty_schemas, plain_values, well_formed_schemas
from planact_server.catalog.catalog import Catalog
from planact_server.catalog.checker import Checker
from planact_server.catalog.schemas import CleanSchema, clean
from planact_server.plain_json import size_of
from planact_server.standins.making import stand_in

steady = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def answer(schema: Any, /, **arguments: Any) -> Any:
    return stand_in(only(define("act", output_schema=schema)), arguments)


@steady
@given(well_formed_schemas, plain_values)
def test_a_stand_in_fits_wherever_anything_small_fits(schema: Any, witness: Any) -> None:
    validator = Draft202012Validator({**schema, "$defs": DEFINITIONS} if isinstance(schema, dict) else schema)
    assume(validator.is_valid(witness))
    whole = {
        "type": "object",
        "properties": {"value": schema, "again": {}},
        "required": ["value"],
        "$defs": DEFINITIONS,
    }

    made = answer(whole)

    assert validator.is_valid(made["value"]), made


@steady
@given(dirty_schemas)
def test_any_schema_gives_a_value_that_can_be_sent(schema: Any) -> None:
    made = answer(schema)
    assert size_of(json.loads(json.dumps(made, allow_nan=False))) < 1_000_000


def test_the_whole_value_for_an_ordinary_tool() -> None:
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "minimum": 1},
            "title": {"type": "string"},
            "day": {"type": "string", "format": "date"},
            "status": {"enum": ["open", "closed"]},
            "urgent": {"type": "boolean"},
            "owner": {"$ref": "#/$defs/Person"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "color": {"type": "string", "default": "blue"},
            "unit": {"type": "string", "examples": ["km"]},
            "note": {"type": ["string", "null"]},
        },
        "required": ["id", "title", "day", "status", "urgent", "owner", "tags", "color", "unit"],
        "$defs": {"Person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    }

    made = answer(schema, title="Review", id="not a number")

    assert made == {
        "id": made["id"],
        "title": "Review",
        "day": made["day"],
        "status": "open",
        "urgent": True,
        "owner": {"name": made["owner"]["name"]},
        "tags": made["tags"],
        "color": "blue",
        "unit": "km",
        "note": made["note"],
    }
    assert len(made["tags"]) == 2
    Draft202012Validator(schema).validate(made)


def test_the_same_call_gets_the_same_answer_and_another_call_another_one() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    assert answer(schema, name="a") == answer(schema, name="a")
    assert answer(schema, name="a") != answer(schema, name="b")
    tool = only(define("act", output_schema=schema))
    assert stand_in(tool, {}, seed=0) != stand_in(tool, {}, seed=1)


def test_a_lone_result_is_unwrapped_as_plans_see_it() -> None:
    schema = {"type": "object", "properties": {"result": {"type": "boolean"}}, "required": ["result"]}
    assert answer(schema) is True


def test_a_tool_that_does_not_say_what_it_returns_answers_with_what_it_was_asked() -> None:
    assert answer(None, name="Ann", text="x" * 5_000) == {"ok": True, "name": "Ann"}


def test_a_type_that_holds_itself_ends() -> None:
    tree = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["name", "children"],
    }
    made = answer(tree)
    Draft202012Validator(tree).validate(made)
    assert size_of(made) < 20_000


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        {"type": "string", "pattern": r"^[a-z][a-z0-9_]{2,10}@(x|y)\.org$", "minLength": 12},
        {"type": "string", "pattern": r"^[^\s/]+$", "minLength": 8, "maxLength": 8},
        {"type": "integer", "exclusiveMinimum": 6, "maximum": 14, "multipleOf": 7},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1},
        {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "contains": {"const": 7}, "items": {"type": "integer"}},
        {"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer"}},
        {"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "integer"}}}], "type": "object"},
        {"oneOf": [{"type": "number"}, {"type": "integer"}]},
        {"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]}, "type": "object"},
        {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["c"]}},
        {"not": {"type": ["string", "object", "array", "null"]}, "type": ["string", "boolean"]},
    ],
)
def test_every_kind_of_limit_is_kept(schema: Any) -> None:
    made = answer({"type": "object", "properties": {"value": schema, "x": {}}, "required": ["value"]})
    Draft202012Validator(schema).validate(made["value"])


def test_what_real_servers_declare_is_answered_validly(shared: Any) -> None:
    tools = [tool for tool in Catalog.build(recorded_servers(shared / "data")) if tool.returns is not None]
    assert len(tools) > 50
    for tool in tools:
        made = stand_in(tool, {})
        root = {"properties": {"value": _seen(tool)}}
        whole = CleanSchema(root=root, definitions=tool.returns.definitions, problems=())
        assert Checker(whole).first_error({"value": made}) is None, tool.full_name


def _seen(tool: Any) -> Any:
    from planact_server.catalog.signatures import unwrapped

    return unwrapped(clean(tool.definition.output_schema))
