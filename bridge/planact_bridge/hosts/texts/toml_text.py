"""TOML: an entry is a table that is added behind its neighbours, or cut out; the other lines stay.

Pure. tomllib says what the text means; a scanner of statements says where each of them begins and ends.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from planact_bridge.hosts.errors import SyntaxProblem, UneditableError
from planact_bridge.hosts.texts.syntax import BOM, Keys, newline_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planact_tools import JSONObject, JSONValue

_NAME = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_DOTTED = re.compile(rf"{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}


def parse(text: str) -> JSONValue:
    """Return the tables. Raises SyntaxProblem."""
    try:
        return cast("JSONValue", tomllib.loads(text.removeprefix(BOM)))
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        reason = str(error).partition(" (at ")[0]
        if place is None:
            raise SyntaxProblem(reason, line=text.count("\n") + 1) from None
        raise SyntaxProblem(reason, line=int(place[1]), column=int(place[2])) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets within brackets
        raise SyntaxProblem(str(error)) from None


def put(text: str, keys: Keys, name: str, entry: JSONObject) -> str:
    """Return the text with an entry as a table behind the last table of its kind, or at the end."""
    text = drop(text, keys, name)
    base = tuple(keys)
    statements = list(_statements(text))
    if any(not statement.header and statement.path == base for statement in statements):
        raise UneditableError(f"its servers stand in one line; write them as tables, `[{'.'.join(keys)}.NAME]`")
    newline = newline_of(text)
    written = show(keys, name, entry).rstrip("\n").replace("\n", newline)
    at = _end_of_tables(text, statements, base)
    if not text[:at].strip(BOM):
        return f"{text[:at]}{written}{newline}{text[at:]}"
    return f"{text[:at]}{newline}{newline}{written}{text[at:]}"


def drop(text: str, keys: Keys, name: str) -> str:
    """Return the text without an entry: its tables, and what other tables say about it."""
    whole = (*keys, name)
    while True:
        statements = list(_statements(text))
        found = next((s for s in statements if s.path[: len(whole)] == whole), None)
        if found is None:
            return text
        end = found.end
        if found.header:
            for statement in statements[statements.index(found) + 1 :]:
                if statement.header:
                    break
                end = statement.end
        text = _cut(text, found.start, end, table=found.header)


def show(keys: Keys, name: str, entry: JSONObject) -> str:
    """Return an entry as a table."""
    header = ".".join(_key(key) for key in (*keys, name))
    rows = [f"{_key(key)} = {_written(value)}" for key, value in entry.items() if value is not None]
    return "\n".join([f"[{header}]", *rows]) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    start: int
    end: int
    """Behind its last character or comment, before the end of the line."""
    header: bool
    path: tuple[str, ...]
    """Of a header, the table; of an assignment, the key in full."""


def _statements(text: str) -> Iterator[_Statement]:
    table: tuple[str, ...] = ()
    position = len(text) - len(text.lstrip(BOM))
    while position < len(text):
        start = position
        depth, end = 0, position
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:  # pragma: no cover - the text has been parsed
                raise UneditableError(f"line {text.count(chr(10), 0, position) + 1} cannot be followed")
            position = match.end()
            depth += _DEPTH.get(match[0], 0)
            if match[0] == "\n" and depth == 0:
                break
            end = position
        line = text[start:end]
        start += len(line) - len(line.lstrip(" \t\r"))
        end = len(text[:end].rstrip(" \t\r"))
        if start >= end or text[start] == "#":
            continue
        header = text[start] == "["
        path = _path(text, start)
        table = path if header else table
        yield _Statement(start=start, end=end, header=header, path=path if header else (*table, *path))


def _path(text: str, start: int) -> tuple[str, ...]:
    """Return the dotted name that begins a statement."""
    while text[start] in "[ \t":
        start += 1
    dotted = _DOTTED.match(text, start)
    if dotted is None:  # pragma: no cover - the text has been parsed
        raise UneditableError(f"line {text.count(chr(10), 0, start) + 1} cannot be followed")
    path: list[str] = []
    inner: object = tomllib.loads(f"{dotted[0]} = 0")
    while isinstance(inner, dict):
        ((key, inner),) = cast("dict[str, object]", inner).items()
        path.append(key)
    return tuple(path)


def _end_of_tables(text: str, statements: list[_Statement], base: tuple[str, ...]) -> int:
    """Return where the last table of a kind ends; the end of the text, if there is none."""
    inside, end = False, None
    for statement in statements:
        if statement.header:
            inside = statement.path[: len(base)] == base
        if inside:
            end = statement.end
    return len(text.rstrip(" \t\r\n")) if end is None else end


def _cut(text: str, start: int, end: int, *, table: bool) -> str:
    """Return the text without a stretch of whole lines; with a table goes one blank line above it."""
    before = text[:start].rstrip(" \t")
    for _ in range(2 if table else 1):
        for newline in ("\r\n", "\n"):
            if before.endswith(newline):
                before = before.removesuffix(newline)
                break
    if before.strip(BOM):
        return before + text[end:]
    rest = text[end:]
    return before + rest.removeprefix("\r").removeprefix("\n")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _written(value: JSONValue) -> str:
    if isinstance(value, dict):
        rows = [f"{_key(key)} = {_written(item)}" for key, item in value.items() if item is not None]
        return f"{{ {', '.join(rows)} }}" if rows else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_written(item) for item in value)}]"
    # A literal string: paths of Windows stay readable.
    if isinstance(value, str) and "\\" in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
