"""The corpus itself: enough attacks, no two of them the same, each with a rule that is known to stop it."""

from __future__ import annotations

from collections import defaultdict

import pytest

from attacks import host_rules, unguarded
from attacks.attacking import LIFTED, OWN_PROCESS
from attacks.corpus import CLASSES, ENDS, Attack, essence, everything, load, normalised

AT_LEAST = 150
AT_LEAST_OF_A_CLASS = 20


def test_no_two_attacks_are_the_same() -> None:
    """Names and constants aside."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for attack in [*everything(), *load("containment")]:
        alike[essence(attack)].append(attack.id)
    assert [ids for ids in alike.values() if len(ids) > 1] == []


def test_there_are_enough_of_every_class() -> None:
    counts = {kind: len(load(kind)) for kind in (*CLASSES, "containment")}
    assert {kind: count for kind, count in counts.items() if count < AT_LEAST_OF_A_CLASS} == {}
    assert len(everything()) >= AT_LEAST


def test_every_attack_is_held_by_a_rule_that_can_be_taken_away() -> None:
    rules = {*unguarded.RULES, *host_rules.RULES, *LIFTED, OWN_PROCESS}
    assert [attack.id for attack in everything() if not attack.guards or not rules.issuperset(attack.guards)] == []
    assert [attack.id for attack in everything() if not attack.ends or not attack.ends <= ENDS] == []


def test_names_are_given_once() -> None:
    ids = [attack.id for attack in [*everything(), *load("containment")]]
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("a = 1\na + a", "b = 2\nb + b", True),
        ("x.__class__", "x.__base__", False),
        ("getattr(x, '__class__')", "getattr(x, '__base__')", False),
        ("f'{x}'", "f'{y}'", False),
        ("def f(x): return x\nf('a b')", "def g(y): return y\ng('c d')", True),
        ("len('a b')", "print('a b')", False),
    ],
)
def test_two_attacks_are_the_same_when_only_names_and_constants_differ(one: str, other: str, is_same: bool) -> None:
    assert (normalised(one) == normalised(other)) is is_same


def test_an_unknown_word_in_the_corpus_is_an_error() -> None:
    with pytest.raises(TypeError):
        Attack(id="x")  # type: ignore[call-arg]
