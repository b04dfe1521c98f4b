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

    from planact_server.sandbox.host import PooledEngine


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop for all tests here, so that they can share a sandbox."""
    return "asyncio"


@pytest.fixture(scope="session")
async def engine(anyio_backend: str) -> AsyncIterator[PooledEngine]:
    engine = open_engine(limits=Limits(), warm_workers=0)
    yield engine
    await engine.aclose()


@pytest.fixture
async def ground(tmp_path: Path, engine: PooledEngine) -> AsyncIterator[RealGround]:
    pack = load_pack("calendar", base=tmp_path, state=tmp_path)
    yield await RealGround.over(engine, pack)
    await pack.aclose()
