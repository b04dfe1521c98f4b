"""Plan text → syntax tree, or a refusal that a model can act on.

Parsing is where a plan can hurt before it runs: size, depth and odd characters are checked here.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any, Literal

from planact_server.sandbox.inside import refusals, trees

MAX_NODES = 200_000
MAX_DEPTH = 300
"""Deep trees recurse in the compiler. Real programs stay below 40; a chain of 300 additions still fits."""

_LONG_SOURCE = 8_000
"""Characters below which Python reads anything in a moment."""

_CONTINUED = re.compile(r"\\(?:\r\n?|\n)")
_LINE_END = re.compile(r"\r\n?|\n")
_IMPORTS = re.compile(r"\b(?:import|from)\b")
_CHAIN = re.compile(r"(?<![\w.])\w++(?:\s*+\.\s*+\w++){300}")
_FORMATTED = re.compile(r"(?<!\w)(?:[rR]?[fF]|[fF][rR])[\"']")
_FORMATTED_LINES = re.compile(r"(?<!\w)(?:[rR]?[fF]|[fF][rR])(?:\"{3}|'{3})")
_MOST_FIELDS_BY_CHARACTERS = 10**9
"""Python reads an f-string once more from its beginning for each of its fields."""

_MANY_FIELDS = "Make long texts in a loop, with ''.join(); hand over large data in a plan of their own."
_TOO_DEEP = "Split the expression into several statements; add up long sums with sum() and join texts with ''.join()."


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One entry of the answer's `errors`. Lines and columns count from 1."""

    type: str
    message: str
    line: int | None = None
    column: int | None = None
    code_line: str | None = None
    call: int | None = None
    function: str | None = None
    parameter: str | None = None
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value is not None}


class Refused(Exception):
    """The plan must not start."""

    def __init__(self, *problems: Problem, status: Literal["refused", "limit"] = "refused") -> None:
        super().__init__(problems[0].message if problems else "refused")
        self.problems = problems
        self.status = status


class Text:
    """The lines of one plan, for pointing at them."""

    def __init__(self, source: str, filename: str) -> None:
        self.filename = filename
        self.source = source
        # As the compiler counts them: `splitlines` would also break at a form feed and the like.
        self._lines = _LINE_END.split(source)

    def line(self, number: int | None) -> str | None:
        """Return a line without its indentation, as a traceback shows it."""
        if number is None or not 1 <= number <= len(self._lines):
            return None
        return self._lines[number - 1].strip()[:500]

    def written(self, line: int, first: int, last: int | None = None) -> str:
        """Return a part of a line; its bytes are counted from 0, as the compiler does."""
        if not 1 <= line <= len(self._lines):
            return ""
        return self._lines[line - 1].encode()[first:last].decode(errors="ignore")

    def column(self, line: int, byte_offset: int) -> int:
        """Turn the compiler's offset (bytes from 0) into a column (characters from 1)."""
        if not 1 <= line <= len(self._lines):
            return byte_offset + 1
        return len(self._lines[line - 1].encode()[:byte_offset].decode(errors="ignore")) + 1

    def problem(self, node: ast.AST, type: str, message: str, hint: str | None = None) -> Problem:
        """Point at a node of the tree."""
        line: int | None = getattr(node, "lineno", None)
        offset: int = getattr(node, "col_offset", 0)
        column = None if line is None else self.column(line, offset)
        return Problem(type=type, message=message, line=line, column=column, code_line=self.line(line), hint=hint)


def parse(text: Text, *, max_bytes: int) -> ast.Module:
    """Return the tree of a plan. Raises Refused."""
    try:
        size = len(text.source.encode())
    except UnicodeEncodeError as error:
        line = text.source.count("\n", 0, error.start) + 1
        hint = "Remove it, or write the whole character."
        raise _syntax("The plan holds a lone surrogate, which is no character.", hint, line=line) from None
    if size > max_bytes:
        message = f"The plan has {size} bytes; {max_bytes} are allowed."
        hint = "Split the plan: variables and functions stay in the session for the next one."
        raise Refused(Problem(type="LimitReached", message=message, hint=hint), status="limit")
    if "\0" in text.source:
        line = text.source.count("\n", 0, text.source.index("\0")) + 1
        raise _syntax("The plan holds a null character.", "Remove it.", line=line)
    if len(text.source) > _LONG_SOURCE:
        _refuse_slow(text)
    try:
        tree = ast.parse(text.source, text.filename)
    except SyntaxError as error:
        raise Refused(syntax_problem(error, text)) from None
    except ValueError as error:
        raise _syntax(f"The plan cannot be read: {error}.", "Send plain Python text.") from None
    except (RecursionError, MemoryError):
        raise too_deep() from None
    _bound_size(tree)
    return tree


def syntax_problem(error: SyntaxError, text: Text) -> Problem:
    """Say what Python said, and what models usually did wrong there."""
    line = error.lineno or None
    code_line = text.line(line)
    return Problem(
        type="SyntaxError",
        message=error.msg,
        line=line,
        column=error.offset or None,
        code_line=code_line,
        hint=refusals.syntax_hint(error.msg, code_line or "", text.source),
    )


def _syntax(message: str, hint: str, *, line: int | None = None) -> Refused:
    return Refused(Problem(type="SyntaxError", message=message, line=line, hint=hint))


def too_deep() -> Refused:
    """Return the refusal of a plan that overflows whoever reads it."""
    return _syntax("The plan is nested too deeply.", _TOO_DEEP)


def _refuse_slow(text: Text) -> None:
    """Refuse what Python itself would read for half a minute, which only the end of the worker could stop.

    The dotted name of a module takes time and memory by its length squared; see above for f-strings.
    """
    source = _CONTINUED.sub("", text.source)
    if _has_many_fields(source) and _FORMATTED_LINES.search(source):
        raise _syntax("The plan has f-strings over several lines and too many braces.", _MANY_FIELDS)
    for line in _LINE_END.split(source):
        if line.count(".") >= 300 and _IMPORTS.search(line) and _CHAIN.search(line):
            raise _syntax("The name of a module has more than 300 parts.", "Import the modules that there are.")
        if _has_many_fields(line) and _FORMATTED.search(line):
            raise _syntax("A line has f-strings and too many braces.", _MANY_FIELDS)


def _has_many_fields(source: str) -> bool:
    return len(source) * source.count("{") > _MOST_FIELDS_BY_CHARACTERS


def _bound_size(tree: ast.Module) -> None:
    """Refuse what would overflow the compiler's stack. Iterative: it must not overflow itself."""
    count = 0
    for depth, level in enumerate(trees.levels(tree)):
        count += len(level)
        if count > MAX_NODES:
            hint = "Make large data with code, or get it from a tool."
            raise _syntax(f"The plan has more than {MAX_NODES} syntax nodes.", hint)
        if level and depth >= MAX_DEPTH:
            line: int | None = getattr(level[0], "lineno", None)
            raise _syntax(f"The plan is nested more than {MAX_DEPTH} levels deep.", _TOO_DEEP, line=line)
