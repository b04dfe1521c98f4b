"""Forks interpreters that have imported Planact: `server.py ADDRESS`. Ends when its standard input does."""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IMPORTED = (
    *(f"planact_server.cli.{name}" for name in ("program", "ask", "demo", "doctor", "hosts", "models", "packs")),
    *(f"planact_server.cli.{name}" for name in ("run", "serve", "servers", "tools", "trust")),
    "planact_server.app",
    "planact_server.http",
    "planact_server.serve_pack",
    "planact_server.server",
    "mcp.server.mcpserver",
    "mcp.server.stdio",
    "rich.align",
    "rich.console",
    "rich.table",
    "uvicorn",
)


@dataclass(frozen=True, kw_only=True)
class Child:
    """A running child, a descriptor that tells its end, and the connection to its launcher."""

    pid: int
    handle: int
    launcher: socket.socket


def serve(listener: socket.socket, selector: selectors.BaseSelector) -> dict[str, Any] | None:
    """Return None when standard input has ended, and in each child what its launcher asks for."""
    selector.register(listener, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            child = key.data
            if key.fd == 0:
                return None
            if child is None:
                request = fork(listener, selector)
                if request is not None:
                    return request
            elif key.fd == child.handle:
                report(child, selector)
            elif child.launcher.fileno() >= 0:  # its launcher has been killed
                selector.unregister(child.launcher)
                signal.pidfd_send_signal(child.handle, signal.SIGKILL)


def fork(listener: socket.socket, selector: selectors.BaseSelector) -> dict[str, Any] | None:
    """Fork for the launcher that connects; return what it asks for in the child, and None in the server."""
    launcher, _ = listener.accept()
    message, streams, _, _ = socket.recv_fds(launcher, 1 << 20, 3)
    request: dict[str, Any] | None = json.loads(message) if message else None
    if request is None or settings_of_python(request["environment"]) - settings_of_python(os.environ):
        tell(launcher, "cold")
        launcher.close()
        for stream in streams:
            os.close(stream)
        return None
    pid = os.fork()
    if pid == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        launcher.close()
        for key in selector.get_map().values():
            if key.data is not None and key.fd == key.data.handle:
                os.close(key.fd)
                key.data.launcher.close()
        return request
    for stream in streams:
        os.close(stream)
    child = Child(pid=pid, handle=os.pidfd_open(pid), launcher=launcher)
    selector.register(child.handle, selectors.EVENT_READ, child)
    selector.register(launcher, selectors.EVENT_READ, child)
    tell(launcher, pid)
    return None


def report(child: Child, selector: selectors.BaseSelector) -> None:
    """Tell the launcher how its child has ended."""
    _, status = os.waitpid(child.pid, 0)
    selector.unregister(child.handle)
    os.close(child.handle)
    if child.launcher in selector.get_map():
        selector.unregister(child.launcher)
    tell(child.launcher, os.waitstatus_to_exitcode(status))
    child.launcher.close()


def settings_of_python(environment: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return what an interpreter reads when it starts: the server has done so already."""
    return {(name, value) for name, value in environment.items() if name.startswith("PYTHON")}


def tell(launcher: socket.socket, answer: object) -> None:
    try:
        launcher.send(str(answer).encode())
    except OSError:
        return  # it has been killed


def become(request: dict[str, Any]) -> None:
    """Go on as the interpreter that the launcher stands for."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1 if os.isatty(1) else -1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    if request["arguments"][0] == "-m":
        _, module, *arguments = request["arguments"]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = request["arguments"]
        runpy.run_path(sys.argv[0], run_name="__main__")


def main(address: str) -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # else the collections of every child would copy these pages
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, selectors.DefaultSelector() as selector:
        listener.bind(f"\0{address}")
        listener.listen(64)
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        request = serve(listener, selector)
    if request is not None:
        become(request)


if __name__ == "__main__":
    main(sys.argv[1])
