"""Made-up texts and numbers that keep to a schema's limits, the likeliest first. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from planact_server.standins.patterns import matching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planact_tools import JSONObject, JSONValue

LONGEST_TEXT = 10_000
USUAL_NUMBERS = 100
"""Numbers without limits are between 1 and this."""


def texts(schema: JSONObject, name: str, dice: int) -> Iterator[JSONValue]:
    """Return texts: of the format, matching the pattern, or the property's name with something to tell it apart."""
    if (text := _formatted(str(schema.get("format", "")), dice)) is not None:
        yield text
    least = min(int(cast(int, schema.get("minLength", 0))), LONGEST_TEXT)
    most = int(cast(int, schema.get("maxLength", LONGEST_TEXT)))
    if isinstance(pattern := schema.get("pattern"), str):
        yield from (text for text in matching(pattern, least=least) if least <= len(text) <= most)
    digits = f"{dice % 0x10000:04x}"
    word = f"{name or 'text'}-{digits}"
    usual = word if len(word) <= most else digits[:most]
    yield usual.ljust(least, "x")
    yield ""
    yield from (letter * max(1, least) for letter in "a0 A")


def _formatted(format: str, dice: int) -> str | None:
    day, hour, minute = dice % 28 + 1, dice % 24, dice % 60
    digits = f"{dice % 16**12:012x}"
    match format:
        case "date-time":
            return f"2030-01-{day:02}T{hour:02}:{minute:02}:00Z"
        case "date":
            return f"2030-01-{day:02}"
        case "time":
            return f"{hour:02}:{minute:02}:00Z"
        case "duration":
            return f"PT{minute + 1}M"
        case "email" | "idn-email":
            return f"person-{digits[-4:]}@example.org"
        case "hostname" | "idn-hostname":
            return f"host-{digits[-4:]}.example.org"
        case "uri" | "url" | "iri" | "uri-reference" | "iri-reference":
            return f"https://example.org/{digits[-4:]}"
        case "ipv4":
            return f"192.0.2.{dice % 254 + 1}"
        case "ipv6":
            return f"2001:db8::{dice % 0xFFFF + 1:x}"
        case "uuid":
            return f"00000000-0000-4000-8000-{digits}"
        case "byte":
            return "dGV4dA=="
        case _:
            return None


def integers(schema: JSONObject, dice: int) -> Iterator[JSONValue]:
    """Return whole numbers within the limits."""
    low, high = _limits(schema)
    least = None if low is None else math.ceil(low) + (low == schema.get("exclusiveMinimum") and low == int(low))
    most = None if high is None else math.floor(high) - (high == schema.get("exclusiveMaximum") and high == int(high))
    step = _whole_step(schema)
    start, room = _room(least, most)
    for offset in (dice % room, 0, room - 1):
        yield _up(start + offset, step)
    yield _down(start + room - 1, step)
    yield from (number * step for number in (0, 1, -1, 2, -2, 3, 4, 5, 6, 7, 8))


def _room(least: int | None, most: int | None) -> tuple[int, int]:
    """Return where the numbers start and how many there are."""
    if least is None:
        least = 1 if most is None or most >= USUAL_NUMBERS else most - USUAL_NUMBERS + 1
    if most is None:
        most = least + USUAL_NUMBERS - 1
    return least, max(1, min(most - least + 1, USUAL_NUMBERS))


def numbers(schema: JSONObject, dice: int) -> Iterator[JSONValue]:
    """Return numbers within the limits, with a fraction where there is room for one."""
    low, high = _limits(schema)
    if "multipleOf" in schema:
        step = cast(float, schema["multipleOf"])
        start = 0.0 if low is None else low / step
        if math.isfinite(start):
            yield from ((math.ceil(start) + offset) * step for offset in (dice % 10, 0, 1))
        if high is not None and math.isfinite(last := high / step):
            yield from ((math.floor(last) - offset) * step for offset in (0, 1))
    elif low is not None and high is not None:
        yield from (low + (high - low) * share for share in ((dice % 100) / 100, 0.5, 0, 1))
    else:
        usual = dice % 10_000 / 100
        yield usual if low is None and high is None else (low + usual if low is not None else cast(float, high) - usual)
        yield low if low is not None else high
    yield from integers(schema, dice)
    yield 0.5


def any_values() -> Iterator[JSONValue]:
    """Return a few values of every type, for schemas that only say what a value must not be."""
    yield from _ANY


_ANY: tuple[JSONValue, ...] = (
    *("text", 1, True, 1.5, None, [], {}, 0, "", False, -1, [1], "a", "b", 2, -2.5),
    {"key": "text"},
)


def _limits(schema: JSONObject) -> tuple[float | None, float | None]:
    lows = [cast(float, schema[key]) for key in ("minimum", "exclusiveMinimum") if key in schema]
    highs = [cast(float, schema[key]) for key in ("maximum", "exclusiveMaximum") if key in schema]
    return max(lows, default=None), min(highs, default=None)


def _whole_step(schema: JSONObject) -> int:
    step = schema.get("multipleOf", 1)
    return max(1, int(step)) if isinstance(step, int | float) else 1


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _down(number: int, step: int) -> int:
    return number // step * step
