"""A server whose tool says how often it was called, and says so at every call: its list changes all the time."""

import json
import sys
from typing import Any

calls: list[str] = []


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(method: str) -> dict[str, Any] | None:
    match method:
        case "initialize":
            info = {"name": "counting", "version": "1"}
            return {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": info,
            }
        case "tools/list":
            known = [f"item {number}" for number in range(len(calls) + 1)]
            schema = {"type": "object", "properties": {"item": {"type": "string", "enum": known}}}
            marks = {"readOnlyHint": True}
            tool = {"name": "take", "description": f"{len(calls)} taken.", "inputSchema": schema, "annotations": marks}
            return {"tools": [tool]}
        case "tools/call":
            calls.append("one more")
            send({"method": "notifications/tools/list_changed"})
            return {"content": [{"type": "text", "text": str(len(calls))}]}
        case _:
            return None


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    if (result := answer(request["method"])) is None:
        send({"id": request["id"], "error": {"code": -32601, "message": "unknown"}})
    else:
        send({"id": request["id"], "result": result})
