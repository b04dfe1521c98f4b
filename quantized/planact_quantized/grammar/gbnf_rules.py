"""Rules of a grammar, and the two faults that only show when all of them are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Characters: TypeAlias = tuple[tuple[int, int], ...]
"""Ranges of code points, ends included, in order, not touching."""

Element: TypeAlias = Characters | int
"""One character out of some, or the rule of that number."""

Alternative: TypeAlias = tuple[Element, ...]


class GrammarError(ValueError):
    """The text is no grammar that can be used; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A grammar that has been checked."""

    names: tuple[str, ...]
    """Of each rule; those that groups and repetitions made have a number behind their rule's."""

    alternatives: tuple[tuple[Alternative, ...], ...]
    """Of each rule."""

    root: int


def check_ends(rules: Rules) -> None:
    """Raise GrammarError for a rule that can only go on for ever."""
    ending = _closed(rules, needs_text=True)
    for number, name in enumerate(rules.names):
        if number not in ending:
            raise GrammarError(f"Rule {name!r} can never end: each of its alternatives needs itself again.")


def check_left_recursion(rules: Rules) -> None:
    """Raise GrammarError where a rule comes to itself before any character, with something left to do after."""
    empty = empty_rules(rules)
    edges: dict[int, set[int]] = {number: set() for number in range(len(rules.names))}
    growing: set[tuple[int, int]] = set()
    for number, alternatives in enumerate(rules.alternatives):
        for alternative in alternatives:
            for index, element in enumerate(alternative):
                if not isinstance(element, int):
                    break
                edges[number].add(element)
                if index + 1 < len(alternative):
                    growing.add((number, element))
                if element not in empty:
                    break
    component = _components(edges)
    for source, target in growing:
        if component[source] == component[target]:
            raise GrammarError(
                f"Rule {rules.names[source]!r} is left-recursive: it comes to itself through {rules.names[target]!r} "
                "before any character. Put what it begins with first, and repeat the rest."
            )


def empty_rules(rules: Rules) -> set[int]:
    """Return the rules that may stand for no text at all."""
    return _closed(rules, needs_text=False)


def _closed(rules: Rules, *, needs_text: bool) -> set[int]:
    """Return the rules that can come to an end: with characters allowed on the way, or without any."""
    users: dict[int, list[int]] = {}
    rule_of: list[int] = []
    missing: list[int] = []
    ready: list[int] = []
    for number, alternatives in enumerate(rules.alternatives):
        for alternative in alternatives:
            references = {element for element in alternative if isinstance(element, int)}
            if not needs_text and len(references) < len(alternative) and not all(map(_is_rule, alternative)):
                continue
            if not references:
                ready.append(number)
                continue
            for reference in references:
                users.setdefault(reference, []).append(len(missing))
            rule_of.append(number)
            missing.append(len(references))
    found: set[int] = set()
    while ready:
        number = ready.pop()
        if number in found:
            continue
        found.add(number)
        for user in users.get(number, ()):
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(rule_of[user])
    return found


def _is_rule(element: Element) -> bool:
    return isinstance(element, int)


def _components(edges: dict[int, set[int]]) -> dict[int, int]:
    """Return each node's strongly connected component (Kosaraju: two walks, no recursion)."""
    order: list[int] = []
    seen: set[int] = set()
    for start in edges:
        stack = [(start, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack += [(target, False) for target in edges[node] if target not in seen]
    back: dict[int, list[int]] = {node: [] for node in edges}
    for node, targets in edges.items():
        for target in targets:
            back[target].append(node)
    component: dict[int, int] = {}
    for start in reversed(order):
        todo = [start]
        while todo:
            node = todo.pop()
            if node not in component:
                component[node] = start
                todo += back[node]
    return component
