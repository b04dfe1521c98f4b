"""Messages between the host and a worker: a 4-byte big-endian length, then one JSON object in UTF-8.

Host → worker
    {"type": "run", "source": str, "seconds": float,
                    "output_bytes": int, "state_bytes": int, "source_bytes": int, "frame_bytes": int}
    {"type": "restore", "variables": {name: value}}
    {"type": "answer", "id": int, "value": value}
    {"type": "answer", "id": int, "error": {"type", "message", "hint"?, "parameter"?,
                                            "server"?, "tool"?, "function"?, "arguments"?}}
    {"type": "answer", "id": int, "limit": str}            ends the plan with status `limit`

Worker → host
    {"type": "ready", "pid": int, "layers": {name: true | str}}
    {"type": "restored"}
    {"type": "resolve", "id": int, "names": [str]}         answered with {name: Resolution}, where
        Resolution = {"kind": "tool", "server", "tool", "parameters": [str], "aliases": [str], "open_keywords": bool}
                   | {"kind": "server", "server"} | {"kind": "missing", "hint": str}
    {"type": "call", "id": int, "call": int, "server": str | null, "tool": str, "raw": bool,
                     "positional": [value], "keywords": {str: value}, "line": int | null}
    {"type": "ask", "id": int, "helper": str, "arguments": {str: value}}
    {"type": "output", "text": str}                        what was printed since the last one
    {"type": "bound", "call": int, "names": [str]}         may come late, at the latest before `done`
    {"type": "done", "status", "errors", "result"?, "variables", "deleted", "functions", "truncated"}

`id` is the worker's and counts up; answers may come in any order. Several calls may be in flight.
Handles in answer values are objects with the key "$planact":
    {"$planact": "image" | "audio" | "blob", "id": str, "mime": str, "size": int}
    {"$planact": "text", "id": str, "size": int}           a LargeText; slices come through ask "text"
They travel back unchanged when a plan passes them as an argument.
"""
