"""Attacks on every engine: nothing gets out, nobody is harmed, and nothing is left over."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from anyio import fail_after

if sys.platform != "linux":
    pytest.skip("This jail is Linux's", allow_module_level=True)

from attacks.attacking import Engines, all_complaints, reached
from attacks.corpus import CLASSES, load, load_shared

if TYPE_CHECKING:
    from pathlib import Path

    from planact_server.sandbox.host import EngineChoice

ENGINES = ("fork", "spawn", "monty")


@pytest.mark.check
@pytest.mark.parametrize("kind", CLASSES)
async def test_every_attack_reaches_its_target_without_the_rule_that_stops_it(kind: str) -> None:
    async with AsyncExitStack() as stack:
        engines = Engines(stack)
        with fail_after(300):
            ends = {attack.id: await reached(attack, engines) for attack in load(kind)}
    assert {name: end for name, end in ends.items() if end is not None} == {}


@pytest.mark.check
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", CLASSES)
async def test_no_attack_gets_out(kind: str, engine: EngineChoice) -> None:
    with fail_after(300):
        assert await all_complaints(engine, load(kind)) == {}


@pytest.mark.check
@pytest.mark.parametrize("engine", ENGINES)
async def test_no_known_attack_gets_out(engine: EngineChoice, shared: Path) -> None:
    with fail_after(300):
        assert await all_complaints(engine, load_shared(shared / "attacks" / "attacks_dev.jsonl")) == {}
