"""How a tool looks: one line, a stub, a full description. All of it parses, whatever the server sent."""

from __future__ import annotations

import ast
import typing
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given

from catalog.making import define, only, taking
from catalog.schema_strategies import dirty_schemas, texts
from planact_server.catalog.signatures import describe, signature, stub

STRING: Any = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "annotation"),
    [
        (STRING, "str"),
        ({"type": "integer"}, "int"),
        ({"type": "number"}, "float"),
        ({"type": "boolean"}, "bool"),
        ({"type": "null"}, "None"),
        ({"type": "array"}, "list"),
        ({"type": "array", "items": {"type": "array", "items": STRING}}, "list[list[str]]"),
        ({"type": "array", "prefixItems": [STRING, {"type": "integer"}]}, "list[str | int]"),
        ({"type": "object"}, "dict"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict[str, int]"),
        ({"type": "object", "properties": {"a": STRING}}, "dict"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"type": ["null", "string"]}, "str | None"),
        ({"type": "integer", "nullable": True}, "int | None"),
        ({"enum": ["a", "b"]}, "Literal['a', 'b']"),
        ({"enum": ["it's", "\n", 1, True, None]}, "Literal[\"it's\", '\\n', 1, True] | None"),
        ({"enum": [1.5, 2.5]}, "float"),
        ({"enum": list(range(20))}, "Literal[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
        ({"const": "only"}, "Literal['only']"),
        ({"oneOf": [{"const": "a"}, {"const": "b"}]}, "Literal['a', 'b']"),
        ({"anyOf": [STRING, {"type": "null"}, {"type": "integer"}]}, "str | int | None"),
        ({"anyOf": [{"type": "number"}, {"not": {}}]}, "float"),
        ({"allOf": [{"description": "x"}, STRING]}, "str"),
        ({"$ref": "#/properties/other"}, "bool"),
        ({"$ref": "#/nowhere"}, "Any"),
        ({"minLength": 3}, "str"),
        ({"properties": {"a": {}}}, "dict"),
        ({}, "Any"),
        (True, "Any"),
        (False, "Any"),
        ("nonsense", "Any"),
        ({"type": "array", "items": {"$ref": "#"}}, "list[dict]"),
    ],
)
def test_a_schema_becomes_a_type(schema: Any, annotation: str) -> None:
    tool = only(taking("f", p=schema, other={"type": "boolean"}, required=("p", "other")))
    assert signature(tool) == f"demo.f(p: {annotation}, other: bool)"


def test_a_signature_shows_defaults_and_what_comes_back() -> None:
    tool = only(
        define(
            "git-log",
            {
                "properties": {
                    "repo": STRING,
                    "count": {"type": "integer", "default": 10},
                    "since": {"anyOf": [STRING, {"type": "null"}], "default": None},
                    "author": STRING,
                    "from": {"type": "string", "default": "x" * 80},
                },
                "required": ["repo"],
            },
            output_schema={"type": "object", "properties": {"result": {"type": "array", "items": STRING}}},
        ),
        server="git",
    )
    assert signature(tool) == (
        "git.git_log(repo: str, count: int = 10, since: str | None = None, author: str = ..., from_: str = ...)"
        " -> list[str]"
    )


def test_required_parameters_after_optional_ones_go_behind_a_star() -> None:
    tool = only(taking("f", a=STRING, b=STRING, c=STRING, required=("b",)))
    assert signature(tool) == "demo.f(a: str = ..., *, b: str, c: str = ...)"


def test_unlisted_arguments_show() -> None:
    assert signature(only(define("f", True))) == "demo.f(**others: Any)"
    assert signature(only(define("f", {"properties": {"others": {}}, "additionalProperties": True}))) == (
        "demo.f(others: Any = ..., **others_: Any)"
    )


EVENT: Any = {
    "type": "object",
    "properties": {
        "title": STRING,
        "place": {"$ref": "#/$defs/Place"},
        "guests": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"e-mail": {"type": "string", "format": "email", "description": "Where\nto\u202ewrite"}},
                "required": ["e-mail"],
            },
        },
    },
    "required": ["title"],
}
PLACE: Any = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2, "pattern": "^[A-Z]"},
        "inside": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
    },
}


def calendar_tool() -> Any:
    schema = {
        "properties": {"event": EVENT, "when": {"type": "string", "format": "date-time", "description": "Start."}},
        "required": ["event"],
        "$defs": {"Place": PLACE},
    }
    return only(
        define(
            "create-event", schema, description='Create an event.\n\n  Says "done".', read_only=False, destructive=True
        ),
        server="my.calendar",
    )


def test_a_stub_holds_the_nested_objects_it_needs() -> None:
    assert stub(calendar_tool()) == dedent(
        '''\
        class CreateEventPlace(TypedDict):
            city: NotRequired[str]
            inside: NotRequired['CreateEventPlace | None']

        CreateEventEventGuestsItem = TypedDict('CreateEventEventGuestsItem', {
            'e-mail': str,  # Where to<U+202E>write
        })

        class CreateEventEvent(TypedDict):
            title: str
            place: NotRequired[CreateEventPlace]
            guests: NotRequired[list[CreateEventEventGuestsItem]]

        def create_event(event: CreateEventEvent, when: str = ...) -> Any:
            """Create an event.

            Says "done".

            Args:
                when: Start.
            """'''
    )


def test_a_description_adds_what_types_cannot_say() -> None:
    tool = calendar_tool()
    head, _, rest = describe(tool).partition("\nclass ")

    assert head == dedent(
        """\
        # my_calendar.create_event, or just create_event
        # raw name: 'create-event' on server 'my.calendar'
        # event.place.city: at least 2 characters, matches '^[A-Z]'
        # event.guests[].e-mail: format email
        # when: format date-time
        # its server says: not reads only, destructive"""
    )
    assert f"class {rest}" == stub(tool)


def test_a_description_names_raw_parameters_and_defects() -> None:
    tool = only(taking("f", **{"from": {"type": "strnig"}}))
    assert describe(tool).splitlines()[:3] == [
        "# demo.f, or just f",
        "# from_ is 'from' on the wire",
        "# note: input from: type 'strnig' is unknown; not checked",
    ]


def test_a_tool_whose_plain_name_is_taken_says_how_it_is_called() -> None:
    assert stub(only(define("print"))) == '# called as demo.print(...)\ndef print() -> Any:\n    """Call print."""'


def test_a_tool_without_a_description_still_has_a_docstring() -> None:
    assert stub(only(define("get-it"))) == 'def get_it() -> Any:\n    """Call get-it."""'


@given(texts, texts)
def test_no_text_breaks_out_of_its_docstring(description: str, parameter: str) -> None:
    tool = only(
        define(
            "f",
            {"properties": {"a": {"description": parameter}, "b": {"properties": {"c": {"description": parameter}}}}},
            description=description,
        )
    )
    module = ast.parse(stub(tool))

    assert [type(node).__name__ for node in module.body] == ["ClassDef", "FunctionDef"]
    function = module.body[1]
    assert isinstance(function, ast.FunctionDef)
    assert len(function.body) == 1
    docstring = ast.get_docstring(function) or ""
    assert [word for word in description.split() if word.isprintable() and word not in docstring] == []


@given(dirty_schemas, dirty_schemas)
def test_a_stub_of_a_dirty_schema_is_python_that_runs(schema: Any, output: Any) -> None:
    tool = only(define("f", schema, output_schema=output))

    ast.parse(describe(tool))
    assert "\n" not in signature(tool)
    names = {"TypedDict": typing.TypedDict, "NotRequired": Any, "Literal": typing.Literal, "Any": Any}
    exec(stub(tool), {**names, "NotRequired": typing.Optional})


def test_definitions_that_unfold_without_end_are_written_briefly() -> None:
    twice: Any = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 40} for n in range(60)}
    tool = only(define("f", {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**twice, "d60": STRING}}))

    assert signature(tool) == "demo.f(a: Any = ...)"
    assert len(describe(tool)) < 500
