"""What every format can do, and how lines of a text end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from planact_tools import JSONObject, JSONValue

Keys: TypeAlias = Sequence[str]
"""The way from the root of a file to its servers."""

LISTED = "[]"
"""The last of the keys where the servers are a list, each with its own name in it."""

BOM = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """One format of configuration files. `put`, `drop` and `show` take a text that `parse` accepts."""

    name: Literal["json", "toml", "yaml"]

    parse: Callable[[str], JSONValue]
    """Text → value. An empty text is an empty object. Raises SyntaxProblem."""

    put: Callable[[str, Keys, str, JSONObject], str]
    """The text with an entry added, or replaced, in the servers at these keys. Raises UneditableError."""

    drop: Callable[[str, Keys, str], str]
    """The text without an entry. Raises UneditableError."""

    show: Callable[[Keys, str, JSONObject], str]
    """One entry as text to paste, with what stands around it."""


def newline_of(text: str) -> str:
    """Return how most lines of a text end."""
    windows = text.count("\r\n")
    return "\r\n" if windows > text.count("\n") - windows else "\n"


def line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def line_end(text: str, position: int) -> int:
    """Return where the line ends that holds a position, before the characters that end it."""
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    return end - 1 if end > position and text[end - 1] == "\r" else end


def indentation(text: str, position: int) -> str:
    """Return the white space that begins the line of a position."""
    start = line_start(text, position)
    line = text[start:position]
    return line[: len(line) - len(line.lstrip(" \t"))]
