"""Regular expressions that others wrote, in linear time.

Python's own engine can be sent into exponential time by a server's pattern and a plan's argument. Pydantic
brings Rust's engine, which cannot; patterns that it does not know (look-around, back references) are not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema

Matcher = Callable[[str], bool]

LONGEST = 1_000
"""Characters of a pattern that we are willing to compile."""


@lru_cache(maxsize=1_024)
def matcher(pattern: str) -> Matcher | None:
    """Return a function that searches a text for the pattern, or None where the pattern cannot be checked."""
    if len(pattern) > LONGEST:
        return None
    try:
        schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True)
        return SchemaValidator(schema).isinstance_python
    except (SchemaError, UnicodeError):
        return None
