"""Stands where `python -P ARGUMENTS` would stand: `launcher.py ADDRESS ARGUMENTS`. Standard library only."""

import json
import os
import signal
import socket
import sys

address, *arguments = sys.argv[1:]
request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109 - pathlib would double the start
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
    connection.connect(f"\0{address}")
    socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
    answer = connection.recv(32)
    if answer == b"cold":
        os.execv(sys.executable, [sys.executable, "-P", *arguments])
    child = int(answer)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    # Whoever is at the other end of these streams is to see when the child closes them.
    os.closerange(0, 3)
    code = int(connection.recv(32))

if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
