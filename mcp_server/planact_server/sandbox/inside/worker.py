"""The worker process: one session, one plan at a time, frames in and out."""

from __future__ import annotations

import os
import random
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from planact_server.sandbox.inside import language, memory, state
from planact_server.sandbox.inside.session import Session
from planact_server.sandbox.inside.wire import HostGone, Wire, encode

if TYPE_CHECKING:
    from planact_server.sandbox.inside.wire import Frame


_TRIAL = """
import json, math
def total(rows):
    return sum(row["n"] for row in rows)
rows = [{"n": number, "text": f"{number:>3}"} for number in range(3)]
found = {row["text"]: math.sqrt(row["n"]) for row in rows if row["n"] != 1}
try:
    rows[3]
except IndexError as error:
    found["error"] = str(error)
total(json.loads(json.dumps(rows)))
"""
_TRIAL_LIMITS = {
    "seconds": 10.0,
    "cpu_seconds": 10.0,
    "output_bytes": 10_000,
    "state_bytes": 100_000,
    "source_bytes": 10_000,
    "frame_bytes": 1_000_000,
}

_OUT_OF_MEMORY = encode(
    {
        "type": "done",
        "status": "limit",
        "errors": [{"type": "MemoryError", "message": "The plan ran out of memory."}],
        **state.NONE,
        "last": True,
    }
)
"""Made beforehand: there is no memory for it by then."""

_UNHURRIED_SECONDS = 0.02
"""A worker that is asked for nothing so long was started ahead of need. It copies the pages of memory that a first
plan writes to while nobody waits for it: that takes longer than a short plan."""

_begun: tuple[Wire, Session] | None = None
_stage: Session | None = None


def prepare() -> None:
    """Load what plans may need (time zones, codecs). Once per process, before a fork and before a jail closes."""
    language.prepare()


def make_ready() -> None:
    """Make, once, the session that each worker forked from this process begins with: a copy of its own.

    A trial plan in another one touches what every first plan touches: later on, all workers share it.
    """
    global _begun  # noqa: PLW0603 - a process has one
    _rehearse()
    _begun = _begin()


def serve(fd_in: int, fd_out: int, *, layers: dict[str, Any]) -> NoReturn:
    """Run plans until the host goes away. `layers` says which isolation took; the host shows it to people."""
    random.seed()  # forked workers would all draw the same numbers
    warnings.simplefilter("ignore")
    wire, session = _begun or _begin()
    wire.bind(fd_in, fd_out)
    session.listen()
    sys.stdout = session.channel  # type: ignore[assignment] - whatever prints, prints into the plan's output
    sys.stderr = _Nowhere()  # type: ignore[assignment]
    try:
        wire.send({"type": "ready", "pid": os.getpid(), "layers": layers})
        if not wire.wait(_UNHURRIED_SECONDS):
            _rehearse()
        while True:
            _answer(session, wire, wire.receive(session.channel.from_wire))
    except HostGone:
        os._exit(0)


def _rehearse() -> None:
    """Run a plan in a session that is no plan's of anybody."""
    global _stage  # noqa: PLW0603 - a process has one; made before a fork, it costs a worker little memory
    _stage = _stage or Session(Wire(-1, -1))
    _stage.run({"type": "run", "source": _TRIAL, **_TRIAL_LIMITS})


def _begin() -> tuple[Wire, Session]:
    wire = Wire(-1, -1)
    return wire, Session(wire)


def _answer(session: Session, wire: Wire, frame: Frame) -> None:
    match frame.get("type"):
        case "run":
            try:
                wire.send(session.run(frame))
            except MemoryError:  # not even the end of the plan could be put together
                memory.release()
                wire.send_only(_OUT_OF_MEMORY)
                os._exit(0)
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
