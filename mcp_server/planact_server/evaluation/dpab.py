"""The items of DPAB: a task, the functions for it, what they answer, and what a good plan comes to.

The functions' bodies are Python code inside a string, written by a stranger: here they are only carried along.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError

from planact_tools import JSONObject, JSONValue, ToolDefinition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class DPABError(Exception):
    """A file is no benchmark; the message names the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """What is looked for after a plan has run."""

    functions: tuple[str, ...]
    values: tuple[JSONValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One task of the benchmark."""

    row: int
    """Counts from 0, empty lines left out."""

    digest: str
    """Of the whole row: results belong to it, not to its place."""

    query: str
    stubs: str
    """The functions as the published prompt shows them."""

    mocks: str
    """Source of the functions. Hostile: it may run in the jail only."""

    tools: tuple[ToolDefinition, ...]
    checklist: Checklist


class _Foreign(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Function(_Foreign):
    name: StrictStr
    description: StrictStr = ""
    parameters: dict[str, Any]


class _Checklist(_Foreign):
    functions: list[StrictStr]
    values: list[Any]


class _Row(_Foreign):
    function_schema_python: StrictStr
    function_schema_json: list[_Function]
    mock_functions: StrictStr
    user_query: StrictStr
    checklist: _Checklist


def read_items(path: Path) -> tuple[Item, ...]:
    """Read a benchmark file, one JSON object a line. Raises DPABError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DPABError(f"Cannot read {str(path)!r}: {error}") from None
    return tuple(_items(text, path))


def lines_of(text: str) -> list[str]:
    """Return the lines of a file of JSON lines: a text in them may hold what Python takes for a line break."""
    return text.split("\n")


def _items(text: str, path: Path) -> Iterator[Item]:
    lines = ((number, line) for number, line in enumerate(lines_of(text), start=1) if line.strip())
    for row, (number, line) in enumerate(lines):
        try:
            read = _Row.model_validate(json.loads(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"])
            raise DPABError(f"{path.name}, line {number} is no row of DPAB: {where}: {first['msg']}.") from None
        except (ValueError, RecursionError) as error:
            raise DPABError(f"{path.name}, line {number} is no JSON: {error}.") from None
        yield _item(row, line, read)


def _item(row: int, line: str, read: _Row) -> Item:
    stubs, mocks = functions_in(read.function_schema_python), functions_in(read.mock_functions)
    return Item(
        row=row,
        digest=hashlib.sha256(line.strip().encode()).hexdigest()[:16],
        query=read.user_query,
        stubs=read.function_schema_python,
        mocks=read.mock_functions,
        tools=tuple(_tool(each, stubs.get(each.name), mocks.get(each.name)) for each in read.function_schema_json),
        checklist=Checklist(
            functions=tuple(read.checklist.functions),
            values=cast("tuple[JSONValue, ...]", tuple(read.checklist.values)),
        ),
    )


def _tool(function: _Function, stub: ast.FunctionDef | None, mock: ast.FunctionDef | None) -> ToolDefinition:
    """Return the function as a server would describe it.

    What it returns stands in the stub only. Which parameters have a default is known from the code only: the JSON
    schemas of the benchmark call those required all the same.
    """
    docstring = (ast.get_docstring(stub) or "") if stub is not None else ""
    returned = docstring.partition(":return:")[2].partition(":raises")[0].strip()
    schema = cast("JSONObject", dict(function.parameters))
    required = schema.get("required")
    if mock is not None and isinstance(required, list):
        optional = _with_default(mock)
        schema["required"] = [name for name in required if name not in optional]
    return ToolDefinition(
        name=function.name,
        description=f"{function.description}\n\nReturns: {returned}" if returned else function.description,
        input_schema=schema,
        read_only=True,
    )


def functions_in(source: str) -> dict[str, ast.FunctionDef]:
    """Return the functions that a source defines, by name, without running it; none where it cannot be parsed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _with_default(function: ast.FunctionDef) -> set[str]:
    positional = [*function.args.posonlyargs, *function.args.args]
    named = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return {each.arg for each in positional[len(positional) - len(function.args.defaults) :]} | {
        each.arg for each, default in named if default is not None
    }
