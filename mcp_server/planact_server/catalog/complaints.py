"""jsonschema's errors in words that a plan's author can act on. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from planact_server.catalog.schemas import Schema
from planact_server.catalog.suggestions import MOST_STRANGE, closest, did_you_mean

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

    from planact_tools import JSONValue

MOST_CHOICES = 20
MOST_CHARS = 80

Annotate = Callable[[Schema], str]

_BOUNDS = {
    "minimum": "must be at least {0}, not {1}",
    "maximum": "must be at most {0}, not {1}",
    "exclusiveMinimum": "must be more than {0}, not {1}",
    "exclusiveMaximum": "must be less than {0}, not {1}",
    "multipleOf": "must be a multiple of {0}, not {1}",
    "minLength": "must have at least {0} characters, not {2}",
    "maxLength": "must have at most {0} characters, not {2}",
    "minItems": "must have at least {0} items, not {2}",
    "maxItems": "must have at most {0} items, not {2}",
    "minProperties": "must have at least {0} keys, not {2}",
    "maxProperties": "must have at most {0} keys, not {2}",
    "pattern": "must match {0!r}, and {1} does not",
    "uniqueItems": "must not hold the same item twice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What is wrong, and where. `path` begins with the raw name of a parameter."""

    path: tuple[str | int, ...]
    text: str
    value: JSONValue
    hint: str | None = None


def complain(error: ValidationError, annotate: Annotate) -> Complaint:
    """Say what an error means. `annotate` writes a schema as a Python type."""
    error = _decisive(error)
    path = tuple(cast("Iterable[str | int]", error.absolute_path))
    keyword = str(error.validator)
    value = cast("JSONValue", error.instance)
    match keyword:
        case "required":
            return _missing(error, path)
        case "additionalProperties":
            return _unknown(error, path)
        case "enum" | "const":
            return _choice(error, path, value)
        case "type":
            text = f"must be {annotate(cast(Schema, error.schema))}, not {shown(value)}."
        case "anyOf" | "oneOf":
            text = _alternatives(error, annotate)
        case _:
            text = _bound(keyword, error.validator_value, value)
    return Complaint(path=path, text=text, value=value)


def shown(value: JSONValue) -> str:
    """Return a value and its type, however large it is, on one short line."""
    match value:
        case None | bool():
            return repr(value)
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"a dict with {len(value)} keys" if len(value) != 1 else "a dict with 1 key"
        case str():
            return f"{value[:MOST_CHARS]!r}{'…' if len(value) > MOST_CHARS else ''} (str)"
        case _:
            return f"{value:.17g} ({type(value).__name__})" if isinstance(value, float) else f"{_digits(value)} (int)"


def _digits(value: int) -> str:
    # Python refuses to write down very long numbers.
    return str(value) if abs(value) < 10**MOST_CHARS else "a very large number"


def _decisive(error: ValidationError) -> ValidationError:
    """Follow the one alternative that the value was meant for, as far as its type tells."""
    while error.validator in ("anyOf", "oneOf") and error.context:
        meant = [each for each in _by_branch(error) if not _is_other_type(each, error)]
        if len(meant) != 1:
            break
        error = meant[0]
    return error


def _by_branch(error: ValidationError) -> list[ValidationError]:
    """Return the first error of each alternative."""
    first: dict[Any, ValidationError] = {}
    for each in error.context:
        first.setdefault(each.schema_path[0], each)
    return list(first.values())


def _is_other_type(each: ValidationError, whole: ValidationError) -> bool:
    return each.validator in ("type", "not", None) and len(each.absolute_path) == len(whole.absolute_path)


def _alternatives(error: ValidationError, annotate: Annotate) -> str:
    if not error.context:
        return "fits more than one of the schema's alternatives, and only one may fit."
    branches = _by_branch(error)
    if all(each.validator == "required" for each in branches):
        needed = [" and ".join(map(repr, cast("list[str]", each.validator_value))) for each in branches]
        return f"needs {', or '.join(needed[:MOST_CHOICES])}."
    annotation = annotate(cast(Schema, error.schema))
    if annotation in ("Any", "dict"):
        return "fits none of the schema's alternatives."
    return f"must be {annotation}, not {shown(cast('JSONValue', error.instance))}."


def _missing(error: ValidationError, path: tuple[str | int, ...]) -> Complaint:
    instance = cast("dict[str, JSONValue]", error.instance)
    missing = next(name for name in cast("list[str]", error.validator_value) if name not in instance)
    known = cast("dict[str, Any]", cast("dict[str, Any]", error.schema).get("properties", {}))
    strange = islice((name for name in instance if name not in known), MOST_STRANGE)
    close = closest(missing, strange)
    text = f"is missing (it has {close!r})." if close else "is missing."
    return Complaint(path=(*path, missing), text=text, value=cast("JSONValue", error.instance), hint=_keys(known))


def _unknown(error: ValidationError, path: tuple[str | int, ...]) -> Complaint:
    instance = cast("dict[str, JSONValue]", error.instance)
    known = cast("dict[str, Any]", cast("dict[str, Any]", error.schema).get("properties", {}))
    name = next(name for name in instance if name not in known)
    text = f"is not a key there.{did_you_mean(name, known)}"
    return Complaint(path=(*path, name), text=text, value=instance[name], hint=_keys(known))


def _keys(known: Iterable[str]) -> str | None:
    names = ", ".join(map(repr, known))
    return f"Keys: {names}." if names else None


def _choice(error: ValidationError, path: tuple[str | int, ...], value: JSONValue) -> Complaint:
    one = error.validator == "const"
    choices = [cast("JSONValue", error.validator_value)] if one else cast("list[JSONValue]", error.validator_value)
    listed = ", ".join(_short(choice) for choice in choices[:MOST_CHOICES])
    more = ", …" if len(choices) > MOST_CHOICES else ""
    words = [choice for choice in choices if isinstance(choice, str)]
    close = did_you_mean(value, words) if isinstance(value, str) else ""
    text = f"must be {'' if len(choices) == 1 else 'one of '}{listed}{more}, not {shown(value)}.{close}"
    return Complaint(path=path, text=text, value=value)


def _short(value: JSONValue) -> str:
    text = repr(value)
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]}…"


def _bound(keyword: str, bound: object, value: JSONValue) -> str:
    size = len(value) if isinstance(value, str | list | dict) else 0
    if keyword in _BOUNDS:
        return f"{_BOUNDS[keyword].format(bound, shown(value), size)}."
    return "is not accepted." if keyword in ("not", "None") else f"does not fit the schema ({keyword})."
