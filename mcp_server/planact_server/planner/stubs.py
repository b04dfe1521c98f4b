"""Tools as the models know functions: stubs for the prompt, and the same functions for the grammar. Pure.

Dria's models were made with flat `def`s whose docstring names the parameters and, where the result is an object, its
keys. Tools look like that here. One whose plain name is not its own is a static method of a class named like its
server: `github.search(...)` is then ordinary Python, and what the sandbox calls it.

The same tools give the same bytes, whatever order they come in. What servers wrote is data: it is cut, made visible,
and cannot end a docstring, a code block or a turn of the conversation.
"""

from __future__ import annotations

import ast
from itertools import groupby
from typing import TYPE_CHECKING

from planact_quantized import PlanFunction, PlanParameter
from planact_server.catalog.annotations import Annotator
from planact_server.catalog.members import members
from planact_server.catalog.signatures import one_line, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from planact_server.catalog.catalog import CatalogTool, Parameter
    from planact_server.catalog.schemas import CleanSchema, Schema

PURPOSE_CHARS = 400
PARAMETER_CHARS = 160
KEY_CHARS = 80
DEFAULT_CHARS = 60
CHOICES = 20
"""Members of an enum that are shown. More are a plain type."""

KEYS = 16
"""Keys of one object that are listed."""

LOOK = 20
"""How much of a foreign text is read, in multiples of what is shown: a megabyte of it costs the same as a page."""

MOST_PARAMETERS = 100
"""Parameters of a function that the grammar knows one by one. With more any keyword goes, and the call is checked."""

KEY_LEVELS = 2
"""Objects in objects that are listed."""

# They end a turn, open another, or call a tool in the models' own vocabulary: https://huggingface.co/Qwen
_TURN_MARKS = {"<|": "< |", "|>": "| >", "<tool_call": "< tool_call", "</tool_call": "< /tool_call", "```": "'''"}
_PLAIN_TYPES = frozenset({"int", "float", "bool", "None"})


def function_stubs(tools: Iterable[CatalogTool]) -> str:
    """Return the tools as Python, for the system prompt."""
    lines: list[str] = []
    for server, group in groupby(_in_order(tools), key=_namespace):
        if server:
            lines.append(f"class {server}:")
        for tool in group:
            stub = ["@staticmethod", *_stub(tool)] if server else _stub(tool)
            lines += [f"    {line}" if line and server else line for line in stub]
    return "\n".join(lines)


def plan_functions(tools: Iterable[CatalogTool]) -> tuple[PlanFunction, ...]:
    """Return the tools as the plan grammar knows functions, under the names that the stubs give them."""
    return tuple(_plan_function(tool) for tool in _in_order(tools))


def harmless(text: str, chars: int) -> str:
    """Return foreign text on one line, at most so long, that is nothing but text wherever it stands in a prompt."""
    looked_at = chars * LOOK
    visible = one_line(text[:looked_at])
    for mark, instead in _TURN_MARKS.items():
        visible = visible.replace(mark, instead)
    if len(visible) <= chars and len(text) <= looked_at:
        return visible
    start = visible[: chars - 1]
    return f"{start[: start.rfind(' ')] if ' ' in start[chars // 2 :] else start}…"


def _in_order(tools: Iterable[CatalogTool]) -> list[CatalogTool]:
    """Plain functions first, then server by server: what stands under one class is together."""
    return sorted(tools, key=lambda tool: (_namespace(tool), tool.function, tool.full_name))


def _namespace(tool: CatalogTool) -> str:
    return tool.server if tool.function == tool.full_name else ""


def _plan_function(tool: CatalogTool) -> PlanFunction:
    if len(tool.parameters) > MOST_PARAMETERS:
        return PlanFunction(name=tool.function, open_keywords=True)
    parameters = tuple(_plan_parameter(tool, parameter) for parameter in tool.parameters)
    return PlanFunction(name=tool.function, parameters=parameters, open_keywords=tool.open_keywords)


def _stub(tool: CatalogTool) -> list[str]:
    returns = "Any" if tool.returns is None else _annotation(unwrapped(tool.returns), tool.returns)
    heading = f"def {tool.name}({', '.join(_parameters(tool))}) -> {returns}:"
    return [heading, *_docstring(tool), "    pass"]


def _parameters(tool: CatalogTool) -> Iterator[str]:
    """Write the parameters in the order of the schema, which is the order of positional arguments."""
    optional_before = starred = False
    for parameter in tool.parameters:
        if parameter.required and optional_before and not starred:
            # Python wants parameters without a default first; after a star it does not mind.
            starred = True
            yield "*"
        optional_before = optional_before or not parameter.required
        default = "" if parameter.required else f" = {_default(parameter)}"
        yield f"{parameter.name}: {_annotation(parameter.schema, tool.schema)}{default}"
    if tool.open_keywords:
        yield "**others: Any"


def _default(parameter: Parameter) -> str:
    written = repr(parameter.default) if parameter.has_default else "..."
    return written if len(written) <= DEFAULT_CHARS and harmless(written, DEFAULT_CHARS) == written else "..."


def _annotation(schema: Schema, within: CleanSchema) -> str:
    """Return the type on one line, objects as `dict`. A type that could be taken for something else loses its enums."""
    written = Annotator(schema=within, prefix="", choices=CHOICES).annotate(schema, "")
    if harmless(written, len(written)) == written and "..." not in written:
        return written
    return " | ".join(dict.fromkeys(_without_members(part) for part in ast.unparse(ast.parse(written)).split(" | ")))


def _without_members(part: str) -> str:
    """Return the type of an enum's members in its place."""
    tree = ast.parse(part, mode="eval").body
    literal = next((node for node in ast.walk(tree) if _is_literal(node)), None)
    if literal is None:
        return part
    members_of = [node.value for node in ast.walk(literal) if isinstance(node, ast.Constant) and node.value is not ...]
    kinds = " | ".join(dict.fromkeys("None" if value is None else type(value).__name__ for value in members_of))
    return kinds if literal is tree else "list"


def _is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"


# ---- docstrings ------------------------------------------------------------------------------------------------------


def _docstring(tool: CatalogTool) -> list[str]:
    lines = [harmless(tool.definition.description, PURPOSE_CHARS) or f"Call {harmless(tool.name, KEY_CHARS)}."]
    details = [line for parameter in tool.parameters for line in _about_parameter(tool, parameter)]
    details += _about_result(tool)
    if details:
        lines += ["", *details]
    lines = [line.replace("\\", "\\\\").replace('"""', "'''") for line in lines]
    # A quote at the end would run into those that close the docstring.
    lines[-1] = f"{lines[-1]} " if lines[-1].endswith('"') else lines[-1]
    lines[0] = f'"""{lines[0]}' if not lines[0].startswith('"') else f'""" {lines[0]}'
    lines[-1] = f'{lines[-1]}"""'
    return [f"    {line}".rstrip() for line in lines]


def _about_parameter(tool: CatalogTool, parameter: Parameter) -> list[str]:
    said = harmless(parameter.description, PARAMETER_CHARS)
    keys = list(_keys(parameter.schema, tool.schema))
    if not said and not keys:
        return []
    return [f":param {parameter.name}: {said}".rstrip(), *keys]


def _about_result(tool: CatalogTool) -> list[str]:
    if tool.returns is None:
        return []
    schema = unwrapped(tool.returns)
    keys = list(_keys(schema, tool.returns))
    said = harmless(str(schema.get("description", "")) if isinstance(schema, dict) else "", PARAMETER_CHARS)
    if not keys:
        return [f":return: {said}"] if said else []
    return [f":return: {said}".rstrip(), *keys]


def _keys(schema: Schema, within: CleanSchema, levels: int = KEY_LEVELS) -> Iterator[str]:
    """List the keys of an object, or of the objects in a list, as the models' own stubs do."""
    taken = members(_innermost(schema, within), within)
    shown = list(taken.properties.items())[:KEYS]
    for key, each in shown:
        optional = "" if key in taken.required else ", optional"
        about = harmless(str(each.get("description", "")) if isinstance(each, dict) else "", KEY_CHARS)
        name = harmless(key, KEY_CHARS)
        yield f"    - {name} ({_annotation(each, within)}{optional}){f': {about}' if about else ''}"
        if levels > 1:
            yield from (f"    {line}" for line in _keys(each, within, levels - 1))
    if len(taken.properties) > KEYS:
        yield f"    - and {len(taken.properties) - KEYS} more"


def _innermost(schema: Schema, within: CleanSchema) -> Schema:
    """Return what a list is made of; anything else as it is."""
    for _ in range(KEY_LEVELS):
        target = within.target(schema) if isinstance(schema, dict) and "$ref" in schema else schema
        if not isinstance(target, dict) or not isinstance(items := target.get("items"), dict):
            return target
        schema = items
    return schema


# ---- for the grammar -------------------------------------------------------------------------------------------------


def _plan_parameter(tool: CatalogTool, parameter: Parameter) -> PlanParameter:
    """Read from a type which literals there are for it; nothing is closed where the type leaves anything open."""
    annotation = Annotator(schema=tool.schema, prefix="").annotate(parameter.schema, "")
    choices: list[str | int] = []
    takes_text = False
    for part in _union(ast.parse(annotation, mode="eval").body):
        if isinstance(part, ast.Subscript) and _is_literal(part):
            values = [node.value for node in ast.walk(part.slice) if isinstance(node, ast.Constant)]
            takes_text = takes_text or ... in values
            choices += [value for value in values if isinstance(value, str | int)]
        else:
            # A list may well come out of a text: "a b".split().
            takes_text = takes_text or ast.unparse(part) not in _PLAIN_TYPES
    return PlanParameter(
        name=parameter.name,
        required=parameter.required,
        takes_text=takes_text,
        choices=() if takes_text else tuple(choices),
    )


def _union(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp):
        yield from _union(node.left)
        yield from _union(node.right)
    else:
        yield node
