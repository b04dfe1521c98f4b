"""A worker's JSON, parsed within bounds: depth, number of values, finite numbers, whole characters.

Everything here costs time in proportion to the bytes and little of it: one worker's frames must not hold up the
others' host.
"""

from __future__ import annotations

import gc
import json
import math
import re
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Literal, NoReturn, cast

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from planact_tools import JSONValue

MAX_DEPTH = 120
"""How deep a worker's frame may nest, its own object included."""

MAX_NODES = 400_000
"""How many values a worker's frame may hold: whatever looks at them here takes time for each."""


class FrameError(Exception):
    """The worker broke the protocol (`error`) or flooded it (`limit`), and has to go."""

    def __init__(self, message: str, *, status: Literal["error", "limit"] = "error") -> None:
        super().__init__(message)
        self.status: Literal["error", "limit"] = status


_LARGE = 100_000

_SAME_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_MUCH = (b"e000", b"e+000", b"0" * 309)
"""Where a number may be too large to be finite, once all digits are the same."""

_STRING = re.compile(rb'"[^"]*+"')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(body: bytes) -> JSONValue:
    """Return what a frame holds. Raises FrameError."""
    _refuse_too_many_values(body)
    try:
        # Refuses broken text, half characters, NaN and deep nesting as well, but says less about them.
        with _no_collection(body):
            value = from_json(body, allow_inf_nan=False)
    except ValueError:
        value = _parse_exactly(body)
    else:
        if _may_be_infinite(body) and not _is_finite(value):
            value = _parse_exactly(body)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _refuse_too_deep(value)
    return value


@contextmanager
def _no_collection(body: bytes) -> Generator[None]:
    """Look for no garbage while a large value grows: there is none, and looking takes most of the time."""
    if len(body) < _LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _may_be_infinite(body: bytes) -> bool:
    flat = body.translate(_SAME_DIGITS)
    return any(much in flat for much in _MUCH)


def _is_finite(value: JSONValue) -> bool:
    level = [value]
    while level:
        if not all(math.isfinite(each) for each in level if type(each) is float):
            return False
        level = _inside(_containers(level))
    return True


def _parse_exactly(body: bytes) -> JSONValue:
    try:
        text = body.decode("utf-8")
        value = _DECODER.decode(text)
        if _SURROGATE.search(body):
            # Only an exact look tells half a character from an escaped backslash before "ud83d".
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise FrameError("The worker sent a frame that is no UTF-8 text.") from None
    except RecursionError:
        raise FrameError(f"The worker sent a frame nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise FrameError(f"The worker sent a frame that is no JSON: {str(error)[:200]}") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_too_many_values(body: bytes) -> None:
    """Count before parsing: afterwards the memory is spent. Commas inside of strings are not values."""
    if len(body) <= MAX_NODES or _separators(body) <= MAX_NODES:
        return
    # Without escapes the strings are found ten times as fast.
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if plain.count(b'"') > 4 * MAX_NODES or _separators(_STRING.sub(b"", plain)) > MAX_NODES:
        raise FrameError(f"The worker sent a frame of more than {MAX_NODES:,} values.", status="limit")


def _separators(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _refuse_too_deep(value: JSONValue) -> None:
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = _containers(_inside(level))
    if level:
        raise FrameError(f"The worker sent a frame nested deeper than {MAX_DEPTH} levels.")


def _inside(parts: list[list[JSONValue] | dict[str, JSONValue]]) -> list[JSONValue]:
    return list(chain.from_iterable(part.values() if isinstance(part, dict) else part for part in parts))


_NESTING = frozenset({list, dict})


def _containers(values: Iterable[JSONValue]) -> list[list[JSONValue] | dict[str, JSONValue]]:
    # The parser makes no subclasses; isinstance would take three times as long.
    return cast("list[list[JSONValue] | dict[str, JSONValue]]", [each for each in values if type(each) in _NESTING])
