"""Binding a call: what fits goes out under raw names, what does not fit is refused with the place and a hint."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from catalog.making import define, only, taking
from catalog.schema_strategies import DEFINITIONS, dirty_schemas, plain_values, values, well_formed_schemas
from example_counts import examples
from planact_server.catalog.patience import Patience
from planact_server.catalog.signatures import signature
from planact_server.catalog.validation import ArgumentsError, bind

if TYPE_CHECKING:
    from planact_server.catalog.catalog import CatalogTool

STRING: Any = {"type": "string"}
INTEGER: Any = {"type": "integer"}
LOCATION: Any = {
    "type": "object",
    "properties": {"city": STRING, "zip": {"type": ["integer", "null"]}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def weather() -> CatalogTool:
    return only(
        taking(
            "get_weather",
            location=LOCATION,
            days={"type": "integer", "minimum": 1, "maximum": 7},
            units={"enum": ["celsius", "fahrenheit"]},
            tags={"type": "array", "items": STRING, "maxItems": 2},
            code={"type": "string", "pattern": "^[A-Z]{2}$"},
            factor={"type": "number"},
            deep={"type": "boolean"},
            when={"anyOf": [STRING, {"type": "array", "items": INTEGER}, {"type": "null"}]},
            required=("location",),
        )
    )


def refusal(tool: CatalogTool, *positional: Any, **keywords: Any) -> tuple[str, str | None]:
    with pytest.raises(ArgumentsError) as caught:
        bind(tool, positional, keywords)
    return caught.value.message, caught.value.parameter


BERLIN: Any = {"city": "Berlin"}


@pytest.mark.parametrize(
    ("keywords", "message", "parameter"),
    [
        ({}, "get_weather() is missing the argument 'location'.", "location"),
        (
            {"locaton": BERLIN},
            "get_weather() has no parameter 'locaton'. Did you mean 'location'?",
            "locaton",
        ),
        ({"location": "Berlin"}, "get_weather(): location must be dict, not 'Berlin' (str).", "location"),
        ({"location": {}}, "get_weather(): location.city is missing.", "location.city"),
        (
            {"location": {"town": "Berlin", "cty": "Berlin"}},
            "get_weather(): location.city is missing (it has 'cty').",
            "location.city",
        ),
        (
            {"location": {**BERLIN, "zp": 1}},
            "get_weather(): location.zp is not a key there. Did you mean 'zip'?",
            "location.zp",
        ),
        ({"location": {"city": 1}}, "get_weather(): location.city must be str, not 1 (int).", "location.city"),
        (
            {"location": {**BERLIN, "zip": "x"}},
            "get_weather(): location.zip must be int | None, not 'x' (str).",
            "location.zip",
        ),
        ({"location": BERLIN, "days": 0}, "get_weather(): days must be at least 1, not 0 (int).", "days"),
        ({"location": BERLIN, "days": "3"}, "get_weather(): days must be int, not '3' (str).", "days"),
        ({"location": BERLIN, "days": True}, "get_weather(): days must be int, not True.", "days"),
        ({"location": BERLIN, "days": 2.5}, "get_weather(): days must be int, not 2.5 (float).", "days"),
        ({"location": BERLIN, "days": None}, "get_weather(): days must be int, not None.", "days"),
        (
            {"location": BERLIN, "units": "Celsius"},
            "get_weather(): units must be one of 'celsius', 'fahrenheit', not 'Celsius' (str). Did you mean 'celsius'?",
            "units",
        ),
        ({"location": BERLIN, "tags": ["a", 2]}, "get_weather(): tags[1] must be str, not 2 (int).", "tags[1]"),
        ({"location": BERLIN, "tags": "a"}, "get_weather(): tags must be list[str], not 'a' (str).", "tags"),
        (
            {"location": BERLIN, "tags": ["a", "b", "c"]},
            "get_weather(): tags must have at most 2 items, not 3.",
            "tags",
        ),
        (
            {"location": BERLIN, "code": "de"},
            "get_weather(): code must match '^[A-Z]{2}$', and 'de' (str) does not.",
            "code",
        ),
        ({"location": BERLIN, "deep": 1}, "get_weather(): deep must be bool, not 1 (int).", "deep"),
        ({"location": BERLIN, "when": 5}, "get_weather(): when must be str | list[int] | None, not 5 (int).", "when"),
        ({"location": BERLIN, "when": [1, "x"]}, "get_weather(): when[1] must be int, not 'x' (str).", "when[1]"),
        (
            {"location": BERLIN, "factor": float("nan")},
            "get_weather(): factor must be float, not nan (float).",
            "factor",
        ),
    ],
)
def test_a_wrong_call_is_refused(weather: CatalogTool, keywords: Any, message: str, parameter: str) -> None:
    assert refusal(weather, **keywords) == (message, parameter)


def test_a_refusal_lists_the_parameters(weather: CatalogTool) -> None:
    with pytest.raises(ArgumentsError) as caught:
        bind(only(taking("f", **{"class": INTEGER, "b": STRING}, required=("b",))), (), {"c": 1})
    assert caught.value.hint == "Parameters: class_: int (optional), b: str."


def test_none_for_an_optional_parameter_gets_the_hint_to_leave_it_out(weather: CatalogTool) -> None:
    with pytest.raises(ArgumentsError) as caught:
        bind(weather, (BERLIN,), {"days": None})
    assert caught.value.hint == "Leave 'days' out to use the server's own default."


@pytest.mark.parametrize("schema", [STRING, {"enum": ["a"], "type": "string"}, {"type": ["string", "integer"]}])
def test_none_for_a_parameter_whose_default_is_null_leaves_it_out(schema: Any) -> None:
    """Servers that are written `key: str = None` refuse an explicit null, and mean the same by it."""
    tool = only(taking("f", a=STRING, key={**schema, "default": None}))

    assert bind(tool, ("x", None), {}) == bind(tool, ("x",), {"key": None}) == {"a": "x"}
    assert signature(tool).endswith(" | None = None)")


def test_a_null_that_the_type_admits_is_sent() -> None:
    tool = only(taking("f", key={"type": ["string", "null"], "default": None}, other={"default": None}))
    assert bind(tool, (None, None), {}) == {"key": None, "other": None}


def test_positional_arguments_go_in_schema_order() -> None:
    tool = only(taking("add", a=INTEGER, b=INTEGER, c=STRING, required=("b",)))

    assert bind(tool, (1, 2), {"c": "x"}) == {"a": 1, "b": 2, "c": "x"}
    assert refusal(tool, 1, 2, "x", 4) == ("add() takes at most 3 positional arguments, and 4 were given.", None)
    assert refusal(tool, 1, a=2) == ("add() got two values for 'a'.", "a")


def test_arguments_come_out_in_schema_order_under_raw_names() -> None:
    tool = only(taking("f", **{"from": STRING, "to-day": STRING, "x": STRING}))

    bound = bind(tool, (), {"x": "3", "to_day": "2", "from_": "1"})

    assert list(bound.items()) == [("from", "1"), ("to-day", "2"), ("x", "3")]


@pytest.mark.parametrize("raw", [True, False])
def test_both_spellings_of_a_parameter_are_accepted_but_not_together(raw: bool) -> None:
    tool = only(taking("f", **{"from": STRING}))

    assert bind(tool, (), {"from": "a"}, raw=raw) == bind(tool, (), {"from_": "a"}, raw=raw) == {"from": "a"}
    with pytest.raises(ArgumentsError, match="got two values for 'from'"):
        bind(tool, (), {"from_": "a", "from": "b"}, raw=raw)


def test_a_raw_call_is_refused_in_raw_names() -> None:
    tool = only(taking("f", **{"from": STRING}, required=("from",)))

    with pytest.raises(ArgumentsError, match=r"f\(\) is missing the argument 'from'\."):
        bind(tool, (), {}, raw=True)
    with pytest.raises(ArgumentsError, match=r"f\(\): from must be str, not 1"):
        bind(tool, (), {"from": 1}, raw=True)
    with pytest.raises(ArgumentsError, match=r"f\(\): from_ must be str, not 1"):
        bind(tool, (), {"from": 1})


def test_whole_floats_are_integers_and_integers_are_numbers() -> None:
    tool = only(taking("f", n=INTEGER, x={"type": "number"}))

    bound = bind(tool, (2.0, 3), {})

    assert (bound, type(bound["n"]), type(bound["x"])) == ({"n": 2, "x": 3}, int, int)


@pytest.mark.parametrize(
    ("schema", "is_open"),
    [
        ({"type": "object"}, True),
        ({}, True),
        (True, True),
        ({"type": "object", "properties": {}}, False),
        ({"properties": {"a": {}}}, False),
        ({"properties": {"a": {}}, "additionalProperties": False}, False),
        ({"properties": {"a": {}}, "additionalProperties": True}, True),
        ({"properties": {"a": {}}, "additionalProperties": STRING}, True),
        ({"patternProperties": {"^x-": STRING}}, True),
        ({"additionalProperties": False}, False),
    ],
)
def test_unlisted_arguments_are_accepted_only_where_the_schema_speaks_of_them(schema: Any, is_open: bool) -> None:
    tool = only(define("f", schema))

    assert tool.open_keywords is is_open
    if is_open:
        assert bind(tool, (), {"x-y": "text"}) == {"x-y": "text"}
    else:
        assert refusal(tool, **{"x-y": "text"})[1] == "x-y"


def test_unlisted_arguments_are_checked_against_their_own_schema() -> None:
    tool = only(define("f", {"additionalProperties": STRING}))
    assert refusal(tool, other=1) == ("f(): other must be str, not 1 (int).", "other")


def test_a_required_parameter_that_is_declared_nowhere_still_has_to_be_given() -> None:
    tool = only(define("f", {"properties": {"a": {}}, "required": ["b"]}))

    assert refusal(tool, a=1) == ("f() is missing the argument 'b'.", "b")
    assert bind(tool, (), {"b": [1]}) == {"b": [1]}


def test_alternatives_at_the_top_say_what_they_need() -> None:
    schema = {"properties": {"id": INTEGER, "name": STRING}, "anyOf": [{"required": ["id"]}, {"required": ["name"]}]}
    tool = only(define("find", schema))

    assert bind(tool, (), {"name": "x"}) == {"name": "x"}
    assert refusal(tool) == ("find() needs 'id', or 'name'.", None)


def test_a_recursive_schema_is_checked_all_the_way_down() -> None:
    node: Any = {"type": "object", "properties": {"name": STRING, "children": {"items": {"$ref": "#/$defs/node"}}}}
    tool = only(define("f", {"properties": {"root": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}))

    wrong = {"children": [{"children": [{"name": "x"}, {"name": 5}]}]}

    assert refusal(tool, root=wrong)[1] == "root.children[0].children[1].name"


def test_a_value_nested_beyond_all_measure_is_refused() -> None:
    node: Any = {"type": "array", "items": {"$ref": "#/$defs/node"}}
    tool = only(define("f", {"properties": {"root": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}))
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]

    assert refusal(tool, root=deep) == ("f() got a value that is nested too deeply.", None)


def test_a_pattern_that_explodes_elsewhere_takes_no_time() -> None:
    tool = only(taking("f", a={"type": "string", "pattern": "^(a+)+$"}))
    assert refusal(tool, a="a" * 50_000 + "!")[1] == "a"


def test_a_keyword_without_end_is_refused_briefly() -> None:
    message, parameter = refusal(only(taking("f", a=STRING)), **{"a" * 1_000_000: 1})
    assert (len(message) < 300, parameter) == (True, "a" * 200)


@pytest.mark.parametrize("schema", [{"enum": ["a"]}, {"multipleOf": 0.5}, {"maximum": 5}, STRING, {"const": 1}])
def test_a_number_too_large_to_write_down_is_refused_as_calmly(schema: Any) -> None:
    assert refusal(only(taking("f", a=schema)), a=10**5_000)[0].startswith("f()")


def test_definitions_that_unfold_without_end_are_let_through() -> None:
    """Every level doubles the work. The server checks again, and a plan cannot hold up ours."""
    twice: Any = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
    tool = only(define("f", {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**twice, "d60": STRING}}))

    assert bind(tool, (), {"a": 5}) == {"a": 5}
    assert bind(tool, (), {"a": "x"}) == {"a": "x"}


_CHOICES: Any = {"enum": [f"choice {number}" for number in range(1_000)]}
_NUMBERS: Any = list(range(300_000))
_TABLES: Any = [{**dict.fromkeys("abcdefgh", [0] * 100), "n": number} for number in range(256)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "items": {"type": "integer"}}, _NUMBERS),
        ({"type": "array", "items": {"anyOf": [STRING, INTEGER]}}, _NUMBERS),
        ({"type": "array", "items": _CHOICES}, ["choice 999"] * 300_000),
        ({"type": "array", "contains": STRING}, _NUMBERS),
        ({"additionalProperties": INTEGER}, dict.fromkeys(map(str, _NUMBERS), 1)),
        (
            {"type": "array", "uniqueItems": True},
            [{**dict.fromkeys("abcdefgh", [0] * 100), "n": n} for n in range(256)],
        ),
    ],
    ids=["items", "alternatives", "choices", "contains", "keys", "unique"],
)
def test_a_value_of_many_parts_is_checked_no_further_than_a_check_is_worth(schema: Any, value: Any) -> None:
    """A plan makes such a value in no time, a thousand times over, and every other plan waits for the check."""
    tool = only(taking("f", a=schema))
    started = time.process_time()

    assert bind(tool, (value,), {})["a"] is value
    assert time.process_time() - started < 1


def test_the_calls_of_one_plan_share_what_checking_them_is_worth() -> None:
    tool = only(taking("f", a={"type": "array", "items": INTEGER}))
    large: Any = [*range(4_000), "x"]
    patience = Patience()

    with pytest.raises(ArgumentsError):
        bind(tool, (large,), {}, patience=patience)
    for _ in range(12):
        bind(tool, (_NUMBERS[:4_000],), {}, patience=patience)

    assert bind(tool, (large,), {}, patience=patience) == {"a": large}
    with pytest.raises(ArgumentsError, match="must be"):
        bind(tool, (["x"],), {}, patience=patience)


def test_what_is_wrong_at_the_beginning_of_a_large_value_is_found() -> None:
    tool = only(taking("f", a={"type": "array", "items": INTEGER}))
    assert refusal(tool, a=["x", *_NUMBERS])[1] == "a[0]"


@pytest.mark.parametrize("schema", [{"additionalProperties": True}, {"required": ["b"], "additionalProperties": True}])
def test_more_arguments_than_any_tool_takes_are_refused_at_once(schema: Any) -> None:
    tool = only(define("f", {"properties": {"b": INTEGER}, **schema}))
    message, _ = refusal(tool, **{f"b{number}": 1 for number in range(300_000)})
    assert message == "f() got 300,000 arguments, and 10,000 are the most."


def test_a_misspelt_key_is_looked_for_among_a_few() -> None:
    tool = only(taking("f", a={"properties": {"city": STRING}, "required": ["city"]}))
    keys: Any = {"citi": "Rome", **dict.fromkeys(map(str, _NUMBERS), 1)}
    started = time.process_time()

    assert refusal(tool, a=keys)[0].endswith("(it has 'citi').")
    assert time.process_time() - started < 1


def test_a_reference_to_elsewhere_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("a schema reached for the network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    tool = only(taking("f", a={"$ref": "https://localhost/schema.json"}, b={"$ref": "http://x/y#/z"}))

    assert bind(tool, (5, "x"), {}) == {"a": 5, "b": "x"}
    assert len(tool.problems) == 2


@pytest.mark.parametrize(
    ("schema", "is_accepted"),
    [
        (STRING, True),
        ({"type": "string", "maxLength": 3, "pattern": "^x$"}, True),
        ({"anyOf": [INTEGER, {"type": "null"}, STRING]}, True),
        ({}, True),
        (INTEGER, False),
        ({"type": "object", "properties": {"id": STRING}}, False),
    ],
)
def test_content_that_the_plan_holds_by_a_handle_counts_as_text(schema: Any, is_accepted: bool) -> None:
    handle = {"$planact": "text", "id": "t_1", "size": 9_000_000}
    tool = only(taking("f", body=schema, all={"type": "array", "items": schema}))

    if is_accepted:
        assert bind(tool, (handle, [handle]), {}) == {"body": handle, "all": [handle]}
    else:
        assert refusal(tool, handle)[1] == "body"
        assert refusal(tool, all=[handle])[1] == "all[0]"


@given(well_formed_schemas, plain_values)
@settings(max_examples=examples(2))
def test_it_agrees_with_jsonschema_about_well_formed_schemas(schema: Any, value: Any) -> None:
    document = {"type": "object", "properties": {"value": schema}, "$defs": DEFINITIONS}
    tool = only(define("f", document))

    if Draft202012Validator(document).is_valid({"value": value}):
        assert bind(tool, (), {"value": value}) == {"value": value}
    else:
        message, parameter = refusal(tool, value=value)
        assert (message[:9], str(parameter)[:5]) == ("f(): valu", "value")


@given(dirty_schemas, st.lists(values, max_size=2), st.dictionaries(st.sampled_from(["x", "y", "class", "z"]), values))
def test_nothing_but_an_arguments_error_comes_out_of_a_dirty_schema(
    schema: Any, positional: list[Any], keywords: dict[str, Any]
) -> None:
    tool = only(define("f", schema))
    try:
        bound = bind(tool, positional, keywords)
    except ArgumentsError:
        return
    left_out = [value for value in (*positional, *keywords.values()) if value is None]
    assert len(positional) + len(keywords) - len(left_out) <= len(bound) <= len(positional) + len(keywords)
