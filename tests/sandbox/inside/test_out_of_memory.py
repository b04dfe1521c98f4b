"""A worker that has no memory left to tell how its plan ended says that, and goes."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from typing import IO, Any

WORKER = """
from planact_server.sandbox.inside import session, worker
def run(self, frame):
    self._wire.queue({"type": "output", "text": "in line"})
    raise MemoryError
session.Session.run = run
worker.serve(0, 1, layers={})
"""


def receive(stream: IO[bytes]) -> Any:
    (size,) = struct.unpack(">I", stream.read(4))
    return json.loads(stream.read(size))


def test_the_end_of_a_plan_that_cannot_be_told_is_told_as_that() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = receive(process.stdout)
        body = json.dumps({"type": "run"}).encode()
        process.stdin.write(struct.pack(">I", len(body)) + body)
        process.stdin.flush()
        done = receive(process.stdout)
        rest, _ = process.communicate(timeout=20)
    assert (ready["type"], rest, process.returncode) == ("ready", b"", 0)
    assert (done["type"], done["status"], done["last"]) == ("done", "limit", True)
    assert done["errors"] == [{"type": "MemoryError", "message": "The plan ran out of memory."}]
