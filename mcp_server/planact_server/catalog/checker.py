"""A compiled schema that checks values: jsonschema, with the parts replaced that a hostile schema could misuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sized
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from referencing import Registry

from planact_server.catalog.patience import Patience
from planact_server.catalog.patterns import matcher
from planact_server.plain_json import size_of

if TYPE_CHECKING:
    from planact_server.catalog.schemas import CleanSchema
    from planact_tools import JSONValue

MAX_REFERENCES = 10_000
"""References followed for one value. Definitions that use each other twice double the work with every level."""

MAX_UNIQUE = 256
MAX_UNIQUE_CHARS = 20_000
"""Items that are compared with each other, and their length together; it takes quadratic time."""

HANDLE_KEY = "$planact"
"""A value with this key stands for content that the plan does not hold itself. It becomes text when the call leaves."""


class Checker:
    """Checks values against one schema."""

    def __init__(self, schema: CleanSchema) -> None:
        root = schema.root if isinstance(schema.root, dict) else {}
        # Unknown arguments are refused by name before; combined schemas would refuse each other's properties here.
        kept = {key: value for key, value in root.items() if not (key == "additionalProperties" and value is False)}
        self._validator: Any = _Validator({**kept, "$defs": dict(schema.definitions)}, registry=_NOTHING_ELSE)

    def first_error(self, value: Mapping[str, JSONValue], patience: Patience | None = None) -> ValidationError | None:
        """Return what is wrong first, or None: also where finding out would be more work than it is worth.

        Raises RecursionError for a value that is nested too deeply, OverflowError and ValueError for numbers that
        are too large to be divided or written down.
        """
        patience = patience or Patience()
        left = _Left(references=MAX_REFERENCES, steps=patience.for_one_call())
        _left.set(left)
        given = left.steps
        try:
            return next(self._validator.iter_errors(value), None)
        except _TooInvolvedError:
            return None
        finally:
            patience.spend(given - left.steps)


class _TooInvolvedError(Exception):
    """Schema and value together ask for more work than a check is worth: the calls of all plans wait for it."""


@dataclass(slots=True)
class _Left:
    """The work that is left for one value."""

    references: int
    steps: int

    def step(self, weight: int = 1) -> None:
        self.steps -= weight
        if self.steps < 0:
            raise _TooInvolvedError


_left: ContextVar[_Left] = ContextVar("left")


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
    items = cast("list[JSONValue]", instance)
    if isinstance(instance, list) and len(items) <= MAX_UNIQUE and size_of(items) <= MAX_UNIQUE_CHARS:
        yield from Draft202012Validator.VALIDATORS["uniqueItems"](validator, unique, instance, schema)


def _ref(validator: Any, ref: str, instance: object, schema: object) -> _Errors:
    left = _left.get()
    left.references -= 1
    if left.references < 0:
        raise _TooInvolvedError
    yield from Draft202012Validator.VALIDATORS["$ref"](validator, ref, instance, schema)


def _weighed(keyword: str) -> Callable[..., _Errors]:
    """A keyword that goes through a list of the schema's own, for every value anew."""

    def check(validator: Any, listed: Sized, instance: object, schema: object) -> _Errors:
        _left.get().step(len(listed) // 50)
        yield from Draft202012Validator.VALIDATORS[keyword](validator, listed, instance, schema) or ()

    return check


# jsonschema's own types do not say what kind of class this is.
_extend = cast(Any, validators).extend
_Validator: Any = _extend(
    Draft202012Validator,
    validators={
        "$ref": _ref,
        "type": _type,
        "pattern": _pattern,
        "uniqueItems": _unique_items,
        **{keyword: _weighed(keyword) for keyword in ("enum", "required", "properties")},
    },
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer, "object": _is_object}
    ),
)


def _counting(method: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*args: Any, **options: Any) -> Any:
        _left.get().step()
        return method(*args, **options)

    return counted


# Whatever is tried on a part of a value is tried by a validator that was made for it, or that is asked once more.
_Validator.evolve = _counting(_Validator.evolve)
_Validator.iter_errors = _counting(_Validator.iter_errors)

# Empty and without a way to retrieve anything: no reference ever leads to the network.
_NOTHING_ELSE: Any = Registry[Any]()
