"""The catalog as one plan sees it: pinned, but for servers that were still starting when the plan asked for them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from planact_server.catalog.catalog import (
    AmbiguousToolError,
    Catalog,
    CatalogServer,
    CatalogTool,
    ToolNotFoundError,
)
from planact_server.sandbox import PlanFault, ToolRequest
from planact_tools import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planact_server.plans.rights import PlanRights

logger = logging.getLogger(__name__)


_SUGGESTIONS = 100
"""How many unknown names of one plan are compared with all others: each comparison takes milliseconds."""

_LONGEST_NAME = 200
_MOST_NAMED = 5


class PlanCatalog:
    """Looks names up, and waits for the servers that they may belong to."""

    def __init__(self, rights: PlanRights, pinned: Catalog | None = None) -> None:
        """`pinned` is the generation to begin with; the newest one where there is none."""
        self._rights = rights
        self._is_pinned = pinned is not None
        self.current: Catalog = pinned or rights.toolbox.catalog
        self._waits: dict[str, asyncio.Task[bool]] = {}
        """For the servers that this plan has waited for: one that has not answered by then is not waited for again."""

        self._suggestions = _SUGGESTIONS

    async def await_owners_of(self, names: Iterable[str]) -> None:
        """Wait for the servers that the names belong to, or may belong to, as far as those have not answered yet."""
        names = tuple(names)
        if not self._is_pinned:  # a server may have answered since this was made
            self.current = self._rights.toolbox.catalog
        await self._hear(server for name in names if (server := self._owner(name)) is not None)
        heads = {name.partition(".")[0] for name in names if not self._knows(name)}
        heads -= self._rights.unusable.keys()  # whose entry is broken: nobody will answer
        if not heads:
            return
        servers = [self.current.servers[head].raw_name for head in heads if head in self.current.servers]
        # A bare name may belong to any server, so all of them have to answer first.
        await self._await_servers(servers, everything=len(servers) < len(heads))

    async def settle(self) -> None:
        """Wait for all servers, within the time that a plan waits."""
        await self._rights.toolbox.settle(seconds=self._rights.start_seconds)
        self.current = self._rights.toolbox.catalog

    async def find(self, request: ToolRequest) -> CatalogTool:
        """Return the tool that a call names, as its server has it now. Raises PlanFault."""
        tool = await self._find(request)
        if await self._hear([tool.raw_server]):
            tool = await self._find(request)
        return tool

    async def _find(self, request: ToolRequest) -> CatalogTool:
        if request.raw:
            return await self._find_raw(request.tool, request.server)
        name = f"{request.server}.{request.tool}" if request.server else request.tool
        found = self.current.resolve(name)
        if not isinstance(found, CatalogTool):
            raise PlanFault(f"There is no tool {name!r}.", type="NameError", function=name, hint=self.hint(name))
        return found

    def known(self, request: ToolRequest) -> CatalogTool | None:
        """Return the tool that a call names, if its server has answered already."""
        try:
            if request.raw:
                return self.current.by_raw(request.tool, request.server, suggest=False)
        except (ToolNotFoundError, AmbiguousToolError):
            return None
        found = self.current.resolve(f"{request.server}.{request.tool}" if request.server else request.tool)
        return found if isinstance(found, CatalogTool) else None

    def hint(self, name: str) -> str:
        """Return what may help where nothing has this name."""
        return self.meant(name) or 'search_tools("words") finds tools by what they do.'

    def meant(self, name: str) -> str:
        """Return which tool was probably meant, or why it is not there; empty where nothing is known."""
        if reason := self._why_without_tools(name.partition(".")[0]):
            return reason
        closest = self.current.closest(name) if len(name) <= _LONGEST_NAME and self._may_suggest() else None
        hints = [f"Did you mean {closest!r}?"] if closest else []
        if "." not in name and (starting := self._rights.toolbox.unheard):
            hints.append(_not_yet_answered(starting))
        return " ".join(hints)

    def _may_suggest(self) -> bool:
        self._suggestions -= 1
        return self._suggestions >= 0

    async def _find_raw(self, tool: str, server: str | None) -> CatalogTool:
        """Find what `call_tool` names. Nobody looked it up before the plan ran: its server may be starting."""
        owner = self.current.server(server) if server is not None else None
        try:
            try:
                return self.current.by_raw(tool, server, suggest=False)
            except ToolNotFoundError:
                await self._await_servers([owner.raw_name] if owner else [], everything=server is None)
                return self.current.by_raw(tool, server, suggest=self._may_suggest())
        except (ToolNotFoundError, AmbiguousToolError) as error:
            hint = self._why_without_tools(server) if server is not None else None
            raise PlanFault(str(error), type="NameError", function=tool, hint=hint) from None

    def _knows(self, name: str) -> bool:
        found = self.current.resolve(name)
        if isinstance(found, CatalogServer):
            return not self._rights.toolbox.is_pending(found.raw_name)
        return found is not None

    def _owner(self, name: str) -> str | None:
        found = self.current.resolve(name)
        if isinstance(found, CatalogTool):
            return found.raw_server
        owner = self.current.server(name.partition(".")[0])
        return None if owner is None else owner.raw_name

    async def _hear(self, servers: Iterable[str]) -> bool:
        """Wait for servers that have not answered yet, each once and together with whoever else waits for it."""
        toolbox = self._rights.toolbox
        unheard = frozenset(servers).intersection(toolbox.unheard)
        for server in unheard - self._waits.keys():
            hearing = toolbox.hear([server], seconds=self._rights.start_seconds)
            self._waits[server] = asyncio.create_task(hearing, name=f"plan waits for {server}")
        if waits := [self._waits[server] for server in unheard if not self._waits[server].done()]:
            await asyncio.wait(waits)
            self.current = toolbox.catalog
        return bool(waits)

    async def _await_servers(self, servers: Sequence[str], *, everything: bool) -> None:
        toolbox = self._rights.toolbox
        for server in servers:
            try:
                await toolbox.retry(server)
            except ToolError as error:
                logger.info("%s", error.message)
        await self._hear(toolbox.names if everything else servers)
        self.current = toolbox.catalog

    def _why_without_tools(self, server: str) -> str | None:
        found = self.current.server(server)
        if found is None:
            return self._rights.unusable.get(server)
        toolbox = self._rights.toolbox
        if found.raw_name in toolbox.unheard:
            return _not_yet_answered([found.raw_name])
        return toolbox.error(found.raw_name) or toolbox.gap(found.raw_name)


def _not_yet_answered(servers: Sequence[str]) -> str:
    names = ", ".join(repr(name) for name in servers[:_MOST_NAMED]) + (" and others" if servers[_MOST_NAMED:] else "")
    which = f"Server {names} has" if len(servers) == 1 else f"Servers {names} have"
    return f"{which} not answered yet: run the plan again in a moment, or raise [servers] start_timeout_seconds."
