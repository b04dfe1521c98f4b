"""A server written by hand, wrong in one chosen way: `raw.py CASE [FILE]`. FILE takes notes for the test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CASE = sys.argv[1]
NOTES = Path(sys.argv[2]) if len(sys.argv) > 2 else None

GOOD = {"name": "ok", "inputSchema": {"type": "object"}}

TOOLS = {
    "dirty": [
        {"name": "empty schema", "inputSchema": {}},
        {"name": "no_schema"},
        {"name": "no_object", "inputSchema": "nope"},
        {"name": "odd_required", "inputSchema": {"properties": {"a": {"type": "text"}}, "required": "a"}},
        {"name": "any_of", "inputSchema": {"anyOf": [{"type": "object"}]}},
        {"name": "null_fields", "inputSchema": {"type": "object"}, "description": None, "annotations": None},
        {"name": "extra", "inputSchema": {"type": "object"}, "weird": 1},
        {"name": "said_yes", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": "yes"}},
        {"name": "untyped_output", "inputSchema": {"type": "object"}, "outputSchema": {"description": "x"}},
        {"name": "bad_icon", "inputSchema": {"type": "object"}, "icons": [{"src": 1}]},
        {"name": "true_property", "inputSchema": {"type": "object", "properties": {"a": True, "b": 7}}},
        {"name": "odd/name!", "inputSchema": {"type": "object"}},
        {"name": 5, "inputSchema": {"type": "object"}},
        "not a tool",
        {"name": "ok", "inputSchema": {"type": "object"}},
        {"name": "ok", "inputSchema": {"type": "object"}, "description": "again"},
    ],
    "no_list": None,
    "dies_in_call": [
        {**GOOD, "name": "read", "annotations": {"readOnlyHint": True}},
        {**GOOD, "name": "write"},
        {**GOOD, "name": "twice", "annotations": {"readOnlyHint": True}},
    ],
}

RESULTS = {
    "no_content": {"structuredContent": {"n": 1}},
    "hologram": {"content": [{"type": "hologram", "x": 1}, {"type": "text", "text": "t"}]},
    "bare_error": {"content": "oops", "isError": True},
}


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def note(text):
    with NOTES.open("a") as file:
        file.write(text + "\n")


def initialize(request):
    if CASE == "left_the_handshake":
        error = {"code": int(sys.argv[3]), "message": "no such method"}
        send({"jsonrpc": "2.0", "id": request["id"], "error": error})
        return None
    version = "2023-01-01" if CASE == "unknown_version" else request["params"]["protocolVersion"]
    return {
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "raw", "version": "1"},
    }


def list_tools(request):
    if CASE == "paged":
        page = int((request.get("params") or {}).get("cursor", "0"))
        return {"tools": [{**GOOD, "name": f"tool_{page}"}], **({"nextCursor": str(page + 1)} if page < 3 else {})}
    if CASE == "restless":
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        note("listed")
    if CASE == "asks_in_its_list_stateless":
        return {"resultType": "input_required", "inputRequests": {}}
    if CASE == "endless":
        return {"tools": [{**GOOD, "name": "same"}], "nextCursor": "again"}
    return {"tools": TOOLS.get(CASE, [GOOD])}


def call_tool(request):
    name = request["params"]["name"]
    if CASE == "dies_in_call" and name != "ok":
        note(name)
        if NOTES.read_text().split().count(name) <= (2 if name == "twice" else 1):
            sys.stderr.write("out of cheese\n")
            sys.stderr.flush()
            os._exit(9)
    if CASE == "errs_and_leaves":
        send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": "bad day"}})
        os._exit(0)
    if CASE == "deaf":
        time.sleep(600)
    if CASE == "leaves_a_child":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        os._exit(0)
    if CASE == "silent_in_call":
        note("called")
        return None
    if CASE == "chatty":
        sys.stderr.write("".join(f"noise {n}\n" for n in range(200_000)))
        sys.stderr.flush()
    if CASE == "big":
        return {"content": [{"type": "text", "text": "x" * int(request["params"]["arguments"]["size"])}]}
    if CASE == "grows":
        TOOLS["grows"] = [GOOD, {**GOOD, "name": "new"}]
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    if CASE == "has_a_result_type_of_its_own":
        return {"resultType": "table", "content": [{"type": "text", "text": "rows"}]}
    if CASE == "begins_a_task_stateless":
        return {"resultType": "task", "taskId": "t1"}
    if CASE.endswith("_stateless"):
        return ask_in_the_result(request["params"])
    if CASE == "wants_visits":
        return want_visits(request["id"])
    if CASE in ("wants_a_visit", "wants_a_visit_silently", "is_never_content"):
        return want_a_visit(request["id"])
    if CASE == "asks_and_forgets":
        send({"jsonrpc": "2.0", "id": "q", "method": QUESTIONS[0], "params": {}})
        return None
    if CASE == "asks":
        return {"content": [{"type": "text", "text": json.dumps([ask(m) for m in QUESTIONS])}]}
    if CASE == "asks_second":
        WAITING.append(request["id"])
        if len(WAITING) < 2:
            return None
        said = json.dumps([ask(QUESTIONS[0])])
        send({"jsonrpc": "2.0", "id": WAITING[0], "result": {"content": [{"type": "text", "text": "first"}]}})
        return {"content": [{"type": "text", "text": said}]}
    if CASE == "half_emoji":
        sys.stdout.write(f'{{"id":{request["id"]},"result":{{"content":[{{"type":"text","text":"a\\ud83d"}}]}}}}\n')
        sys.stdout.flush()
        return None
    return RESULTS.get(CASE, {"content": [{"type": "text", "text": "ok"}]})


WAITING = []
QUESTIONS = ("elicitation/create", "sampling/createMessage", "roots/list", "ping")


def ask(method):
    send({"jsonrpc": "2.0", "id": method, "method": method, "params": {}})
    reply = json.loads(sys.stdin.readline())
    return reply["error"]["message"] if "error" in reply else reply["result"] or "answered"


def want_visits(id):
    """The first two calls want the same page visited; it is once both have been refused."""
    WAITING.append(id)
    if len(WAITING) > 2:
        return {"content": [{"type": "text", "text": "visited"}]}
    page = {"mode": "url", "elicitationId": "p1", "url": "https://example.com/login", "message": "Log in."}
    error = {"code": -32042, "message": "Log in first", "data": {"elicitations": [page]}}
    send({"jsonrpc": "2.0", "id": id, "error": error})
    if len(WAITING) == 2:
        time.sleep(0.1)
        send({"jsonrpc": "2.0", "method": "notifications/elicitation/complete", "params": {"elicitationId": "p1"}})
    return None


def want_a_visit(id):
    if WAITING and CASE != "is_never_content":
        return {"content": [{"type": "text", "text": f"visited, call {len(WAITING) + 1}"}]}
    WAITING.append(id)
    page = {"mode": "url", "elicitationId": "p1", "url": "https://example.com/login", "message": "Log in."}
    error = {"code": -32042, "message": "Log in first", "data": {"elicitations": [page]}}
    send({"jsonrpc": "2.0", "id": id, "error": error})
    if CASE == "wants_a_visit":
        time.sleep(0.1)
        for page in ("another", "p1"):
            send({"jsonrpc": "2.0", "method": "notifications/elicitation/complete", "params": {"elicitationId": page}})
    return None


def ask_in_the_result(params):
    if "inputResponses" in params:
        return {"content": [{"type": "text", "text": json.dumps([params["inputResponses"], params["requestState"]])}]}
    asked = {"q": "Sure?", "r": "Really?"} if CASE == "asks_two_stateless" else {"q": "Sure?"}
    questions = {key: {"method": "elicitation/create", "params": {"message": text}} for key, text in asked.items()}
    return {"resultType": "input_required", "inputRequests": questions, "requestState": "sealed"}


def discover(request):
    if CASE == "dies_on_probe":
        sys.exit(1)
    if CASE == "left_the_handshake" and not NOTES.exists():
        NOTES.touch()
        if "slow" in NOTES.name:
            return None
    if CASE.endswith("_stateless") or CASE == "left_the_handshake":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "_meta": {}}
    if CASE == "silent_on_probe":
        note("probed")
    else:
        send({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32601, "message": "Method not found"}})
    return None


ANSWERS = {"initialize": initialize, "server/discover": discover, "tools/list": list_tools, "tools/call": call_tool}


def serve():
    for line in sys.stdin:
        message = json.loads(line)
        if message["method"] == "notifications/cancelled" and NOTES:
            note(f"cancelled: {message['params']['reason']}")
        answer = ANSWERS.get(message["method"])
        result = answer(message) if answer and "id" in message else None
        if message["method"] == "ping":
            result = {}
        if result is not None:
            send({"jsonrpc": "2.0", "id": message["id"], "result": result})


def refuse_to_leave():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(f"{os.getpid()} {child.pid}")
    with contextlib.suppress(BrokenPipeError):
        serve()
    while True:
        time.sleep(600)


def main():
    if CASE == "exits_at_start":
        sys.exit("no API key: set DEMO_KEY\n" * 2 + "giving up")
    if CASE == "loud":
        sys.stderr.write("hello\n")
        sys.stderr.flush()
    if CASE == "says_nothing":
        sys.stderr.write("still downloading\n")
        sys.stderr.flush()
        time.sleep(600)
    if CASE == "prints":
        sys.stdout.write("*** Welcome to server v1 ***\n\n[1, 2]\n")
    if CASE == "waits_for_the_other":
        (NOTES / str(os.getpid())).touch()
        while len(list(NOTES.iterdir())) < 2:
            time.sleep(0.01)
    if CASE == "tells_its_process":
        NOTES.write_text(str(os.getpid()))
    if CASE == "refuses_to_leave":
        refuse_to_leave()
    if NOTES and NOTES.suffix == ".starts":
        note("started")
    serve()


main()
