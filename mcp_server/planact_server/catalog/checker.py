"""A compiled schema that checks values: jsonschema, with the parts replaced that a hostile schema could misuse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from referencing import Registry

from planact_server.catalog.patterns import matcher

if TYPE_CHECKING:
    from planact_server.catalog.schemas import CleanSchema
    from planact_tools import JSONValue

MAX_REFERENCES = 10_000
"""References followed for one value. Definitions that use each other twice double the work with every level."""

MAX_UNIQUE = 256
"""Items that are compared with each other; it takes quadratic time."""

HANDLE_KEY = "$planact"
"""A value with this key stands for content that the plan does not hold itself. It becomes text when the call leaves."""


class Checker:
    """Checks values against one schema."""

    def __init__(self, schema: CleanSchema) -> None:
        root = schema.root if isinstance(schema.root, dict) else {}
        # Unknown arguments are refused by name before; combined schemas would refuse each other's properties here.
        kept = {key: value for key, value in root.items() if not (key == "additionalProperties" and value is False)}
        self._validator: Any = _Validator({**kept, "$defs": dict(schema.definitions)}, registry=_NOTHING_ELSE)

    def first_error(self, value: Mapping[str, JSONValue]) -> ValidationError | None:
        """Return what is wrong first, or None: also where finding out would be more work than it is worth.

        Raises RecursionError for a value that is nested too deeply, OverflowError and ValueError for numbers that
        are too large to be divided or written down.
        """
        _references_left.set(MAX_REFERENCES)
        try:
            return next(self._validator.iter_errors(value), None)
        except _TooInvolvedError:
            return None


class _TooInvolvedError(Exception):
    """The schema asks for more work than a check is worth."""


_references_left: ContextVar[int] = ContextVar("references_left", default=MAX_REFERENCES)


def is_handle(value: object) -> bool:
    return isinstance(value, dict) and HANDLE_KEY in value


def _is_number(_: object, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _is_integer(_: object, value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_object(_: object, value: object) -> bool:
    return isinstance(value, dict) and HANDLE_KEY not in value


_Errors = Iterator[ValidationError]


def _type(validator: Any, types: str | list[str], instance: object, _: object) -> _Errors:
    words = [types] if isinstance(types, str) else types
    if is_handle(instance):
        if "string" not in words:
            yield ValidationError("handle")
    elif not any(validator.is_type(instance, word) for word in words):
        yield ValidationError("type")


def _pattern(validator: Any, pattern: str, instance: object, _: object) -> _Errors:
    if validator.is_type(instance, "string") and (found := matcher(pattern)) and not found(cast(str, instance)):
        yield ValidationError("pattern")


def _unique_items(validator: Any, unique: bool, instance: object, schema: object) -> _Errors:
    if isinstance(instance, list) and len(cast("list[object]", instance)) <= MAX_UNIQUE:
        yield from Draft202012Validator.VALIDATORS["uniqueItems"](validator, unique, instance, schema)


def _ref(validator: Any, ref: str, instance: object, schema: object) -> _Errors:
    left = _references_left.get()
    if left <= 0:
        raise _TooInvolvedError
    _references_left.set(left - 1)
    yield from Draft202012Validator.VALIDATORS["$ref"](validator, ref, instance, schema)


# jsonschema's own types do not say what kind of class this is.
_extend = cast(Any, validators).extend
_Validator: Any = _extend(
    Draft202012Validator,
    validators={"$ref": _ref, "type": _type, "pattern": _pattern, "uniqueItems": _unique_items},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer, "object": _is_object}
    ),
)

# Empty and without a way to retrieve anything: no reference ever leads to the network.
_NOTHING_ELSE: Any = Registry[Any]()
