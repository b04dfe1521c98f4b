"""A calendar of one test, and the sandbox that plans run in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planact_server.sandbox import Limits
from planact_server.sandbox.host import open_engine
from planact_tools import load_pack
from planner.scripted import RealGround

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[RealGround]:
    engine = open_engine(limits=Limits(), warm_workers=0)
    pack = load_pack("calendar", base=tmp_path, state=tmp_path)
    try:
        yield await RealGround.over(engine, pack)
    finally:
        await pack.aclose()
        await engine.aclose()
