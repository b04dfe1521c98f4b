"""Workers and hosts for the tests of the sandbox's host side."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planact_server.sandbox import KnownResults, Limits, Resolution, ResolvedTool, ToolRequest
from planact_server.sandbox.host import PooledEngine, open_engine
from planact_server.sandbox.spawn_source import SpawnSource
from planact_tools import JSONValue

if TYPE_CHECKING:
    from planact_server.sandbox.worker import JailedWorker
    from planact_server.sandbox.zygote_source import ZygoteSource

Tool = Callable[[ToolRequest], Awaitable[JSONValue]]


async def _echo(request: ToolRequest) -> JSONValue:
    return [*request.positional, *request.keywords.values()]


@dataclass
class ScriptedHost:
    """A PlanHost that knows every name but x and y; `tool` answers the calls, and everything asked is kept."""

    tool: Tool = _echo
    returns: KnownResults | None = None
    """What every tool is said to return."""

    requests: list[ToolRequest] = field(default_factory=list)
    asked: list[tuple[str, Mapping[str, JSONValue]]] = field(default_factory=list)

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        return {
            name: ResolvedTool(server="s", tool=name, parameters=("value",), returns=self.returns)
            for name in names
            if name not in "xy"
        }

    async def call(self, request: ToolRequest) -> JSONValue:
        self.requests.append(request)
        return await self.tool(request)

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        self.asked.append((helper, arguments))
        return None


@pytest.fixture
def host() -> ScriptedHost:
    return ScriptedHost()


@pytest.fixture
def scripted_host() -> type[ScriptedHost]:
    return ScriptedHost


@pytest.fixture
async def source() -> AsyncIterator[ZygoteSource]:
    """Forks workers, where workers are forked."""
    from planact_server.sandbox.zygote_source import ZygoteSource

    memory_bytes = Limits().memory_bytes
    source = ZygoteSource(rights={"memory_bytes": memory_bytes, "cpu_seconds": 60}, memory_bytes=memory_bytes)
    yield source
    await source.aclose()


@pytest.fixture
async def raw_worker() -> AsyncIterator[JailedWorker]:
    """A real process behind the real Worker class that does with the stream whatever the plan's source says."""
    script = Path(__file__).with_name("raw_worker.py")
    source = SpawnSource(lambda: [sys.executable, "-I", str(script)], memory_bytes=Limits().memory_bytes)
    worker = await source.start()
    yield worker
    await worker.aclose()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill soon, where the test is about being killed."""
    monkeypatch.setattr("planact_server.sandbox.worker.GRACE_SECONDS", 0.2)


# Where workers are forked that takes milliseconds; a new interpreter, or two, for each test take most of a second.
CHOICES = (
    ["spawn", "monty"]
    if sys.platform == "win32"
    else ["fork", *(pytest.param(name, marks=pytest.mark.check) for name in ("spawn", "monty"))]
)


@pytest.fixture(params=CHOICES)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[PooledEngine]:
    engine = open_engine(request.param, limits=Limits(), warm_workers=0)
    yield engine
    await engine.aclose()
