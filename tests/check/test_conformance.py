"""The protocol's own conformance suite: against the server as users run it, and with what the suite asks for beside it.

Every scenario that a revision requires has to pass with the suite's tools, resources and prompts offered
(`check.suite`). Those that need nothing of the suite's own invention have to pass against `planact serve --http` too.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from check.serving import serving, started

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_testing import Home

pytestmark = pytest.mark.check

SUITE_SERVER = Path(__file__).parent / "suite" / "serve.py"

EXTENSION = "tasks-"
"""How the scenarios of an optional extension begin, background tasks, which Planact does not offer; none is scored."""

UNMODIFIED: Mapping[str, tuple[str, ...]] = {
    "2025-11-25": (
        "dns-rebinding-protection",
        "ping",
        "resources-list",
        "server-initialize",
        "server-session-lifecycle",
        "server-sse-multiple-streams",
        "tools-list",
    ),
    "2026-07-28": (
        "dns-rebinding-protection",
        "http-header-validation",
        "input-required-result-unsupported-methods",
        "resources-list",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "tools-list",
    ),
}
"""Revision → the scenarios that need no tool, resource or prompt of the suite's own."""

NOT_OFFERED = {
    "server-sse-priming-event": "Streams are not resumed: an answer that was missed is asked for by its run.",
    "server-sse-retry-field": "As above; both are recommendations, in a scenario that is not scored.",
}
"""Checks that give a warning, and why that stays."""


async def checks(suite: list[str], folder: Path, *arguments: str) -> dict[str, list[dict[str, str]]]:
    """Run the suite and return what it checked, scenario by scenario."""
    with anyio.fail_after(240):
        done = await anyio.run_process([*suite, "server", *arguments, "-o", str(folder)], check=False)
    found = {
        re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\dZ-]+$", "", file.parent.name): json.loads(file.read_text())
        for file in folder.glob("*/checks.json")
    }
    assert found, done.stdout.decode()[-2_000:] + done.stderr.decode()[-2_000:]
    return found


def unmet(found: dict[str, list[dict[str, str]]]) -> list[str]:
    """Return the checks that did not pass, each with its scenario; what was skipped or only warned about among them."""
    return [
        f"{name}: {check['status']} {check['id']}: {check.get('errorMessage')}"
        for name, made in found.items()
        for check in made
        if check["status"] not in ("SUCCESS", "INFO") and check["id"] not in NOT_OFFERED
    ]


@pytest.mark.parametrize("revision", UNMODIFIED)
async def test_every_scenario_of_a_revision_passes(
    home: Home, foreign_clients: dict[str, list[str]], revision: str
) -> None:
    async with started([sys.executable, "-P", str(SUITE_SERVER), str(home.folder)], home) as url:
        arguments = ("--url", url, "--requirements", revision)
        found = await checks(foreign_clients["conformance"], home.folder / "results", *arguments)
    found = {name: made for name, made in found.items() if not name.startswith(EXTENSION)}
    assert unmet(found) == []
    assert len(found) == {"2025-11-25": 33, "2026-07-28": 40}[revision]


@pytest.mark.parametrize("revision", UNMODIFIED)
async def test_every_scenario_without_fixtures_passes_unmodified(
    home: Home, foreign_clients: dict[str, list[str]], revision: str
) -> None:
    found: dict[str, list[dict[str, str]]] = {}
    async with serving(home) as url:
        for name in UNMODIFIED[revision]:
            arguments = ("--url", url, "--spec-version", revision, "--scenario", name)
            found |= await checks(foreign_clients["conformance"], home.folder / "results", *arguments)
    assert unmet(found) == []
    assert len(found) == len(UNMODIFIED[revision])
