"""A worker without a jail and without manners: it runs the source that it is sent, with the stream in its hands."""

import itertools
import json
import os
import struct
import sys


def write(data):
    while data:
        data = data[os.write(1, data) :]


def send_body(body):
    write(struct.pack(">I", len(body)) + body)


def send(**frame):
    send_body(json.dumps(frame).encode())


def receive():
    (size,) = struct.unpack(">I", read(4))
    return json.loads(read(size))


def read(size):
    data = b""
    while len(data) < size:
        chunk = os.read(0, size - len(data))
        if not chunk:
            sys.exit()
        data += chunk
    return data


ids = itertools.count(1)


def call(number, tool="tool", *arguments, **facts):
    send(
        type="call",
        id=next(ids),
        call=number,
        server="s",
        tool=tool,
        raw=False,
        positional=list(arguments),
        keywords={},
        line=1,
        **facts,
    )


def ask(helper, **arguments):
    send(type="ask", id=next(ids), helper=helper, arguments=arguments)


def done(**facts):
    empty = {"status": "ok", "errors": [], "variables": {}, "deleted": [], "functions": [], "truncated": {}}
    send(type="done", **(empty | facts))


send(type="ready", pid=os.getpid(), layers={"process": True})
while True:
    exec(receive()["source"], globals())
