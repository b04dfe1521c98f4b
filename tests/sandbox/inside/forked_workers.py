"""Forks workers for `plan_worker`: `python -I -S forked_workers.py INSIDE RESTRICTED_PYTHON SOCKET`.

Importing what a plan may need is nearly all of a worker's start, and the tests start hundreds of them. It is done
once here, as the product's zygote does it, and every worker is as new: its session begins after the fork.

A message on the socket asks for one worker. It passes the worker's input, its output, and the end of a pipe that
nobody else holds: the pipe ends when the worker does. The answer is the worker's process number.
"""

from __future__ import annotations

import os
import resource
import runpy
import signal
import socket
import sys
from typing import Any

MEMORY_BYTES = 700 << 20


def serve(asked: socket.socket, inside: str, restricted_python: str) -> None:
    """Fork for every message, until the tests end."""
    bootstrap = runpy.run_path(f"{inside}/bootstrap.py")
    worker = bootstrap["load"](restricted_python)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a worker
    while True:
        message, streams, _, _ = socket.recv_fds(asked, 1, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            asked.close()
            become(streams, worker, bootstrap["seal"])
        for stream in streams:
            os.close(stream)
        asked.send(str(pid).encode())


def become(streams: list[int], worker: Any, seal: Any) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    seal()
    worker.serve(streams[0], streams[1], layers={"process": True})


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[3])) as asked:
        serve(asked, sys.argv[1], sys.argv[2])
