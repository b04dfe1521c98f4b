"""The shape of a value admits it, says nothing of its contents, and two shapes join into one that admits both."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from planact_server.catalog.schemas import clean
from planact_server.catalog.shapes import MOST_FIELDS, joined, shape_of

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.sampled_from(["id", "name", "items", "a b", "2024-01-01", "état"]) | st.text(max_size=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def admits(shape: Any, value: Any) -> bool:
    return Draft202012Validator(shape).is_valid(value)


@given(VALUES)
def test_a_shape_admits_its_value_and_is_in_the_dialect(value: Any) -> None:
    shape = shape_of(value)
    assert admits(shape, value)
    cleaned = clean(shape)
    assert (cleaned.root, cleaned.problems) == (shape, ())


@given(VALUES, VALUES, VALUES)
def test_joined_shapes_admit_every_value_and_a_known_one_changes_nothing(one: Any, other: Any, third: Any) -> None:
    shape = joined(joined(shape_of(one), shape_of(other)), shape_of(third))
    assert [value for value in (one, other, third) if not admits(shape, value)] == []
    assert joined(shape, shape_of(one)) == shape


def an_object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties} | ({"required": [*required]} if required else {})


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
MAPPING = {"type": "object", "additionalProperties": WHOLE}


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (["secret"], TEXT),
        ([1, 2.5], {"type": "number"}),
        ([True, 1], {"anyOf": [WHOLE, {"type": "boolean"}]}),
        ([None, "x"], {"anyOf": [TEXT, {"type": "null"}]}),
        ([[]], {"type": "array"}),
        ([[], [1]], {"type": "array", "items": WHOLE}),
        ([{"a": 1}, {"a": 2, "b": "x"}], an_object({"a": WHOLE, "b": TEXT}, "a")),
        ([{"a": 1}, {"a": None}], an_object({"a": {"anyOf": [WHOLE, {"type": "null"}]}}, "a")),
        ([{}, {"a": 1}], an_object({"a": WHOLE})),
        ([{"image": {"$attachment": 0}}], an_object({"image": {}}, "image")),
    ],
    ids=str,
)
def test_the_shape_of_some_results(values: list[Any], shape: Any) -> None:
    seen = shape_of(values[0])
    for value in values[1:]:
        seen = joined(seen, shape_of(value))
    assert seen == shape


@pytest.mark.parametrize(
    "values",
    [
        [{"alice": 1}, {"bob": 2}],
        [{"/srv/alice/taxes.pdf": 1}],
        [{"2026-11-29": 1}],
        [{"user_80341": 1}],
        [{f"k{'x' * number}": number for number in range(MOST_FIELDS + 1)}],
        [{"a": 1, "b": 2}, {"c": 3, "d": 4}, {"a": 5}, {"e": 6, "f.g": 7, "h i": 8}],
    ],
    ids=["no key in common", "path", "date", "id", "many", "a sentence among them"],
)
def test_keys_that_are_data_do_not_become_fields(values: list[Any]) -> None:
    seen = shape_of(values[0])
    for value in values[1:]:
        seen = joined(seen, shape_of(value))
    assert seen == MAPPING


def test_a_large_result_is_read_as_a_sample() -> None:
    rows = [{"id": number, "tags": ["x"] * 1_000} for number in range(10_000)]
    row = an_object({"id": WHOLE, "tags": {"type": "array", "items": TEXT}}, "id", "tags")
    assert shape_of(rows) == {"type": "array", "items": row}


def test_what_is_nested_deeply_may_be_anything() -> None:
    value: Any = 1
    for _ in range(1_000):
        value = [value]
    assert str(shape_of(value)).count("array") == 6
