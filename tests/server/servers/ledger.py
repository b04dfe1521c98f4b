"""A server that does not say what its tools return."""

import json

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("ledger")


@server.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
def entries(count: int = 2) -> str:
    """List the newest entries."""
    rows = [{"id": number, "amount": number / 4, "note": None if number % 2 else "paid"} for number in range(count)]
    return json.dumps(rows)


@server.tool(structured_output=False)
def book(amount: float) -> str:
    """Book an amount."""
    return json.dumps({"entry": {"id": 3, "amount": amount}, "booked": True})


if __name__ == "__main__":
    server.run()
