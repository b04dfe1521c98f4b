"""Schemas that mean harm, of a server or of a plan: whatever is made of them is small and soon there."""

from __future__ import annotations

import time
from typing import Any

import pytest

from catalog.making import define, only
from planact_server.catalog.checker import Checker
from planact_server.catalog.schemas import clean
from planact_server.plain_json import size_of
from planact_server.planner.json_grammar import json_grammar
from planact_server.standins.making import MOST_CHECKS, stand_in
from planact_server.standins.patterns import matching


def levels(depth: int, width: int, keyword: str) -> dict[str, Any]:
    """Return a short schema that has `width` to the power of `depth` parts when it is written out."""
    parts: dict[str, Any] = {"l0": {"type": "object", "properties": {"a": {"type": "string"}}}}
    for level in range(1, depth):
        below = [{"$ref": f"#/$defs/l{level - 1}", "title": str(place)} for place in range(width)]
        parts[f"l{level}"] = {keyword: below}
    return {"$ref": f"#/$defs/l{depth - 1}", "$defs": parts}


def wide(names: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: {"type": "string"} for key in names}, "required": names}


HOSTILE: dict[str, dict[str, Any]] = {
    "itself": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    "itself, all of it": {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"type": "object"}]}}},
    "endless": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["x"]}},
    },
    "a billion parts of allOf": levels(12, 6, "allOf"),
    "a billion parts of anyOf": levels(12, 6, "anyOf"),
    "a billion items": {"type": "array", "minItems": 10**9, "items": {"type": "array", "minItems": 10**9}},
    "20,000 properties": wide([f"p{number}" for number in range(20_000)]),
    "200,000 choices": {"enum": [f"v{number}" for number in range(200_000)]},
    "repetitions in repetitions": {"type": "string", "pattern": "(((a+)+)+)+b", "minLength": 9_000},
    "a number beyond all floats": {"type": "integer", "minimum": 10**400, "multipleOf": 10**400},
    "a step below all floats": {"type": "number", "multipleOf": 1e-320, "minimum": 1e300},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_output_schema_gets_a_small_stand_in_soon(name: str) -> None:
    schema = HOSTILE[name]
    output = {"type": "object", "properties": {"result": schema}, "$defs": schema.get("$defs", {})}
    began = time.perf_counter()
    made = stand_in(only(define("act", output_schema=output)), {})
    assert size_of(made) < 3_000_000
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "node",
    [
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/node"}}, "required": ["x"]},
        {"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 3},
    ],
)
def test_a_schema_that_only_an_endless_value_satisfies_is_given_up(node: dict[str, Any], monkeypatch: Any) -> None:
    """Looking for one used to check 10,000 to 20,000 values, for a second or more, while nothing else was served."""
    checks = 0
    real = Checker.first_error

    def counted(checker: Checker, value: Any) -> Any:
        nonlocal checks
        checks += 1
        return real(checker, value)

    monkeypatch.setattr(Checker, "first_error", counted)
    output = {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}}, "required": ["a"]}
    stand_in(only(define("act", output_schema={**output, "$defs": {"node": node}})), {})
    assert checks <= MOST_CHECKS


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_of_a_question_is_a_grammar_soon(name: str) -> None:
    began = time.perf_counter()
    assert json_grammar(clean(HOSTILE[name])).text.startswith("root ::= ")
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("pattern", ["(((a+)+)+)+", "((((a{1,900})*)*)*)", "((a{30}){30}){30}", "(x{1000}){1000}"])
def test_a_text_for_a_pattern_has_a_size(pattern: str) -> None:
    """Three repetitions of a thousand, one in another, are a billion characters."""
    assert all(len(text) <= 10_000 for text in matching(pattern, least=9_000))


def test_a_number_beyond_all_floats_in_an_input_schema_leaves_the_tool_usable() -> None:
    tool = only(define("act", {"type": "object", "properties": {"a": {"type": "integer", "maximum": 10**400}}}))
    assert [parameter.name for parameter in tool.parameters] == ["a"]
