"""What a host's model reads about the tool: pure, the same bytes for the same catalog.

At most 1,000 tokens (4,000 characters). Hosts may cut after 2,000 characters, so what matters comes first:
how a plan looks, which servers there are, how to find tools; then as many signatures as fit.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from planact_server.catalog.signatures import signature

if TYPE_CHECKING:
    from collections.abc import Collection

    from planact_server.catalog.catalog import Catalog, CatalogServer, CatalogTool

MOST_CHARS = 4_000
SERVERS_CHARS = 1_000
"""Room for the list of servers, so that the head stays within the first 2,000 characters."""

_HEAD = """\
Run a Python plan over the connected tools and get one JSON state back: result, variables, function_results, \
calls, output, errors.

Every tool is a function, called with keywords: `server.tool(x=1)`, or `tool(x=1)` where the name is unique. \
Write ordinary Python and do the whole job in one plan: loops, conditions, joins, error handling. Results are \
plain values. The last expression is the result; variables stay for the next plan of the same `session`.

    rows = [tool(id=i) for i in range(3)]
    best = max(rows, key=lambda row: row["score"])
    best["name"]

`search_tools("words")` lists matching signatures, `describe("server.tool")` explains one tool, \
`progress("text", 0.5)` reports, `call_tool("raw-name", {...}, server="x")` takes any spelling. A failed tool raises \
ToolError, which a plan may catch. No files, network or processes except through tools."""

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_LONGEST_WORD = 40


def describe_tool(catalog: Catalog, *, trusted: Collection[str] = ()) -> str:
    """Return the description of `run_python_actions`. `trusted` are servers (Python spelling) that may use prose."""
    return _described(catalog, frozenset(trusted))


@lru_cache(maxsize=1)  # every client asks for the same one, and a thousand signatures take a tenth of a second
def _described(catalog: Catalog, trusted: frozenset[str]) -> str:
    parts = [_HEAD, _servers(catalog)]
    signatures = _signatures(catalog, trusted=trusted, room=MOST_CHARS - sum(len(part) + 2 for part in parts))
    return "\n\n".join([*parts, *signatures])


def _servers(catalog: Catalog) -> str:
    if not catalog.servers:
        return "No server is connected yet: plans can only compute."
    counted = [_count(server) for _, server in sorted(catalog.servers.items())]
    shown: list[str] = []
    for text in counted:
        if sum(map(len, shown)) + 2 * len(shown) + len(text) > SERVERS_CHARS:
            break
        shown.append(text)
    rest = len(counted) - len(shown)
    more = f" and {rest} more (search_tools finds their tools)" if rest else ""
    return f"Servers: {', '.join(shown)}{more}."


def _count(server: CatalogServer) -> str:
    tools = len(server.tools)
    return f"{server.name} ({tools} tool{'' if tools == 1 else 's'})" if tools else f"{server.name} (no tools yet)"


def _signatures(catalog: Catalog, *, trusted: Collection[str], room: int) -> list[str]:
    lines: dict[CatalogTool, str] = {}
    left = 0
    room -= len("Signatures:\n") + len("\n… and 10000 more: search_tools finds them.")
    for tool in _in_turns(catalog):
        line = signature(tool)
        if tool.server not in trusted and _holds_prose(line):
            line = f"{tool.full_name}({', '.join(parameter.name for parameter in tool.parameters)})"
        if len(line) + 1 > room:
            left += 1
            continue
        lines[tool] = line
        room -= len(line) + 1
    if not lines:
        return []
    # Chosen in turns, read server by server.
    grouped = [lines[tool] for tool in sorted(lines, key=lambda tool: tool.server)]
    more = [f"… and {left} more: search_tools finds them."] if left else []
    return ["\n".join(["Signatures:", *grouped, *more])]


def _holds_prose(line: str) -> bool:
    """Say whether a signature quotes more than single words: a server nobody has decided on must not talk here."""
    quoted = (match[0] for match in _QUOTED.finditer(line))
    return any(len(text) > _LONGEST_WORD or len(text[1:-1].split()) > 1 for text in quoted)


def _in_turns(catalog: Catalog) -> list[CatalogTool]:
    """Return every server's first tool, then every server's second, …: each server gets a part of the room."""
    columns = [list(server.tools.values()) for _, server in sorted(catalog.servers.items())]
    longest = max(map(len, columns), default=0)
    return [column[row] for row in range(longest) for column in columns if row < len(column)]
