"""A server with one bad habit: `chaos.py HABIT FILE`. FILE takes the number of each process, for those who harm it."""

import json
import os
import random
import sys
import time
from pathlib import Path

HABIT = sys.argv[1]
chance = random.Random()

TOOLS = [
    {"name": "echo", "inputSchema": {"type": "object"}},
    {"name": "peek", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
]
GARBAGE = (
    b"progress: 50 %\n",
    b'{"jsonrpc": "2.0", "id": 1, "resu\n',
    b"\xff\xfe\x00\n",
    b"[]\n",
    b"x" * 300_000 + b"\n",
)


def send(message: dict) -> None:
    if HABIT == "garbage" and chance.random() < 0.3:
        sys.stdout.buffer.write(chance.choice(GARBAGE))
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def call(arguments: dict) -> dict:
    if HABIT == "slow":
        time.sleep(chance.choice((0, 0, 0, 0.01, 0.03)) if chance.random() < 0.99 else 2.5)
    if HABIT == "exits" and chance.random() < 0.03:
        sys.stderr.write("had enough\n")
        sys.stderr.flush()
        os._exit(chance.choice((0, 1, 7)))
    return {"content": [{"type": "text", "text": json.dumps({"n": arguments.get("n")})}]}


def answer(message: dict) -> dict | None:
    method = message["method"]
    if method == "initialize":
        info = {"name": HABIT, "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        return call(message["params"].get("arguments") or {})
    return {} if method == "ping" else None


with Path(sys.argv[2]).open("a") as numbers:
    numbers.write(f"{os.getpid()}\n")
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = answer(message)
    if result is None:
        send({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
    else:
        send({"jsonrpc": "2.0", "id": message["id"], "result": result})
    if HABIT == "exits" and chance.random() < 0.01:
        os._exit(0)
