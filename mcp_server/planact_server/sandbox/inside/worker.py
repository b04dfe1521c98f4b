"""The worker process: one session, one plan at a time, frames in and out."""

from __future__ import annotations

import os
import random
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from planact_server.sandbox.inside import language
from planact_server.sandbox.inside.session import Session
from planact_server.sandbox.inside.wire import HostGone, Wire

if TYPE_CHECKING:
    from planact_server.sandbox.inside.wire import Frame


def prepare() -> None:
    """Load what plans may need (time zones, codecs). Once per process, before a fork and before a jail closes."""
    language.prepare()


def serve(fd_in: int, fd_out: int, *, layers: dict[str, Any]) -> NoReturn:
    """Run plans until the host goes away. `layers` says which isolation took; the host shows it to people."""
    random.seed()  # forked workers would all draw the same numbers
    warnings.simplefilter("ignore")
    wire = Wire(fd_in, fd_out)
    session = Session(wire)
    sys.stdout = session.channel  # type: ignore[assignment] - whatever prints, prints into the plan's output
    sys.stderr = _Nowhere()  # type: ignore[assignment]
    try:
        wire.send({"type": "ready", "pid": os.getpid(), "layers": layers})
        while True:
            _answer(session, wire, wire.receive(session.channel.from_wire))
    except HostGone:
        os._exit(0)


def _answer(session: Session, wire: Wire, frame: Frame) -> None:
    match frame.get("type"):
        case "run":
            wire.send(session.run(frame))
            if session.exhausted:
                os._exit(0)  # nothing more can run here; the host brings the session back in a new worker
        case "restore":
            wire.send(session.restore(frame["variables"], frame["definitions"]))
        case "checkpoint":
            wire.send(session.checkpoint())
        case "rollback":
            wire.send(session.rollback())
        case "forget":
            wire.send(session.forget())
        case _:
            pass  # an answer that nobody waits for any more


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing is kept."""
