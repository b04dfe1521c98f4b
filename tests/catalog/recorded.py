"""The recorded catalogs of real servers, as definitions by server name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from catalog.bfcl import functions
from planact_tools import ToolDefinition

if TYPE_CHECKING:
    from pathlib import Path

Servers = Mapping[str, Sequence[ToolDefinition]]


def _definition(tool: Mapping[str, Any]) -> ToolDefinition:
    return ToolDefinition(
        name=tool["name"],
        description=tool.get("description") or "",
        input_schema=tool["inputSchema"],
        output_schema=tool.get("outputSchema"),
    )


def recorded_servers(data: Path) -> Servers:
    answers = {path.stem: json.loads(path.read_text("utf-8"))["tools"] for path in data.glob("tools_list/*.json")}
    return {name: [_definition(tool) for tool in _tools(answer)] for name, answer in answers.items()}


def _tools(answer: Any) -> list[Any]:
    return answer["tools"] if isinstance(answer, dict) else answer


def livemcpbench(data: Path) -> Servers:
    entries = json.loads((data / "livemcpbench" / "tools.json").read_text("utf-8"))
    servers = {name: server for entry in entries for name, server in entry["tools"].items()}
    return {name: [_definition(tool) for tool in server["tools"]] for name, server in servers.items()}


def bfcl(data: Path) -> Servers:
    """Different functions share names there, so each goes to a server that has none of that name yet."""
    servers: list[dict[str, ToolDefinition]] = []
    for function in functions(data / "bfcl_v4"):
        home = next((tools for tools in servers if function.name not in tools), None)
        if home is None:
            servers.append(home := {})
        home[function.name] = function
    return {f"bfcl-{number}": list(tools.values()) for number, tools in enumerate(servers)}
