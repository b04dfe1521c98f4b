"""Reading a server's list of tools: page by page, as far as it makes sense, one bad tool never losing the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from mcp.shared.inbound import find_invalid_x_mcp_header, x_mcp_header_map
from mcp_types import METHOD_NOT_FOUND

from planact_bridge.errors import BridgeError, RequestRefused
from planact_bridge.translate import MalformedTool, read_tool
from planact_tools import JSONObject, JSONValue, ToolDefinition

MAX_PAGES = 500
MAX_TOOLS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedTool:
    """An entry of the list that cannot be offered."""

    name: str
    """Its name, or its place in the list where it has none."""
    reason: str


@dataclass(slots=True, kw_only=True)
class ToolList:
    """What a server offers, and what was wrong with its list."""

    definitions: list[ToolDefinition] = field(default_factory=list[ToolDefinition])
    skipped: list[SkippedTool] = field(default_factory=list[SkippedTool])
    problems: list[str] = field(default_factory=list[str])
    """What is wrong with the list itself; the defects of a tool are in its definition."""

    gap: str | None = None
    """Why later pages are missing; None where none is known to be."""

    header_maps: dict[str, Mapping[tuple[str, ...], str]] = field(
        default_factory=dict[str, Mapping[tuple[str, ...], str]]
    )
    """Tool → which of its arguments are repeated as HTTP headers."""


async def read_pages(
    page: Callable[[str | None], Awaitable[JSONObject]], *, mirrored_headers: bool = False
) -> ToolList:
    """Collect all pages. Raises the first page's BridgeError; a later one ends the list and is reported.

    `mirrored_headers`: the peer's era wants `x-mcp-header` arguments repeated as headers, and tools that ask
    for it in a wrong way left out.
    """
    tools = ToolList()
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        try:
            result = await page(cursor)
        except RequestRefused as error:
            if cursor is not None:
                return _broken_off(tools, error.reason)
            if error.code != METHOD_NOT_FOUND:
                raise
            tools.problems.append("it has no tools")
            return tools
        except BridgeError as error:
            if cursor is None:
                raise
            return _broken_off(tools, error.message)
        _take(tools, result.get("tools"), mirrored_headers=mirrored_headers)
        following = result.get("nextCursor")
        if not isinstance(following, str) or not following:
            return tools
        if following in seen or len(tools.definitions) >= MAX_TOOLS:
            break
        seen.add(following)
        cursor = following
    tools.problems.append("its list does not end; the rest was left out")
    return tools


def _broken_off(tools: ToolList, reason: str) -> ToolList:
    tools.gap = f"its list ends early: {reason}"
    tools.problems.append(tools.gap)
    return tools


def _take(tools: ToolList, entries: JSONValue, *, mirrored_headers: bool) -> None:
    if not isinstance(entries, list):
        tools.problems.append(f"its list of tools is {entries!r:.80}")
        return
    names = {definition.name for definition in tools.definitions}
    for place, entry in enumerate(entries, start=1):
        try:
            definition = read_tool(entry)
            if definition.name in names:
                raise MalformedTool("the list has this name twice; the first one counts")
            if mirrored_headers:
                _map_headers(tools, definition)
        except MalformedTool as error:
            tools.skipped.append(SkippedTool(name=_name(entry) or f"entry {place}", reason=str(error)))
            continue
        names.add(definition.name)
        tools.definitions.append(definition)


def _map_headers(tools: ToolList, definition: ToolDefinition) -> None:
    invalid = find_invalid_x_mcp_header(definition.input_schema)
    if invalid is not None:
        raise MalformedTool(f"invalid x-mcp-header: {invalid}")
    if header_map := x_mcp_header_map(definition.input_schema):
        tools.header_maps[definition.name] = header_map


def _name(entry: JSONValue) -> str | None:
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and name else None
