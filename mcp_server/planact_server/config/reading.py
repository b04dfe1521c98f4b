"""From one source's raw tables to checked values, with errors that a person can act on.

Every source is checked by itself, so that an error names the file and the key, and then merged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import ValidationError

from planact_server.config.schema import SECTIONS, Section, TopLevel
from planact_server.regular_file import FileUnreadableError, read_regular_file
from planact_server.toml_text import parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

MOST_FILE_BYTES = 1024 * 1024

_SECRETS = frozenset({"planner.api_key", "search.api_key"})


class ConfigError(Exception):
    """The configuration cannot be used; the message names the place, the key and the nearest valid one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one source says: dotted key → checked value."""

    origin: str
    base: Path
    """Where the source's relative paths start."""

    values: Mapping[str, object]


def read_file(path: Path) -> Layer | None:
    """Read a planact.toml of the user's own; None if there is none. Raises ConfigError."""
    try:
        content = read_regular_file(path, most_bytes=MOST_FILE_BYTES)
    except FileUnreadableError as error:
        raise ConfigError(str(error)) from None
    return None if content is None else read_toml(content, path)


def read_toml(content: bytes, path: Path) -> Layer:
    """Read the content of the planact.toml at `path`. Raises ConfigError."""
    try:
        raw = parse_toml(content)
    except ValueError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}.") from None
    return checked_layer(raw, origin=str(path), base=path.parent)


def checked_layer(raw: Mapping[str, object], *, origin: str, base: Path) -> Layer:
    """Check raw tables. Raises ConfigError with every problem, one a line."""
    values: dict[str, object] = {}
    problems: list[str] = []
    top = {key: value for key, value in raw.items() if key not in SECTIONS}
    tables = [("", TopLevel, top), *((name, SECTIONS[name], raw[name]) for name in raw if name in SECTIONS)]
    for name, schema, table in tables:
        try:
            section = schema.model_validate(table)
        except ValidationError as error:
            problems.extend(_problem(name, schema, detail) for detail in error.errors(include_url=False))
        else:
            values.update({_dotted(name, key): getattr(section, key) for key in section.model_fields_set})
    if problems:
        raise ConfigError("\n".join(f"{origin}: {problem}" for problem in problems))
    return Layer(origin=origin, base=base, values=values)


def known_keys() -> Iterator[str]:
    """Yield every key, dotted."""
    for name, schema in (("", TopLevel), *SECTIONS.items()):
        yield from (_dotted(name, key) for key in schema.model_fields)


def _dotted(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _shown(dotted: str) -> str:
    """Spell a dotted key as it stands in a file."""
    section, _, key = dotted.rpartition(".")
    return f"`{key}` in [{section}]" if section else f"`{key}` above the first [table]"


def _problem(name: str, schema: type[Section], detail: ErrorDetails) -> str:
    if not detail["loc"]:
        return f"[{name}] is a table of keys, not {detail['input']!r}."
    key = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        return _unknown_key(name, schema, key, detail["input"])
    where = f"[{name}] {key}" if name else key
    for index in detail["loc"][1:]:
        where += f"[{index}]"
    shown = "" if _dotted(name, key) in _SECRETS else f" = {_short(detail['input'])}"
    # TOML knows lists only; that ours become tuples is nobody's business.
    expected = "should be a list" if detail["type"] == "tuple_type" else detail["msg"]
    message = expected.removeprefix("Input ").removeprefix("Value error, ")
    return f"{where}{shown}: {message}."


def _unknown_key(name: str, schema: type[Section], key: str, value: object) -> str:
    where = f"no key {key!r} in [{name}]" if name else f"no {'table' if isinstance(value, dict) else 'key'} {key!r}"
    return f"{where}. {_nearest(name, schema, key)}"


def _nearest(name: str, schema: type[Section], key: str) -> str:
    own = [*schema.model_fields, *(SECTIONS if not name else ())]
    if close := get_close_matches(key, own, n=1, cutoff=0.6):
        return f"Did you mean [{close[0]}]?" if not name and close[0] in SECTIONS else f"Did you mean {close[0]!r}?"
    elsewhere = [dotted for dotted in known_keys() if dotted.rpartition(".")[2] == key]
    if elsewhere:
        return f"It belongs elsewhere: {_shown(elsewhere[0])}."
    return f"It has: {', '.join(own)}." if own else "It has no keys yet."


def _short(value: object) -> str:
    """Show a value as it would stand in the file."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    if isinstance(value, str):
        text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
