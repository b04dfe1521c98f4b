"""Workers in the real jail that run any code. No configuration of the product can make one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planact_server.sandbox import Limits, launching
from planact_server.sandbox.host import EngineChoice, PooledEngine, open_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

UNPOLICED = Path(__file__).with_name("unpoliced.py")
LIMITS = Limits(seconds=5)


@pytest.fixture(params=["fork", "spawn"])
def engine_choice(request: pytest.FixtureRequest) -> EngineChoice:
    return request.param


@pytest.fixture
async def unpoliced_without(
    engine_choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], PooledEngine]]:
    """Open engines whose workers have no language policy, and the jail less one layer ("" is all of them)."""
    original = launching.command
    async with AsyncExitStack() as stack:

        def open_without(layer: str) -> PooledEngine:
            def command(mode: str, **settings: object) -> list[str]:
                interpreter, *options, launch, given, facts = original(mode, **settings)  # type: ignore[arg-type]
                return [interpreter, *options, str(UNPOLICED), layer, launch, given, facts]

            for module in ("zygote_source", "host"):
                monkeypatch.setattr(f"planact_server.sandbox.{module}.command", command)
            engine = open_engine(engine_choice, limits=LIMITS, warm_workers=0)
            stack.push_async_callback(engine.aclose)
            return engine

        yield open_without


@pytest.fixture
def unpoliced(unpoliced_without: Callable[[str], PooledEngine]) -> PooledEngine:
    return unpoliced_without("")
