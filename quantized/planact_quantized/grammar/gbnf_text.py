"""Writing GBNF: rules by name, and the spelling of literals and character classes. Pure.

llama.cpp follows every alternative that is open at once, so what begins alike is written once: `choice` makes a tree
of words, in which only one alternative is open for each next character.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

WORD_START = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
WORD_CHARS = f"{WORD_START}0123456789_"

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_CLASS_ESCAPES = {"\\": "\\\\", "]": "\\]", "[": "\\[", "-": "\\-", "\n": "\\n"}


class Rules:
    """The rules of a grammar that is being written. Equal bodies may share a rule through `shared`."""

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}
        self._shared: dict[str, str] = {}
        self._names: dict[object, str] = {}

    def add(self, name: str, *alternatives: str) -> str:
        """Add a rule and return its name."""
        if name in self._bodies:
            raise ValueError(f"The grammar has a rule {name!r} already.")
        self._bodies[name] = " | ".join(alternatives)
        return name

    def has(self, name: str) -> bool:
        return name in self._bodies

    def shared(self, prefix: str, *alternatives: str) -> str:
        """Return the name of a rule with this body, a numbered one where there is none yet."""
        body = " | ".join(alternatives)
        if body not in self._shared:
            self._shared[body] = self.add(f"{prefix}{len(self._shared)}", body)
        return self._shared[body]

    def named(self, key: object, prefix: str) -> str:
        """Return the name that belongs to a key, a new one the first time; its rule is added elsewhere."""
        return self._names.setdefault(key, f"{prefix}{len(self._names)}")

    def replace(self, name: str, body: str) -> None:
        """Write a rule that was added empty."""
        self._bodies[name] = body

    def copy(self) -> Rules:
        """Return the same rules, to add others to."""
        other = Rules()
        other._bodies |= self._bodies
        other._shared |= self._shared
        return other

    def text(self) -> str:
        """Return all rules in GBNF."""
        return "".join(f"{name} ::= {body}\n" for name, body in self._bodies.items())


def literal(text: str) -> str:
    """Return a string of GBNF."""
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def any_of(chars: Iterable[str]) -> str:
    """Return a character class, runs written as ranges."""
    codes = sorted({ord(char) for char in chars})
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return f"[{''.join(_run(run) for run in runs)}]"


def _run(codes: list[int]) -> str:
    first, last = (_CLASS_ESCAPES.get(chr(code), chr(code)) for code in (codes[0], codes[-1]))
    return first if len(codes) == 1 else f"{first}{last}" if len(codes) == 2 else f"{first}-{last}"


def choice(rules: Rules, prefix: str, words: Mapping[str, str]) -> str:
    """Return the name of a rule for one of several words, each followed by what stands beside it ("" for nothing)."""
    return rules.shared(prefix, *_branches(rules, prefix, dict(sorted(words.items()))))


def _branches(rules: Rules, prefix: str, words: Mapping[str, str]) -> list[str]:
    """Return one alternative for each first character; the empty word comes last."""
    alternatives: list[str] = []
    for _, group in groupby((word for word in words if word), lambda word: word[0]):
        members = list(group)
        common = _common_start(members)
        rest = {word[len(common) :]: words[word] for word in members}
        if len(rest) == 1:
            alternatives.append(f"{literal(common)} {rest['']}".strip())
        else:
            branches = _branches(rules, prefix, rest)
            alternatives.append(f"{literal(common)} {rules.shared(prefix, *branches)}")
    if "" in words:
        alternatives.append(words[""] or '""')
    return alternatives


def _common_start(words: list[str]) -> str:
    first, last = min(words), max(words)
    same = next((index for index, char in enumerate(first) if index >= len(last) or char != last[index]), len(first))
    return first[:same]


def word_except(
    rules: Rules, prefix: str, excluded: Collection[str], *, start: str, forbidden: Iterable[str] = ()
) -> str:
    """Return the name of a rule for every identifier but some. `start`: its first characters.

    `forbidden` are beginnings that no word may have.
    """
    tail = rules.shared(f"{prefix}t", f"{any_of(WORD_CHARS)}*")
    dead = frozenset(forbidden)
    tree = sorted({*excluded, *dead})
    return rules.shared(prefix, *_others(rules, prefix, "", tree, frozenset(excluded), dead, start, tail))


def _others(
    rules: Rules,
    prefix: str,
    read: str,
    words: list[str],
    excluded: frozenset[str],
    dead: frozenset[str],
    start: str,
    tail: str,
) -> list[str]:
    """Return how an identifier that begins like some of `words` may go on, so that it is none of them."""
    following = [
        (char, list(group))
        for char, group in groupby((word for word in words if len(word) > len(read)), lambda word: word[len(read)])
    ]
    free = set(start) - {char for char, _ in following}
    alternatives = [f"{any_of(free)} {tail}"] if free else []
    for char, group in following:
        longer = read + char
        if longer in dead:
            continue
        inner = _others(rules, prefix, longer, group, excluded, dead, WORD_CHARS, tail)
        alternatives.append(f"{any_of(char)} {rules.shared(prefix, *inner)}")
    if read and read not in excluded:
        alternatives.append('""')
    return alternatives
