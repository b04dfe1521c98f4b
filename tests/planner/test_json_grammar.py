"""A schema's grammar admits the JSON that fits it, and hardly anything else."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from jsonschema import Draft202012Validator

from catalog.making import define, only
from catalog.recorded import recorded_servers
from catalog.schema_strategies import DEFINITIONS, dirty_schemas, plain_values, well_formed_schemas
from planact_quantized.grammar.automaton import Automaton, State
from planact_quantized.grammar.gbnf import parse
from planact_server.catalog.catalog import Catalog
from planact_server.catalog.schemas import clean
from planact_server.planner.json_grammar import json_grammar
from planact_server.standins.making import stand_in

steady = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def grammar(schema: Any) -> State:
    return Automaton(parse(json_grammar(clean(schema)).text)).start


def admits(start: State, text: str) -> bool:
    end = start.walk(text)
    return end is not None and end.may_end


SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ['a"b', "c", 3, None]},
        "count": {"type": "integer", "minimum": 0},
        "share": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "minItems": 1, "maxItems": 2},
        "when": {"type": "string", "format": "date"},
        "parent": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["kind", "share"],
}


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "c", "share": 1.5}',
        '{"kind":"a\\"b","count":0,"share":-2e-3,"tags":["x","yyyyy"],"when":"2026-12-01","parent":null}',
        '\n{"kind": 3, "share": 0, "parent": {"kind": null, "share": 1}}',
        '{"kind": "c",\n  "share": 1,\n  "when": "2026-12-01"}\n',
    ],
)
def test_what_fits_is_admitted(text: str) -> None:
    Draft202012Validator(SCHEMA).validate(json.loads(text))
    assert admits(grammar(SCHEMA), text)


@pytest.mark.parametrize(
    "text",
    [
        "Here it is: {}",
        '{"kind": "c"}',
        '{"kind": "d", "share": 1}',
        '{"kind": "c", "count": -1, "share": 1}',
        '{"kind": "c", "count": 1.5, "share": 1}',
        '{"kind": "c", "share": 1, "tags": []}',
        '{"kind": "c", "share": 1, "tags": ["abcdef"]}',
        '{"kind": "c", "share": 1, "when": "soon"}',
        '{"kind": "c", "share": 1, "other": 1}',
        '{"kind": "c", "share": 01}',
        '{"kind": "c", "share": 1,}',
        '{"kind": "c", "share": 1}' + " " * 30,
        '{"kind": "c", "share": NaN}',
    ],
)
def test_what_does_not_fit_cannot_be_written(text: str) -> None:
    assert not admits(grammar(SCHEMA), text)


@steady
@given(well_formed_schemas, plain_values)
def test_a_value_that_fits_is_never_excluded(schema: Any, witness: Any) -> None:
    validator = Draft202012Validator({**schema, "$defs": DEFINITIONS} if isinstance(schema, dict) else schema)
    assume(validator.is_valid(witness))
    whole = {"type": "object", "properties": {"value": schema}, "required": ["value"], "$defs": DEFINITIONS}
    # A stand-in has its properties in the schema's order, as the grammar wants them.
    made = stand_in(only(define("act", output_schema={**whole, "properties": {**whole["properties"], "z": {}}})), {})
    assert admits(grammar(whole), json.dumps({"value": made["value"]}))


@pytest.mark.parametrize(
    "schema",
    [{"type": "string", "minLength": 2, "maxLength": 1}, {"type": "array", "minItems": 3, "maxItems": 1}],
    ids=["text", "list"],
)
def test_a_schema_that_contradicts_itself_has_a_grammar(schema: Any) -> None:
    assert admits(grammar({"anyOf": [schema, {"type": "null"}]}), "null")


@steady
@given(dirty_schemas)
def test_any_schema_has_a_grammar(schema: Any) -> None:
    grammar(schema)


def test_whatever_is_written_under_a_grammar_is_json_that_fits() -> None:
    validator = Draft202012Validator(SCHEMA)
    dice = random.Random(7)
    for _ in range(30):
        validator.validate(json.loads(_wandered(grammar(SCHEMA), dice)))


def _wandered(state: State, dice: random.Random) -> str:
    """Write a text by taking allowed characters at random, the ends of things preferred so that it ends."""
    text = ""
    while not (state.may_end and text.strip()):
        letters = '}]",:' if dice.random() < 0.7 else ' \n{["abcx0123456789.-eEtrufalsn\\kindsharecountgwp:,}]'
        following = [letter for letter in letters if state.after(letter) is not None]
        if following:
            letter = dice.choice(following)
            text += letter
            state = state.after(letter)  # type: ignore[assignment]
        assert len(text) < 100_000
    return text


def test_what_real_servers_declare_has_a_grammar_that_admits_it(shared: Any) -> None:
    tools = [tool for tool in Catalog.build(recorded_servers(shared / "data")) if tool.returns is not None]
    assert len(tools) > 50
    for tool in tools:
        schema = tool.definition.output_schema
        wrapped = define("act", output_schema={"type": "object", "properties": {"value": schema, "z": {}}})
        made = stand_in(only(wrapped), {})["value"] if "$ref" not in json.dumps(schema) else None
        if made is not None:
            assert admits(grammar(schema), json.dumps(made)), tool.full_name
