"""A worker in the real jail that has been taken over: it runs any code, with the stream to its host in its hands.

    python -I -S native.py LAUNCH zygote|spawned SETTINGS

The value of the last expression is the result, unless the code has sent `done` itself.
"""

import ast
import ctypes  # noqa: F401 - for the attacks, as what follows
import importlib
import itertools
import json
import mmap  # noqa: F401
import os
import runpy
import socket  # noqa: F401
import struct
import sys
import time  # noqa: F401
import traceback

STREAM = {"in": 0, "out": 0}


def write(data):
    while data:
        data = data[os.write(STREAM["out"], data) :]


def send_body(body):
    write(struct.pack(">I", len(body)) + body)


def bytes_of(**frame):
    body = json.dumps(frame).encode()
    return struct.pack(">I", len(body)) + body


def send(**frame):
    STREAM["ended"] = STREAM.get("ended") or frame.get("type") == "done"
    write(bytes_of(**frame))


def read(size):
    data = b""
    while len(data) < size:
        chunk = os.read(STREAM["in"], size - len(data))
        if not chunk:
            os._exit(0)
        data += chunk
    return data


def receive():
    (size,) = struct.unpack(">I", read(4))
    return json.loads(read(size))


ids = itertools.count(1)


def resolve(*names):
    send(type="resolve", id=next(ids), names=list(names))


def call(number, tool="echo", *arguments, server="tools", **changes):
    frame = {"positional": list(arguments), "keywords": {}, "line": 1, "raw": False, "server": server, "tool": tool}
    send(**({"type": "call", "id": next(ids), "call": number, **frame} | changes))


def ask(helper, **arguments):
    send(type="ask", id=next(ids), helper=helper, arguments=arguments)


NOTHING = {"status": "ok", "errors": [], "variables": {}, "deleted": [], "functions": [], "truncated": {}}


def done(**facts):
    send(type="done", **(NOTHING | facts))


def run(source):
    """Run the source; return the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<attack>", "exec"), globals())
    return None if last is None else eval(compile(ast.Expression(last.value), "<attack>", "eval"), globals())


def serve(fd_in, fd_out, *, layers):
    STREAM.update({"in": fd_in, "out": fd_out})
    send(type="ready", pid=os.getpid(), layers=layers)
    while True:
        frame = receive()
        if frame["type"] != "run":
            continue
        STREAM["ended"] = False
        try:
            value = run(frame["source"])
        except BaseException as error:  # noqa: BLE001 - whatever it raises is its answer
            said = "".join(traceback.format_exception_only(type(error), error)).strip()
            done(status="error", errors=[{"type": type(error).__name__, "message": said}])
        else:
            if not STREAM["ended"]:
                done(result=value if isinstance(value, str | int | float | list | dict | None) else repr(value))


def main():
    path, *arguments = sys.argv[1:]
    launch = runpy.run_path(path)
    original = importlib.import_module

    def import_module(name, package=None):
        module = original(name, package)
        if name.endswith((".zygote", ".spawned")):
            sys.modules["planact_server.sandbox.inside.worker"].serve = serve
        return module

    importlib.import_module = import_module
    launch["main"](arguments)


if __name__ == "__main__":
    main()
