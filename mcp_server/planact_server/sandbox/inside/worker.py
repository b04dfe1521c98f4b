"""The worker: one session, one plan at a time, frames in and out."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from RestrictedPython import compile_restricted_exec, safe_builtins

from planact_server.sandbox.inside.wire import HostGone, Wire


def serve(fd_in: int, fd_out: int, *, layers: dict[str, Any]) -> NoReturn:
    """Run plans until the host goes away. `layers` says which isolation took; the host shows it to people."""
    wire = Wire(fd_in, fd_out)
    session: dict[str, Any] = {"__builtins__": dict(safe_builtins)}
    try:
        wire.send({"type": "ready", "pid": os.getpid(), "layers": layers})
        while True:
            frame = wire.receive()
            match frame["type"]:
                case "run":
                    wire.send(_run(session, frame["source"]))
                case "restore":
                    session.update(frame["variables"])
                    wire.send({"type": "restored"})
                case _:
                    pass  # an answer that nobody waits for any more
    except HostGone:
        os._exit(0)


def _run(session: dict[str, Any], source: str) -> dict[str, Any]:
    done: dict[str, Any] = {
        "type": "done",
        "status": "ok",
        "errors": [],
        "variables": {},
        "deleted": [],
        "functions": [],
        "truncated": {},
    }
    compiled = compile_restricted_exec(source)
    if compiled.errors:
        return done | {"status": "refused", "errors": [{"type": "SyntaxError", "message": e} for e in compiled.errors]}
    try:
        exec(compiled.code, session)  # noqa: S102 - running plans is what this process is for
    except Exception as error:  # noqa: BLE001 - whatever a plan raises is a result
        return done | {"status": "error", "errors": [{"type": type(error).__name__, "message": str(error)}]}
    variables = {k: v for k, v in session.items() if not k.startswith("_") and isinstance(v, int | str | list | dict)}
    return done | {"variables": variables}
