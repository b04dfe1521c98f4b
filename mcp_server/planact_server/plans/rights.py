"""What a plan may use: the connected tools, and what the user's policy says about each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planact_server.catalog.ranking import WordsRanker
from planact_server.policy import Policy, ToolFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.ranking import Ranker
    from planact_server.catalog.signatures import Learned
    from planact_server.learned import LearnedTypes
    from planact_server.toolbox import Toolbox


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRights:
    """What one plan may use."""

    toolbox: Toolbox
    policy: Policy
    shipped: frozenset[str] = frozenset()
    """Servers (by configured name) that are packs of our own."""

    unusable: Mapping[str, str] = field(default_factory=dict[str, str])
    """Servers (Python spelling) whose configuration cannot be used → why."""

    start_seconds: float = 30.0
    """How long a plan waits for servers that have not answered yet."""

    learned: LearnedTypes | None = None
    """What tools return that do not say so."""

    ranker: Ranker = field(default_factory=WordsRanker)
    """What finds tools for `search_tools`."""

    def returns(self, tool: CatalogTool) -> Learned | None:
        """Return what the results of a tool have looked like, where that is all that is known."""
        return None if self.learned is None else self.learned.returns(tool)


def facts_of(rights: PlanRights, tool: CatalogTool) -> ToolFacts:
    """Return what the policy wants to know about a tool."""
    definition = tool.definition
    return ToolFacts(
        server=tool.raw_server,
        server_name=tool.server,
        tool=definition.name,
        tool_name=tool.name,
        identity=rights.toolbox.toolset(tool.raw_server).identity,
        read_only=definition.read_only,
        destructive=definition.destructive,
        open_world=definition.open_world,
        shipped=tool.raw_server in rights.shipped,
    )
