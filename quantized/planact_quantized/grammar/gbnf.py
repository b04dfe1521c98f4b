"""GBNF, llama.cpp's notation for grammars: text to rules, with every fault found before anything runs.

llama.cpp checks less and ends the process on some grammars that it accepts, so ours is the one that decodes. It reads
the same notation, without the elements that name tokens (`<think>`, `!<think>`), and is stricter: rules that are
defined twice, that cannot end, or that nothing can match are errors here.
"""

from __future__ import annotations

import re
from itertools import pairwise

from planact_quantized.grammar.gbnf_rules import (
    Alternative,
    Characters,
    Element,
    GrammarError,
    Rules,
    check_ends,
    check_left_recursion,
)

ROOT = "root"
MOST_CHARACTERS = 4 * 1024 * 1024
MOST_ELEMENTS = 500_000
MOST_REPETITIONS = 2000
"""Of one item, in one `{m,n}`; llama.cpp's own limit."""

_DEEPEST = 100
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_HEX = {"x": 2, "u": 4, "U": 8}
_WORD = re.compile(r"[A-Za-z0-9-]+")  # no underscore: llama.cpp has none in names either
_SPACE = re.compile(r"(?:[ \t]+|#[^\n]*)+")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_ENDLESS = None
_REPETITIONS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1), "{": (0, 0)}
_DIGITS = tuple("0123456789")


def parse(text: str) -> Rules:
    """Read and check a grammar. Raises GrammarError."""
    if len(text) > MOST_CHARACTERS:
        raise GrammarError(f"The grammar has {len(text)} characters; {MOST_CHARACTERS} are the most.")
    reader = _Reader(text)
    reader.read()
    rules = reader.rules()
    check_ends(rules)
    check_left_recursion(rules)
    return rules


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._alternatives: dict[int, list[Alternative]] = {}
        self._written: dict[str, int] = {}
        self._elements = 0

    def read(self) -> None:
        self._skip(lines=True)
        while self._at < len(self._text):
            self._rule()

    def rules(self) -> Rules:
        for name, number in self._numbers.items():
            if number not in self._alternatives:
                raise GrammarError(f"Rule {name!r} is used and not defined.")
        if ROOT not in self._numbers:
            raise GrammarError(f"The grammar has no rule {ROOT!r}.")
        return Rules(
            names=tuple(self._names),
            alternatives=tuple(tuple(self._alternatives[number]) for number in range(len(self._names))),
            root=self._numbers[ROOT],
        )

    def _rule(self) -> None:
        name = self._name()
        number = self._number(name)
        if number in self._alternatives:
            raise self._fault(f"rule {name!r} is defined twice")
        self._skip(lines=False)
        self._expect("::=")
        self._skip(lines=True)
        alternatives = self._choice(name, depth=0)
        self._alternatives[number] = alternatives
        if self._at < len(self._text) and self._peek() not in "\r\n":
            raise self._fault("expected the end of the rule")
        self._skip(lines=True)

    def _choice(self, name: str, *, depth: int) -> list[Alternative]:
        alternatives = [self._sequence(name, depth=depth)]
        while self._peek() == "|":
            self._at += 1
            self._skip(lines=True)
            alternatives.append(self._sequence(name, depth=depth))
        return alternatives

    def _sequence(self, name: str, *, depth: int) -> Alternative:
        elements: list[Element] = []
        start = 0
        while True:
            if self._peek() in _REPETITIONS:
                if start == len(elements):
                    raise self._fault("there is nothing to repeat")
                least, most = self._times(lines=depth > 0)
                # What was repeated is again what a further sign repeats.
                elements[start:] = self._repeated(name, tuple(elements[start:]), least, most)
                continue
            item = self._item(name, depth=depth)
            if item is None:
                return tuple(elements)
            self._count(len(item))
            start = len(elements)
            elements += item
            self._skip(lines=depth > 0)

    def _repeated(self, name: str, item: Alternative, least: int, most: int | None) -> list[Element]:
        """Return `item` so many times: the optional ones as rules that may be empty."""
        self._count(len(item) * (least if most is None else most))
        elements: list[Element] = list(item * least)
        if most is None:
            number = self._reserve(name)
            self._alternatives[number] = [(*item, number), ()]
            elements.append(number)
            return elements
        tail: tuple[Element, ...] = ()
        for _ in range(most - least):
            tail = (self._new_rule(name, [(*item, *tail), ()]),)
        return [*elements, *tail]

    def _item(self, name: str, *, depth: int) -> list[Element] | None:
        character = self._peek()
        if character == '"':
            return self._literal()
        if character == "[":
            return [self._class()]
        if character == ".":
            self._at += 1
            return [_without((), inverted=True)]
        if character == "(":
            return [self._group(name, depth=depth)]
        if character in ("<", "!"):
            raise self._fault("elements that name tokens are not supported")
        if _WORD.match(character):
            return [self._number(self._name())]
        return None

    def _group(self, name: str, *, depth: int) -> int:
        if depth >= _DEEPEST:
            raise self._fault(f"groups are nested deeper than {_DEEPEST}")
        self._at += 1
        self._skip(lines=True)
        alternatives = self._choice(name, depth=depth + 1)
        self._expect(")")
        return self._new_rule(name, alternatives)

    def _literal(self) -> list[Element]:
        self._at += 1
        characters: list[Element] = []
        while self._peek() != '"':
            start = self._at
            code = self._character()
            if code == 0 or _SURROGATES[0] <= code <= _SURROGATES[1]:
                raise self._fault(f"U+{code:04X} is in no text", at=start)
            characters.append(((code, code),))
        self._at += 1
        return characters

    def _class(self) -> Characters:
        start = self._at
        self._at += 1
        inverted = self._peek() == "^"
        self._at += inverted
        ranges: list[tuple[int, int]] = []
        while self._peek() != "]":
            first = last = self._character()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                last = self._character()
            if last < first:
                raise self._fault("a range ends before it begins", at=start)
            ranges.append((first, last))
        self._at += 1
        characters = _without(ranges, inverted=inverted)
        if not characters:
            raise self._fault("a class that no character matches", at=start)
        return characters

    def _character(self) -> int:
        if self._at >= len(self._text):
            raise self._fault("the grammar ends within a text or class")
        character = self._text[self._at]
        self._at += 1
        if character == "\\":
            return self._escape()
        return ord(character)

    def _escape(self) -> int:
        kind = self._peek()
        self._at += 1
        if kind in _ESCAPES:
            return ord(_ESCAPES[kind])
        if kind not in _HEX:
            raise self._fault(f"unknown escape {chr(92) + kind!r}", at=self._at - 2)
        digits = self._text[self._at : self._at + _HEX[kind]]
        if len(digits) != _HEX[kind] or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise self._fault(f"an escape needs {_HEX[kind]} hexadecimal digits here")
        self._at += len(digits)
        if int(digits, 16) > _LAST_CHARACTER:
            raise self._fault("there is no such character", at=self._at - len(digits))
        return int(digits, 16)

    def _times(self, *, lines: bool) -> tuple[int, int | None]:
        """Read a sign of repetition: how often at least and at most."""
        sign = self._peek()
        self._at += 1
        self._skip(lines=lines)
        if sign != "{":
            return _REPETITIONS[sign]
        least = self._integer()
        self._skip(lines=lines)
        most: int | None = least
        if self._peek() == ",":
            self._at += 1
            self._skip(lines=lines)
            most = self._integer() if self._peek() in _DIGITS else _ENDLESS
            self._skip(lines=lines)
        self._expect("}")
        self._skip(lines=lines)
        if most is not None and most < least:
            raise self._fault(f"{{{least},{most}}} ends before it begins")
        return least, most

    def _integer(self) -> int:
        start = self._at
        while self._peek() in _DIGITS:
            self._at += 1
        digits = self._text[start : self._at]
        if not digits:
            raise self._fault("expected a number")
        if len(digits) > len(str(MOST_REPETITIONS)) or int(digits) > MOST_REPETITIONS:
            raise self._fault(f"{digits[:12]} repetitions; {MOST_REPETITIONS} are the most", at=start)
        return int(digits)

    def _name(self) -> str:
        name = _WORD.match(self._text, self._at)
        if name is None:
            raise self._fault("expected a rule's name (letters, digits and '-')")
        self._at = name.end()
        return name.group()

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def _reserve(self, name: str) -> int:
        self._written[name] = self._written.get(name, 0) + 1
        self._names.append(f"{name}_{self._written[name]}")
        return len(self._names) - 1

    def _new_rule(self, name: str, alternatives: list[Alternative]) -> int:
        number = self._reserve(name)
        self._alternatives[number] = alternatives
        return number

    def _count(self, elements: int) -> None:
        self._elements += elements
        if self._elements > MOST_ELEMENTS:
            raise self._fault(f"the grammar comes to more than {MOST_ELEMENTS} elements; repeat less")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _expect(self, what: str) -> None:
        if not self._text.startswith(what, self._at):
            raise self._fault(f"expected {what!r}")
        self._at += len(what)

    def _skip(self, *, lines: bool) -> None:
        between = (_SPACE_AND_LINES if lines else _SPACE).match(self._text, self._at)
        if between is not None:
            self._at = between.end()

    def _fault(self, what: str, *, at: int | None = None) -> GrammarError:
        at = self._at if at is None else at
        line = self._text.count("\n", 0, at) + 1
        there = self._text[at : at + 30]
        return GrammarError(
            f"Line {line} of the grammar: {what}, at {there!r}." if there else f"Line {line} of the grammar: {what}."
        )


def _without(ranges: list[tuple[int, int]] | tuple[()], *, inverted: bool) -> Characters:
    """Return the ranges, or all characters but them, in order and joined; never NUL or surrogates."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted([*ranges, (0, 0), _SURROGATES] if inverted else ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    if not inverted:
        below, above = _SURROGATES
        cut = [
            part for first, last in merged for part in ((first, min(last, below - 1)), (max(first, above + 1), last))
        ]
        return tuple(sorted({part for part in cut if part[0] <= part[1]}))
    ends = [(-1, -1), *merged, (_LAST_CHARACTER + 1, _LAST_CHARACTER + 1)]
    gaps = [(one[1] + 1, other[0] - 1) for one, other in pairwise(ends)]
    return tuple(gap for gap in gaps if gap[0] <= gap[1])
