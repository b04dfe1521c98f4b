"""Clients that nobody here wrote call the tool: TypeScript SDK 1 and 2, the Python SDK's first generation."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from check.serving import serving
from planact_testing import Home, planact

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.check

CODE = """
import asyncio

x = pair_sum(a=[1, 2], b=[2, 3])
progress('half', 0.5)
print('é 😀')
await asyncio.sleep(1)
x[1]
"""
# It waits before it ends: a client that reads the result together with the progress before it drops the progress.
CLIENTS = {
    "TypeScript 1": ("typescript", "1", "legacy", None),
    "TypeScript 2, handshake": ("typescript", "2", "legacy", "2025-11-25"),
    "TypeScript 2, either era": ("typescript", "2", "auto", "2026-07-28"),
    "Python 1": ("python", "1", "legacy", "2025-11-25"),
}


async def called(command: list[str], *arguments: str, environment: Mapping[str, str]) -> dict[str, Any]:
    with anyio.fail_after(60):
        done = await anyio.run_process([*command, *arguments], check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    return json.loads(done.stdout)


def check(answer: dict[str, Any], version: str | None, *, told_apart: bool = True) -> None:
    state = answer["result"]["structuredContent"]
    assert (answer["tools"], answer["server"], answer["version"]) == (["run_python_actions"], "planact", version)
    assert (state["status"], state["result"], state["output"]) == ("ok", 5, "é 😀\n")
    assert state["function_results"] == {"pair_sum": ["x"]}
    assert json.loads(answer["result"]["content"][0]["text"]) == state
    assert {"calling workshop.pair_sum", "half"} <= set(answer["progress"])
    # Where clients cannot be told apart, nobody is shown the runs of others.
    assert (answer["resources"] >= 1) is told_apart


@pytest.mark.parametrize(("client", "generation", "mode", "version"), CLIENTS.values(), ids=CLIENTS)
async def test_a_client_over_stdio(
    home: Home, foreign_clients: dict[str, list[str]], client: str, generation: str, mode: str, version: str | None
) -> None:
    target = json.dumps(planact("serve", cold=True))
    answer = await called(foreign_clients[client], generation, mode, target, CODE, environment=home.environment)
    check(answer, version)


@pytest.mark.parametrize(("client", "generation", "mode", "version"), CLIENTS.values(), ids=CLIENTS)
async def test_a_client_over_http(
    home: Home, foreign_clients: dict[str, list[str]], client: str, generation: str, mode: str, version: str | None
) -> None:
    async with serving(home) as url:
        answer = await called(foreign_clients[client], generation, mode, url, CODE, environment=dict(os.environ))
    check(answer, version, told_apart=answer["version"] not in MODERN_PROTOCOL_VERSIONS)
