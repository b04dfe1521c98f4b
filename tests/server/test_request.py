"""The tool's arguments: what is taken, and what is said about the rest."""

import pytest

from planact_server.request import INPUT_SCHEMA, PlanRequest, RequestError, read_request


def test_what_is_left_out_or_null_has_its_default() -> None:
    assert read_request({"code": "1", "session": None}) == PlanRequest(code="1")


def test_a_whole_number_may_be_written_as_a_float() -> None:
    assert read_request({"code": "1", "max_chars": 2000.0, "wait_seconds": 5}) == PlanRequest(
        code="1", max_chars=2000, wait_seconds=5
    )


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"code": "1", "wait_seconds": -1}, "wait_seconds"),
        ({"code": "1", "timeout_seconds": 0}, "timeout_seconds"),
        ({"code": "1", "timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"code": "1", "max_chars": 20.5}, "max_chars"),
        ({"code": "1", "max_chars": True}, "max_chars"),
        ({"code": "1", "mode": "dry"}, "mode"),
        ({"code": ["1"]}, "code"),
        ({"run": "r_1", "session": "s_1"}, "session"),
        ({"codes": "1"}, "codes"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], parameter: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_request(arguments)
    assert caught.value.parameter == parameter
    assert parameter in caught.value.message


def test_the_schema_is_flat_and_describes_every_property() -> None:
    assert set(INPUT_SCHEMA) == {"type", "properties", "additionalProperties"}
    properties = INPUT_SCHEMA["properties"]
    assert isinstance(properties, dict)
    assert all(isinstance(each, dict) and each["description"] for each in properties.values())


def test_a_mark_that_editors_put_before_a_file_is_no_part_of_a_plan() -> None:
    assert read_request({"code": "\ufeff1 + 1"}).code == "1 + 1"
