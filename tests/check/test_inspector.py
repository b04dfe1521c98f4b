"""The protocol's inspector finds nothing to say about our tool's schema, on either transport, in either protocol."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from check.serving import serving

if TYPE_CHECKING:
    from planact_testing import Home

pytestmark = pytest.mark.check


async def inspect(inspector: list[str], home: Home, *target: str) -> tuple[int, str, str]:
    with anyio.fail_after(60):
        done = await anyio.run_process(
            [*inspector, *target, "--method", "tools/list", "--strict"],
            env=home.environment,
            cwd=home.work,
            check=False,
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def listed(stdout: str) -> list[str]:
    tools: list[dict[str, Any]] = json.loads(stdout)["tools"]
    return [tool["name"] for tool in tools]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_strict_finds_nothing(home: Home, foreign_clients: dict[str, list[str]], era: str) -> None:
    home.configure("")
    command = [sys.executable, "-P", "-m", "planact_server", "serve"]
    over_stdio = await inspect(foreign_clients["inspector"], home, *command, "--protocol-era", era)
    async with serving(home) as url:
        over_http = await inspect(foreign_clients["inspector"], home, url, "--protocol-era", era)
    for code, stdout, stderr in (over_stdio, over_http):
        assert (code, listed(stdout)) == (0, ["run_python_actions"])
        assert "portability" not in stderr, stderr
