"""Which attributes a format string reads: `"{user.name} {x:{spec.width}}"` reads `name` and `width`."""

from __future__ import annotations

import _string  # pyright: ignore[reportMissingImports] - what string.Formatter is made of; no stub knows it
import functools
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_c: Any = cast("Any", _string)
_parse: Callable[[str], Iterable[tuple[str, str | None, str | None, str | None]]] = _c.formatter_parser
_split: Callable[[str], tuple[int | str, Iterable[tuple[bool, Any]]]] = _c.formatter_field_name_split


@functools.lru_cache(maxsize=512)
def attributes_read(template: str) -> tuple[str, ...] | None:
    """Return the names, or nothing for a text that is no format string. `template` is a true `str`."""
    try:
        return tuple(name for field in _fields(template) for is_attribute, name in steps(field)[1] if is_attribute)
    except ValueError:
        return None


def _fields(template: str) -> Iterator[str]:
    """The fields of a format string, and those of their formats; Python looks no deeper."""
    for _, field, spec, _ in _parse(template):
        if field is not None:
            yield field
            yield from (inner for _, inner, _, _ in _parse(spec or "") if inner is not None)


def steps(field: str) -> tuple[int | str, list[tuple[bool, Any]]]:
    """`user.name[0]` → `user` and its steps, as `str.format` itself reads them. Raises ValueError."""
    first, rest = _split(field)
    return first, list(rest)


class Numbers:
    """Gives the fields without a number theirs, in one format string."""

    def __init__(self) -> None:
        self._next = 0
        self._has_written = False

    def numbered(self, field: str) -> str:
        """`.name` → `0.name`. Raises ValueError, as `str.format` does, where some fields have numbers and some not."""
        is_bare = field[:1] in ("", ".", "[")
        self._has_written = self._has_written or (not is_bare and type(steps(field)[0]) is int)
        if self._has_written and (is_bare or self._next):
            raise ValueError("cannot switch between manual field specification and automatic field numbering")
        if not is_bare:
            return field
        self._next += 1
        return f"{self._next - 1}{field}"
