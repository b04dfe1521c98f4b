"""A server whose list of tools is what a file says at each moment: `lists.py FILE`.

FILE is JSON: "pages", each a list of tools or the text of an error; "notice", whether the word that the list has
changed follows each list in the same write. FILE.listed and FILE.called have a line for each request.
"""

import json
import sys
from pathlib import Path

FILE = Path(sys.argv[1])


def note(what, text):
    with FILE.with_suffix(what).open("a") as notes:
        notes.write(text + "\n")


def answer(request, facts):
    method, params = request["method"], request.get("params") or {}
    if method == "initialize":
        version = params["protocolVersion"]
        return {"result": {"protocolVersion": version, "capabilities": {"tools": {"listChanged": True}}}}
    if method == "tools/list":
        note(".listed", "listed")
        place = int(params.get("cursor", "0"))
        page = facts["pages"][place]
        if isinstance(page, str):
            return {"error": {"code": -32001, "message": page}}
        more = {"nextCursor": str(place + 1)} if facts["pages"][place + 1 :] else {}
        return {"result": {"tools": page, **more}}
    if method == "tools/call":
        note(".called", params["name"])
        return {"result": {"content": [{"type": "text", "text": "done"}]}}
    return {"error": {"code": -32601, "message": "Method not found"}}


if not FILE.exists():
    sys.exit("there is no list")
for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        facts = json.loads(FILE.read_text())
        said = json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request, facts)}) + "\n"
        if facts.get("notice") and request["method"] == "tools/list":
            said += json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}) + "\n"
        sys.stdout.write(said)
        sys.stdout.flush()
