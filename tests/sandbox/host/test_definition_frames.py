"""What a worker says of its functions' sources is text within bounds, or costs it its life."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from anyio import fail_after

from planact_server.sandbox import Limits
from planact_server.sandbox.frame_fields import DEFINITION_CHARS, DEFINITIONS
from planact_server.sandbox.frames import FrameError, decode

if TYPE_CHECKING:
    from conftest import ScriptedHost
    from planact_server.sandbox.worker import JailedWorker

LEFT = {"variables": {}, "deleted": [], "functions": [], "truncated": {}}

BROKEN: dict[str, Any] = {
    "a list": ["f"],
    "no name": {"f g": "def f(): pass"},
    "no text": {"f": 1},
    "too many": {f"f{number}": "" for number in range(DEFINITIONS + 1)},
    "too long": {"f": "x" * (DEFINITION_CHARS // 2), "g": "x" * (DEFINITION_CHARS // 2 + 1)},
}


@pytest.mark.parametrize("definitions", BROKEN.values(), ids=BROKEN)
def test_definitions_out_of_bounds_break_the_protocol(definitions: object) -> None:
    frame = {"type": "done", "status": "ok", "errors": [], **LEFT, "definitions": definitions}
    with pytest.raises(FrameError, match="definitions"):
        decode(json.dumps(frame).encode())


@pytest.mark.parametrize("lost", [[-1], ["f"], [True], [0] * (DEFINITIONS + 1), {"f": 1}])
def test_places_that_are_none_break_the_protocol(lost: object) -> None:
    with pytest.raises(FrameError, match="lost"):
        decode(json.dumps({"type": "restored", "lost": lost}).encode())


async def test_places_of_definitions_that_nobody_sent_name_nothing(
    raw_worker: JailedWorker, host: ScriptedHost
) -> None:
    with fail_after(20):
        outcome = await raw_worker.run(
            "done()\nreceive()\nsend(type='restored', lost=[1, 7])", host=host, limits=Limits()
        )
        lost = await raw_worker.restore({}, {"f": "def f(): pass", "g": "def g(): pass"})
    assert (outcome.status, lost) == ("ok", ("g",))
