"""A worker that nobody is in a hurry for runs a plan of its own beforehand; no trace of it is left."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import fail_after

from planact_server.sandbox import Limits
from planact_server.sandbox.cpu_watch import CPUClock
from planact_server.sandbox.host import open_engine

if TYPE_CHECKING:
    from conftest import ScriptedHost

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the worker's CPU clock")

LIMITS = Limits(seconds=10)


async def rehearsed(pid: int) -> None:
    """Return when a worker that serves has computed by itself, and come to rest."""
    clock = CPUClock(pid)
    served = clock.seconds()
    before, now = served, clock.seconds()
    while now == served or now != before:
        await anyio.sleep(0.05)
        before, now = now, clock.seconds()


async def test_a_rehearsal_leaves_nothing_behind(host: ScriptedHost) -> None:
    engine = open_engine("fork", limits=LIMITS, warm_workers=0)
    try:
        with fail_after(20):
            worker = await engine.worker()
            await rehearsed(worker.pid)
            outcome = await worker.run("import random\nx = rows(1)\nprint(x)", host=host, limits=LIMITS)
    finally:
        await engine.aclose()
    # The rehearsal has a variable of the name `rows`; in this session it is a tool's.
    assert (outcome.status, outcome.variables, outcome.output) == ("ok", {"x": [1]}, "[1]\n")
    assert outcome.functions == ("random",)
