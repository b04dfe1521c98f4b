"""What the jail is told about a name that the catalog has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_server.catalog.catalog import CatalogServer, CatalogTool
from planact_server.catalog.expectations import expectation
from planact_server.catalog.ranking import nothing_learned
from planact_server.sandbox import KnownResults, ResolvedServer, ResolvedTool

if TYPE_CHECKING:
    from planact_server.catalog.catalog import Catalog
    from planact_server.catalog.ranking import Returns
    from planact_server.catalog.signatures import Learned


def resolve(catalog: Catalog, name: str, returns: Returns = nothing_learned) -> ResolvedTool | ResolvedServer | None:
    """Return what a name stands for, None where nothing has it."""
    match catalog.resolve(name):
        case CatalogTool() as tool:
            return ResolvedTool(
                server=tool.server,
                tool=tool.name,
                parameters=tuple(parameter.name for parameter in tool.parameters),
                aliases=tuple(each.raw for each in tool.parameters if each.raw != each.name),
                open_keywords=tool.open_keywords,
                returns=_returns(tool, returns(tool)),
            )
        case CatalogServer() as server:
            return ResolvedServer(server=server.name)
        case None:
            return None


def _returns(tool: CatalogTool, learned: Learned | None) -> KnownResults | None:
    known = expectation(tool, learned)
    return None if known is None else KnownResults(shape=known.shape, results=known.results)
