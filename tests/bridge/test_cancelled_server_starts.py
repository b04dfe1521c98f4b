"""Starts of servers that nobody waits for any more: the process ends, and nothing of it stays with us."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

from planact_bridge.child import start_child
from planact_bridge.specs import StdioSpec
from sandbox.host.leftovers import held, nothing_more_than

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

TURNS = 24
"""Turns of the event loop within which a process is started."""

WAITS_FOR_NOTHING = "import time; time.sleep(60)"


async def test_a_start_that_is_cancelled_at_any_moment_leaves_no_process_and_no_log_open(tmp_path: Path) -> None:
    spec = StdioSpec(name="slow", command=sys.executable, args=("-S", "-c", WAITS_FOR_NOTHING))
    log = tmp_path / "slow.log"
    with fail_after(60):
        await (await start_child(spec, log=log)).drop()  # whatever is opened once, is now
        before = held()
        for turns in [*range(TURNS)] * 3:
            starting = asyncio.ensure_future(start_child(spec, log=log))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await starting).drop()
        await nothing_more_than(before)
