"""Attacks on every engine: nothing gets out, nobody is harmed, and nothing is left over."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

if sys.platform != "linux":
    pytest.skip("This jail is Linux's", allow_module_level=True)

import planact_server
import planact_tools
from attacks.attacking import all_complaints, all_that_miss
from attacks.corpus import CLASSES, Attack, everything, load, load_shared
from planact_server.sandbox.monty.source import is_installed

if TYPE_CHECKING:
    from planact_server.sandbox.host import EngineChoice

ENGINES = (
    "fork",
    "spawn",
    pytest.param("monty", marks=pytest.mark.skipif(not is_installed(), reason="Monty is not installed")),
)
KINDS = (*CLASSES, "containment")
SECONDS = 300

STEP = {"fork": 1, "spawn": 4, "monty": 1}
STEP_AS_NOBODY = {"fork": 1, "spawn": 8, "monty": 1}
"""Each attack costs an interpreter on the engine that cannot fork, so not all run there: spawned workers differ from
forked ones in how they start."""

AS_NOBODY = Path(__file__).with_name("as_nobody.py")
FOLDERS = os.pathsep.join(
    [
        str(AS_NOBODY.parents[1]),
        *(str(Path(each.__file__ or "").parents[1]) for each in (planact_server, planact_tools)),
    ]
)

HARMLESS_ON_MONTY = {
    "shadow-10": "says so whether the pattern matches or not",
    "shadow-17": "a name like any other",
}
"""Known attacks that come to their end on Monty, where their target means nothing."""


@pytest.mark.check
@pytest.mark.parametrize("kind", CLASSES)
async def test_every_attack_reaches_its_target_without_the_rule_that_stops_it(kind: str) -> None:
    with anyio.fail_after(SECONDS):
        assert await all_that_miss(load(kind)) == {}


async def test_a_few_attacks_of_every_class_do_not_get_out() -> None:
    """The others take longer; `make check` runs all of them, on every engine."""
    quick = [attack for attack in everything() if attack.reaches == "marker"]
    with anyio.fail_after(SECONDS):
        assert await all_complaints("fork", quick[::10]) == {}


@pytest.mark.check
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
async def test_no_attack_gets_out(kind: str, engine: EngineChoice) -> None:
    with anyio.fail_after(SECONDS):
        assert await all_complaints(engine, load(kind)[:: STEP[engine]]) == {}


@pytest.mark.check
@pytest.mark.parametrize("engine", ENGINES)
async def test_no_known_attack_gets_out(engine: EngineChoice, known: list[Attack]) -> None:
    with anyio.fail_after(SECONDS):
        wrong = await all_complaints(engine, known[:: STEP[engine]])
    if engine == "monty":
        assert HARMLESS_ON_MONTY.keys() <= {attack.id for attack in known}
        wrong = {name: complaints for name, complaints in wrong.items() if name not in HARMLESS_ON_MONTY}
    assert wrong == {}


@pytest.mark.check
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("engine", ENGINES)
async def test_no_attack_gets_out_of_an_ordinary_user_s_jail(engine: EngineChoice, known_file: Path) -> None:
    step = STEP_AS_NOBODY[engine]
    command = [sys.executable, str(AS_NOBODY), FOLDERS, engine, str(step), str(known_file), *KINDS]
    with anyio.fail_after(SECONDS):
        ran = await anyio.run_process(command, check=False)
    assert (ran.returncode, ran.stderr.decode()[-2000:]) == (0, "")
    answer = json.loads(ran.stdout)
    assert answer["uid"] == [65534] * 3
    assert answer["attacks"] * step > len(everything())
    assert {name: wrong for name, wrong in answer["wrong"].items() if name not in HARMLESS_ON_MONTY} == {}


@pytest.fixture
def known_file(shared: Path) -> Path:
    return shared / "attacks" / "attacks_dev.jsonl"


@pytest.fixture
def known(known_file: Path) -> list[Attack]:
    """A collection from elsewhere. What it calls containment runs without the language policy."""
    return load_shared(known_file)
