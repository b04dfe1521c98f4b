"""Cursor."""

from __future__ import annotations

import base64
from urllib.parse import urlencode

from planact_bridge.hosts.dialect import Dialect
from planact_bridge.hosts.host import Host
from planact_bridge.hosts.references import EDITOR
from planact_bridge.hosts.texts import JSON


def _link(name: str, entry: str) -> str:
    query = urlencode({"name": name, "config": base64.b64encode(entry.encode()).decode()})
    return f"cursor://anysphere.cursor-deeplink/mcp/install?{query}"


HOST = Host(
    name="cursor",
    title="Cursor",
    user=lambda machine: machine.home / ".cursor" / "mcp.json",
    project=lambda folder: folder / ".cursor" / "mcp.json",
    dialect=Dialect(syntax=JSON, keys=("mcpServers",), references=EDITOR),
    reread="Cursor notices by itself.",
    found="Settings → MCP shows the server and its switch.",
    link=_link,
)
