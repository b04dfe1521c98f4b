"""What a tool looks like in Python: one line, a stub, or everything there is to know. Pure.

Descriptions come from servers and may hold anything; here they become comments and docstrings that parse.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_server.catalog.annotations import Annotator, Field, is_plain_key
from planact_server.catalog.members import members
from planact_server.catalog.notes import notes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_server.catalog.catalog import CatalogTool, Parameter
    from planact_server.catalog.schemas import CleanSchema, Schema

LINE_CHOICES = 8
"""How many members of an enum a one-line signature shows."""

LINE_DEFAULT_CHARS = 30
STUB_DEFAULT_CHARS = 200
RESULT_KEY = "result"
"""A lone property of this name is unwrapped before a plan sees the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a tool returns as far as its results have shown."""

    schema: CleanSchema
    results: int
    """How many results that comes from."""


def signature(tool: CatalogTool, learned: Learned | None = None) -> str:
    """Return one line, such as `git.git_status(repo_path: str) -> dict`. No return type: nobody said.

    A return type that was learned is marked by a question mark: `-> dict ?`.
    """
    annotator = Annotator(schema=tool.schema, prefix="", choices=LINE_CHOICES)
    annotated = {each.name: annotator.annotate(each.schema, each.name) for each in tool.parameters}
    parameters = _parameters(tool, annotated, default_chars=LINE_DEFAULT_CHARS)
    returns = _returns(tool, learned, prefix="", choices=LINE_CHOICES)
    arrow = f" -> {returns.annotation}" if returns else ""
    if returns and tool.returns is None:
        arrow += " ?"
    return f"{tool.full_name}({', '.join(parameters)}){arrow}"


def stub(tool: CatalogTool, learned: Learned | None = None) -> str:
    """Return a `def` with a docstring, and above it a `TypedDict` for every nested object."""
    annotator = Annotator(schema=tool.schema, prefix=tool.name)
    annotated = {each.name: annotator.annotate(each.schema, f"{tool.name}_{each.name}") for each in tool.parameters}
    parameters = _parameters(tool, annotated, default_chars=STUB_DEFAULT_CHARS)
    returns = _returns(tool, learned, prefix=f"{tool.name}_result")
    classes = annotator.classes | (returns.classes if returns else {})
    heading = f"def {tool.name}({', '.join(parameters)}) -> {returns.annotation if returns else 'Any'}:"
    blocks = [_typed_dict(name, fields) for name, fields in classes.items()]
    called = f"# called as {tool.function}(...)\n" if tool.function != tool.name else ""
    return "\n\n".join([*blocks, f"{called}{heading}\n{_docstring(tool)}"])


def describe(tool: CatalogTool, learned: Learned | None = None) -> str:
    """Return the stub and, as comments, what it cannot say: limits, formats, raw names, marks, defects."""
    lines = [f"# {tool.full_name}, or just {tool.function}"] if tool.function != tool.full_name else []
    if tool.definition.name != tool.name:
        lines.append(f"# raw name: {tool.definition.name!r} on server {tool.raw_server!r}")
    lines += [f"# {each.name} is {each.raw!r} on the wire" for each in tool.parameters if each.name != each.raw]
    lines += [f"# {note}" for parameter in tool.parameters for note in _notes(tool, parameter)]
    lines += [f"# {mark}" for mark in _marks(tool)]
    lines += [f"# note: {one_line(problem)}" for problem in tool.problems]
    if tool.returns is None and learned is not None:
        results = "one result" if learned.results == 1 else f"{learned.results:,} results"
        lines.append(f"# what it returns was learned from {results}: the server does not say")
    return "\n".join([*lines, stub(tool, learned)])


def one_line(text: str) -> str:
    """Return text that can stand in a comment: no line breaks, nothing invisible."""
    return _visible(" ".join(text.split()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Returns:
    annotation: str
    classes: dict[str, list[Field]]


def _returns(tool: CatalogTool, learned: Learned | None, *, prefix: str, choices: int | None = None) -> _Returns | None:
    if tool.returns is not None:
        schema, seen = tool.returns, unwrapped(tool.returns)
    elif learned is not None:
        schema, seen = learned.schema, learned.schema.root
    else:
        return None
    annotator = Annotator(schema=schema, prefix=prefix)
    if choices is not None:
        annotator.choices = choices
    annotation = annotator.annotate(seen, prefix)
    return _Returns(annotation=annotation, classes=annotator.classes)


def unwrapped(returns: CleanSchema) -> Schema:
    """Return what the plan sees of a result: a lone `result` is taken out of its object."""
    properties = members(returns.root, returns).properties
    return properties[RESULT_KEY] if list(properties) == [RESULT_KEY] else returns.root


def _parameters(tool: CatalogTool, annotated: dict[str, str], *, default_chars: int) -> list[str]:
    written: list[str] = []
    optional_before = False
    for parameter in tool.parameters:
        if parameter.required and optional_before and "*" not in written:
            # Python wants parameters without a default first; after a star it does not mind.
            written.append("*")
        optional_before = optional_before or not parameter.required
        default = "" if parameter.required else f" = {_default(parameter, default_chars)}"
        null = " | None" if parameter.null_is_absence else ""
        written.append(f"{parameter.name}: {annotated[parameter.name]}{null}{default}")
    if tool.open_keywords:
        written.append(f"**{_unused('others', annotated)}: Any")
    return written


def _default(parameter: Parameter, chars: int) -> str:
    """Return the default as Python; `...` for one that the server keeps to itself, or a very long one."""
    written = repr(parameter.default) if parameter.has_default else "..."
    return written if len(written) <= chars else "..."


def _unused(name: str, taken: dict[str, str]) -> str:
    while name in taken:
        name += "_"
    return name


def _typed_dict(name: str, fields: Sequence[Field]) -> str:
    if all(is_plain_key(each.key) for each in fields):
        body = "\n".join(f"    {each.key}: {_presence(each)}{_comment(each)}" for each in fields)
        return f"class {name}(TypedDict):\n{body}"
    body = "\n".join(f"    {each.key!r}: {_presence(each)},{_comment(each)}" for each in fields)
    return f"{name} = TypedDict({name!r}, {{\n{body}\n}})"


def _presence(each: Field) -> str:
    return each.annotation if each.required else f"NotRequired[{each.annotation}]"


def _comment(each: Field) -> str:
    text = one_line(each.description)
    return f"  # {text}" if text else ""


def _docstring(tool: CatalogTool) -> str:
    described = [(each.name, one_line(each.description)) for each in tool.parameters if each.description.strip()]
    prose = inspect.cleandoc("\n".join(tool.definition.description.splitlines())).strip()
    parts = [_visible(prose)] if prose else []
    if described:
        parts.append("\n".join(["Args:", *(f"    {name}: {text}" for name, text in described)]))
    text = "\n\n".join(parts) or f"Call {one_line(tool.definition.name)}."
    quoted = text.replace("\\", "\\\\")
    if '"""' in quoted or quoted.endswith('"'):
        quoted = quoted.replace('"', '\\"')
    indented = "\n".join(f"    {line}".rstrip() for line in quoted.split("\n"))
    closing = '\n    """' if "\n" in quoted else '"""'
    return f'    """{indented.strip()}{closing}'


def _visible(text: str) -> str:
    """Spell out what cannot be seen: it could end the file, turn the text around, or hide in it."""
    return "".join(char if char.isprintable() or char == "\n" else _spelled(char) for char in text)


def _spelled(char: str) -> str:
    return "    " if char == "\t" else f"<U+{ord(char):04X}>"


def _notes(tool: CatalogTool, parameter: Parameter) -> list[str]:
    return [f"{path}: {one_line(note)}" for path, note in notes(parameter.schema, parameter.name, tool.schema)]


def _marks(tool: CatalogTool) -> list[str]:
    definition = tool.definition
    said = {
        "reads only": definition.read_only,
        "destructive": definition.destructive,
        "idempotent": definition.idempotent,
        "open world": definition.open_world,
    }
    marks = [name if value else f"not {name}" for name, value in said.items() if value is not None]
    return [f"its server says: {', '.join(marks)}"] if marks else []
