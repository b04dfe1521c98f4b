"""The protocol's own conformance suite against the server as users run it.

These are the scenarios that need no tools, prompts or resources of the suite's own invention.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import anyio
import pytest

from check.serving import serving

if TYPE_CHECKING:
    from planact_testing import Home

pytestmark = pytest.mark.check

SCENARIOS = {
    "server-initialize": 1,
    "ping": 1,
    "tools-list": 1,
    "resources-list": 1,
    "server-sse-multiple-streams": 2,
    "dns-rebinding-protection": 2,
}
"""Name → checks that it makes."""


async def test_every_scenario_without_fixtures_passes(home: Home, foreign_clients: dict[str, list[str]]) -> None:
    found: dict[str, tuple[int, ...]] = {}
    async with serving(home) as url:
        for name in SCENARIOS:
            command = [*foreign_clients["conformance"], "server", "--url", url, "--scenario", name]
            with anyio.fail_after(60):
                done = await anyio.run_process(command, check=False)
            said = re.search(r"Passed: (\d+)/(\d+), (\d+) failed", done.stdout.decode())
            assert said is not None, done.stdout.decode()[-2_000:] + done.stderr.decode()[-2_000:]
            found[name] = tuple(map(int, said.groups()))
    assert found == {name: (checks, checks, 0) for name, checks in SCENARIOS.items()}
