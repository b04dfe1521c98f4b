"""Reading JSON that a stranger wrote: what is not where it should be is absent, never an exception."""

from __future__ import annotations

import math
from typing import cast


def at(value: object, *path: str | int) -> object:
    """Return what lies at a path of keys and indexes, or None."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = cast("dict[str, object]", value).get(step)
        elif isinstance(step, int) and isinstance(value, list):
            items = cast("list[object]", value)
            value = items[step] if -len(items) <= step < len(items) else None
        else:
            return None
    return value


def text_at(value: object, *path: str | int) -> str:
    """Return the text at a path, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number_at(value: object, *path: str | int) -> int:
    """Return the count at a path; 0 for what is none: a negative number, or the Infinity that Python reads."""
    found = at(value, *path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return 0
    return max(int(found), 0) if isinstance(found, int) or math.isfinite(found) else 0


def list_at(value: object, *path: str | int) -> list[object]:
    """Return the list at a path, or an empty one."""
    found = at(value, *path)
    return cast("list[object]", found) if isinstance(found, list) else []
