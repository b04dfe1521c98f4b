"""Which tools a model is shown for a task: all of them where they fit, else the ones that look useful.

A prompt is never cut: where tools do not fit, fewer whole tools are shown, and the answer says which are missing.
They always stand in the order of their names: the same set gives the same prompt, which a backend then has evaluated.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from planact_server.catalog.ranking import WordsRanker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from planact_server.catalog.catalog import Catalog, CatalogTool
    from planact_server.catalog.ranking import Ranker

MOST_NAMED = 10
"""Tools that a warning names."""

Count: TypeAlias = "Callable[[Sequence[CatalogTool]], Awaitable[int]]"
"""Returns how many tokens a prompt with these tools takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortlist:
    """The tools for one prompt."""

    tools: tuple[CatalogTool, ...]
    """In order of their names."""

    missing: tuple[CatalogTool, ...] = ()
    """Those that were left out, the most useful-looking first."""

    @property
    def warning(self) -> str | None:
        """Say what was left out; None where nothing was."""
        if not self.missing:
            return None
        named = ", ".join(tool.function for tool in self.missing[:MOST_NAMED])
        more = f" and {len(self.missing) - MOST_NAMED} more" if len(self.missing) > MOST_NAMED else ""
        total = len(self.tools) + len(self.missing)
        return f"The planner was shown {len(self.tools)} of {total} tools, not: {named}{more}."


async def choose(
    catalog: Catalog, task: str, *, count: Count, room: int, most: int, ranker: Ranker | None = None
) -> Shortlist:
    """Return the tools to show: at most `most`, and no more than fit `room` tokens. There may be none."""
    everything = _in_order(catalog)
    if len(everything) <= most and await count(everything) <= room:
        return Shortlist(tools=tuple(everything))
    # The first search builds the index of the catalog, which takes a while.
    ranked = await asyncio.to_thread((ranker or WordsRanker()).rank, catalog, task, limit=len(everything))
    ranked += [tool for tool in everything if tool not in set(ranked)]
    fitting = await _most_that_fit(ranked[:most], count, room)
    return Shortlist(tools=tuple(_in_order(ranked[:fitting])), missing=tuple(ranked[fitting:]))


async def _most_that_fit(tools: Sequence[CatalogTool], count: Count, room: int) -> int:
    """Find how many of the first tools fit, in few counts: a count may be a question to another process."""
    low, high = 0, len(tools)
    while low < high:
        middle = (low + high + 1) // 2
        if await count(_in_order(tools[:middle])) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _in_order(tools: Catalog | Sequence[CatalogTool]) -> list[CatalogTool]:
    return sorted(tools, key=lambda tool: tool.full_name)
