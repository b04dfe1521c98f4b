"""What a tool says about itself, as words by the place where it says them. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from planact_server.catalog.words import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.schemas import CleanSchema
    from planact_server.catalog.signatures import Learned
    from planact_tools import JSONValue

ToolText: TypeAlias = "Mapping[str, Counter[str]]"
"""Field → word → how often. Every tool has every field."""

DESCRIPTION_CHARS = 2_000
"""How much of a description is read. Some servers put a manual there."""

_FIELD_CHARS = 20_000
_PARAMETER_CHARS = 500
_ENUM_VALUES = 30
_DEEPEST = 3

_texts: WeakKeyDictionary[CatalogTool, ToolText] = WeakKeyDictionary()


def read_tool(tool: CatalogTool) -> ToolText:
    """Return the words of a tool. They are read once: most tools are the same in the next generation."""
    text = _texts.get(tool)
    if text is None:
        fields = {name: " \n ".join(parts)[:_FIELD_CHARS] for name, parts in _fields(tool).items()}
        text = _texts[tool] = {name: Counter(tokens(written)) for name, written in fields.items()}
    return text


_returned: WeakKeyDictionary[CatalogTool, tuple[CleanSchema, frozenset[str]]] = WeakKeyDictionary()


def returned_words(tool: CatalogTool, learned: Learned) -> frozenset[str]:
    """Return the words of the keys in what a tool has returned."""
    known = _returned.get(tool)
    if known is None or known[0] is not learned.schema:
        keys: list[str] = []
        for part in (learned.schema.root, *learned.schema.definitions.values()):
            _read_keys(part, keys, depth=0)
        known = _returned[tool] = learned.schema, frozenset(tokens(" ".join(keys)[:_FIELD_CHARS]))
    return known[1]


def _read_keys(schema: JSONValue, keys: list[str], *, depth: int) -> None:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return
    if isinstance(properties := schema.get("properties"), dict):
        for name, each in properties.items():
            keys.append(name)
            _read_keys(each, keys, depth=depth + 1)
    for part in (schema.get("items"), schema.get("additionalProperties")):
        _read_keys(part, keys, depth=depth + 1)


def _fields(tool: CatalogTool) -> dict[str, list[str]]:
    summary, details = _summary(tool.definition.description[:DESCRIPTION_CHARS].lstrip())
    fields: dict[str, list[str]] = {
        "name": [tool.definition.name],
        "server": [tool.raw_server],
        "summary": [tool.definition.title or "", summary],
        "details": [details],
        "parameters": [],
        "explanations": [],
        "values": [],
    }
    for parameter in tool.parameters:
        fields["parameters"].append(parameter.raw)
        _read_schema(parameter.schema, fields, depth=0)
    return fields


def _summary(description: str) -> tuple[str, str]:
    """Return the first sentence, and the rest."""
    line, _, rest = description.partition("\n")
    sentence, _, more = line.partition(". ")
    return sentence, f"{more}\n{rest}"


def _read_schema(schema: JSONValue, fields: dict[str, list[str]], *, depth: int) -> None:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return
    if isinstance(explanation := schema.get("description"), str):
        fields["explanations"].append(explanation[:_PARAMETER_CHARS])
    if isinstance(values := schema.get("enum"), list):
        fields["values"] += map(str, values[:_ENUM_VALUES])
    if isinstance(properties := schema.get("properties"), dict):
        for name, each in properties.items():
            fields["parameters"].append(name)
            _read_schema(each, fields, depth=depth + 1)
    _read_schema(schema.get("items"), fields, depth=depth + 1)
