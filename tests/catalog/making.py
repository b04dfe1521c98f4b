"""Small ways to make catalogs and tools for tests."""

from __future__ import annotations

from typing import Any

from planact_server.catalog.catalog import Catalog, CatalogTool
from planact_tools import ToolDefinition


def define(name: str, schema: Any = None, **rest: Any) -> ToolDefinition:
    """Define a tool; no schema: no parameters."""
    return ToolDefinition(
        name=name, input_schema={"type": "object", "properties": {}} if schema is None else schema, **rest
    )


def taking(name: str = "act", *, required: tuple[str, ...] = (), **properties: Any) -> ToolDefinition:
    return define(name, {"type": "object", "properties": properties, "required": list(required)})


def only(definition: ToolDefinition, *, server: str = "demo") -> CatalogTool:
    """Return the one tool of a catalog made for it."""
    (tool,) = Catalog.build({server: [definition]})
    return tool
