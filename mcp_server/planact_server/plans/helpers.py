"""The helpers of a plan that look something up: `search_tools`, `describe`, `read_resource`, slices of large texts.

Every argument comes from the jail and is treated as hostile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from planact_server.catalog.catalog import CatalogServer, CatalogTool
from planact_server.catalog.signatures import describe, one_line, signature
from planact_server.content import SLICE_CHARS, ContentError, Contents
from planact_server.policy import ToolFacts
from planact_server.sandbox import LimitReached, PlanFault
from planact_tools import JSONValue, ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_server.plans.plan_catalog import PlanCatalog
    from planact_server.plans.rights import PlanRights

MOST_FOUND = 100
"""Largest `limit` of `search_tools`."""


LOOK_UPS = 500
"""How often one plan may search, ask for descriptions and read resources."""

_MOST_WORDS = 1_000
"""Characters of a search."""


class PlanHelpers:
    """Answers for one plan. Every method may raise PlanFault, and LimitReached."""

    def __init__(self, rights: PlanRights, catalog: PlanCatalog, contents: Contents) -> None:
        self._rights = rights
        self._catalog = catalog
        self._contents = contents
        self._look_ups = 0

    async def search(self, arguments: Mapping[str, JSONValue]) -> JSONValue:
        """Return the signatures of the tools that fit some words, the best first."""
        self._count()
        words = str(arguments.get("words", ""))[:_MOST_WORDS]
        await self._catalog.settle()
        limit = arguments.get("limit")
        limit = min(limit, MOST_FOUND) if isinstance(limit, int) and limit > 0 else 10
        # The first search of a catalog builds its index, which takes a fifth of a second for a thousand tools.
        found = await asyncio.to_thread(
            self._rights.ranker.rank, self._catalog.current, words, limit=limit, returns=self._rights.returns
        )
        return [self._line(tool) for tool in found]

    async def describe(self, arguments: Mapping[str, JSONValue]) -> JSONValue:
        """Return what there is to know of a tool, or the tools of a server."""
        self._count()
        name = str(arguments.get("name", ""))
        await self._catalog.await_owners_of([name])
        match self._catalog.current.resolve(name):
            case CatalogTool() as tool:
                return describe(tool, self._rights.returns(tool))
            case CatalogServer() as server:
                return "\n".join(self._line(tool) for tool in server.tools.values())
            case None:
                raise PlanFault(f"There is no tool {name!r}.", type="NameError", hint=self._catalog.hint(name))

    async def read_resource(self, arguments: Mapping[str, JSONValue]) -> JSONValue:
        """Read a resource of the server that is named, or of whichever has it."""
        self._count()
        uri, server = str(arguments.get("uri", "")), arguments.get("server")
        return await self._read_resource(uri, str(server) if server else None)

    def slice(self, arguments: Mapping[str, JSONValue]) -> JSONValue:
        """Return a part of a large text."""
        start, stop = arguments.get("start"), arguments.get("stop")
        try:
            text = self._contents.text(str(arguments.get("id")))
        except ContentError as error:
            raise PlanFault(str(error), type="LookupError") from None
        if not isinstance(start, int) or not isinstance(stop, int):
            raise PlanFault("A slice of a text needs two whole numbers.", type="TypeError")
        return text[start : min(stop, start + SLICE_CHARS)]

    def _count(self) -> None:
        self._look_ups += 1
        if self._look_ups > LOOK_UPS:
            raise LimitReached(f"The plan has looked up tools and resources more than {LOOK_UPS:,} times.")

    async def _read_resource(self, uri: str, server: str | None) -> JSONValue:
        await self._catalog.settle()
        found = self._catalog.current.server(server) if server else None
        if server and found is None:
            raise PlanFault(f"There is no server {server!r}.", type="NameError", hint=self._catalog.hint(server))
        servers = [found] if found is not None else self._catalog.current.servers.values()
        candidates = [each for each in servers if self._rights.toolbox.has_resources(each.raw_name)]
        # Reading a resource is a read of its server, though no tool of it makes the call.
        decisions = {each.raw_name: self._rights.policy.decide(self._resource_facts(each)) for each in candidates}
        allowed = [name for name, decision in decisions.items() if decision.verdict == "allow"]
        if not allowed and decisions:
            name, decision = next(iter(decisions.items()))
            denied = decision.verdict == "deny"
            verb = "is denied" if denied else "needs your approval"
            reason = f"Reading resources of {name!r} {verb}: {decision.reason}."
            raise PlanFault(reason, type="ToolError", server=name, hint=None if denied else decision.hint)
        try:
            return self._contents.enclose(await self._rights.toolbox.read_resource(uri, servers=allowed))
        except ToolError as error:
            raise PlanFault(error.message, type="ToolError", server=error.server) from None

    def _line(self, tool: CatalogTool) -> str:
        summary = one_line(tool.definition.description.strip().partition("\n")[0])[:100]
        line = signature(tool, self._rights.returns(tool))
        return f"{line}  # {summary}" if summary else line

    def _resource_facts(self, server: CatalogServer) -> ToolFacts:
        return ToolFacts(
            server=server.raw_name,
            server_name=server.name,
            tool="read_resource",
            tool_name="read_resource",
            identity=self._rights.toolbox.toolset(server.raw_name).identity,
            read_only=True,
            shipped=server.raw_name in self._rights.shipped,
        )
