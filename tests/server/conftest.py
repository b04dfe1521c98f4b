"""One sandbox for all tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planact_server.sandbox import Limits
from planact_server.sandbox.host import open_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from planact_server.sandbox.host import PooledEngine


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for what a module's tests share."""
    return "asyncio"


@pytest.fixture(scope="module")
async def engine(anyio_backend: str) -> AsyncIterator[PooledEngine]:
    """Workers, each for one session: what they are forked from takes longer to start than most tests."""
    engine = open_engine(limits=Limits())
    yield engine
    await engine.aclose()
