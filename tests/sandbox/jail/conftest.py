"""Workers in the real jail that run any code. No configuration of the product can make one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from planact_server.sandbox import Limits, launching
from planact_server.sandbox.host import EngineChoice, PooledEngine, open_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from planact_tools import JSONValue

UNPOLICED = Path(__file__).with_name("unpoliced.py")
LIMITS = Limits(seconds=5)


@pytest.fixture(params=["fork", "spawn"])
def engine_choice(request: pytest.FixtureRequest) -> EngineChoice:
    return request.param


@pytest.fixture
async def unpoliced_without(
    engine_choice: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], PooledEngine]]:
    """Open engines whose workers have no language policy, and the jail less some layers ("" for all of them)."""
    async with AsyncExitStack() as stack:

        def open_without(layers: str) -> PooledEngine:
            replace_workers(monkeypatch, layers, code="any")
            engine = open_engine(engine_choice, limits=LIMITS, warm_workers=0, allow_weaker=True)
            stack.push_async_callback(engine.aclose)
            return engine

        yield open_without


def replace_workers(monkeypatch: pytest.MonkeyPatch, layers: str, *, code: Literal["any", "plans"]) -> None:
    """Have workers started with the jail less some layers, for `any` code or for `plans`."""
    original = launching.command

    def command(mode: Literal["zygote", "spawned"], **settings: JSONValue) -> list[str]:
        interpreter, *options, launch, given, facts = original(mode, **settings)
        return [interpreter, *options, str(UNPOLICED), layers, code, launch, given, facts]

    for module in ("launching", "host"):
        monkeypatch.setattr(f"planact_server.sandbox.{module}.command", command)


@pytest.fixture
def weaker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a machine of this one that lacks some layers of the jail."""
    return lambda layers: replace_workers(monkeypatch, layers, code="plans")


@pytest.fixture
def unpoliced(unpoliced_without: Callable[[str], PooledEngine]) -> PooledEngine:
    return unpoliced_without("")
