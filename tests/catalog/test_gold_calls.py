"""Calls that are known to be right are accepted, and calls made wrong are refused, on thousands of real functions."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from catalog.bfcl import GoldCall, gold_calls
from catalog.mutations import EACH, figures
from planact_server.catalog.validation import ArgumentsError, bind

CONTRADICTIONS = tomllib.loads(Path(__file__).with_name("data").joinpath("bfcl_contradictions.toml").read_text())


@pytest.fixture(scope="module")
def gold(shared: Path) -> tuple[GoldCall, ...]:
    return gold_calls(shared / "data" / "bfcl_v4")


def is_accepted(call: GoldCall) -> bool:
    tool = call.catalog.by_raw(call.function, None)
    try:
        bind(tool, call.positional, call.keywords)
    except ArgumentsError:
        return False
    return True


def test_exactly_the_gold_calls_that_contradict_their_schema_are_refused(gold: tuple[GoldCall, ...]) -> None:
    assert len(gold) > 4_000
    assert {call.id for call in gold if not is_accepted(call)} == set(CONTRADICTIONS)


def test_mutated_calls_are_refused_with_the_culprit_named(gold: tuple[GoldCall, ...]) -> None:
    right = [call for call in gold if call.id not in CONTRADICTIONS and not call.positional]

    found = figures(right)

    assert {name: each.made for name, each in found.items()} == dict.fromkeys(found, EACH)
    assert min(each.named / each.made for each in found.values()) >= 0.99
