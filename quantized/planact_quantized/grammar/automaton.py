"""A grammar at work: which bytes may follow, which one must, and whether the text may end.

Rules become a pushdown automaton whose states are sets of stacks. Stacks share their tails and states are made once,
so that going a way a second time is a look into a table: a plan's second line costs next to nothing. What a rule can
begin with is worked out once for each rule, not for each stack that it is on top of: so that the first time is cheap,
too. A state is a value; steps give other states and change nothing that anyone can see.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from planact_quantized.grammar.gbnf_rules import empty_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from planact_quantized.grammar.gbnf_rules import Characters, Element, Rules
    from planact_quantized.llama.constraint import Constraint

_DONE = 0
"""The stack with nothing left on it."""

_LONGEST_FORCED = 512
_NO_TEXT = 256
_ASCII = 128


@dataclass(frozen=True, slots=True)
class _Opening:
    """How the texts of a rule begin: by a character, what is to be put on the stack behind it, the lowest first."""

    single: dict[int, list[tuple[int, ...]]] = field(default_factory=dict[int, list[tuple[int, ...]]])
    """Of those that want one certain character."""

    ranges: dict[Characters, list[tuple[int, ...]]] = field(default_factory=dict["Characters", list[tuple[int, ...]]])

    def add(self, characters: Characters, rest: tuple[int, ...]) -> None:
        code = _only_code(characters)
        if code is None:
            self.ranges.setdefault(characters, []).append(rest)
        else:
            self.single.setdefault(code, []).append(rest)

    def behind(self, code: int) -> tuple[tuple[int, ...], ...]:
        """Return what may be left of the rule behind a character."""
        found = dict.fromkeys(self.single.get(code, ()))
        for characters, rests in self.ranges.items():
            if _holds(characters, code):
                found.update(dict.fromkeys(rests))
        return tuple(found)


class Automaton:
    """Stacks and states of one grammar. They only grow; a grammar in use is thrown away when it has too many."""

    def __init__(self, rules: Rules) -> None:
        self._elements: list[Element] = []
        self._is_last: list[bool] = []
        self._starts: list[list[int | None]] = []
        """Of each rule: where its alternatives begin; None for one that is empty."""

        for alternatives in rules.alternatives:
            starts: list[int | None] = []
            for alternative in alternatives:
                starts.append(len(self._elements) if alternative else None)
                self._elements += alternative
                self._is_last += [index + 1 == len(alternative) for index in range(len(alternative))]
            self._starts.append(starts)
        self._empty = empty_rules(rules)
        self._openings: dict[int, _Opening] = {}
        self._behind: dict[tuple[int, int], tuple[tuple[int, ...], ...]] = {}
        self._first_bytes: dict[int, int] = {}
        # Stacks by number: what is on top, and the stack below it.
        self._tops: list[int] = [-1]
        self._below: list[int] = [_DONE]
        self._numbers: dict[tuple[int, int], int] = {}
        self._states: dict[frozenset[int], State] = {}
        self.start = self._state(
            frozenset(_DONE if start is None else self._stack(start, _DONE) for start in self._starts[rules.root])
        )

    @property
    def size(self) -> int:
        """How many stacks, states and steps are remembered: some hundred bytes each."""
        return len(self._tops) + len(self._states) + len(self._behind)

    def reached(self, stacks: Iterable[int]) -> set[int]:
        """Return the stacks, and those that are left where what is on top of them may be empty."""
        found: set[int] = set()
        todo = list(stacks)
        while todo:
            stack = todo.pop()
            if stack not in found:
                found.add(stack)
                if stack != _DONE and self._elements[self._tops[stack]] in self._empty:
                    todo.append(self._after(stack))
        return found

    def opening(self, stack: int) -> tuple[Iterable[int], Iterable[Characters]]:
        """Return what may come next on behalf of a stack's top: certain characters, and one out of some."""
        element = self._elements[self._tops[stack]]
        if isinstance(element, int):
            opening = self._opening(element)
            return opening.single, opening.ranges
        code = _only_code(element)
        return ((), (element,)) if code is None else ((code,), ())

    def first_bytes(self, stack: int) -> int:
        """Return the bytes that what may come next on behalf of a stack's top begins with, one bit each."""
        top = self._tops[stack]
        found = self._first_bytes.get(top)
        if found is None:
            single, ranges = self.opening(stack)
            parts = [(code, code) for code in single] + [part for characters in ranges for part in characters]
            found = 0
            for first, last in parts:
                found |= (2 << _first_byte(last)) - (1 << _first_byte(first))
            self._first_bytes[top] = found
        return found

    def step(self, stacks: Iterable[int], code: int) -> State | None:
        """Return the state behind a character; None where no stack wants it."""
        found: set[int] = set()
        for stack in stacks:
            element = self._elements[self._tops[stack]]
            if isinstance(element, int):
                behind = self._behind.get((element, code))
                if behind is None:
                    behind = self._behind[element, code] = self._opening(element).behind(code)
                for rest in behind:
                    left = self._after(stack)
                    for top in rest:
                        left = self._stack(top, left)
                    found.add(left)
            elif _holds(element, code):
                found.add(self._after(stack))
        return self._state(frozenset(found)) if found else None

    def _state(self, stacks: frozenset[int]) -> State:
        state = self._states.get(stacks)
        if state is None:
            state = self._states[stacks] = State(self, stacks)
        return state

    def _opening(self, rule: int) -> _Opening:
        opening = self._openings.get(rule)
        if opening is None:
            opening = self._openings[rule] = _Opening()
            for characters, rest in self._begun(rule):
                opening.add(characters, rest)
        return opening

    def _begun(self, rule: int) -> Iterator[tuple[Characters, tuple[int, ...]]]:
        todo: list[tuple[int, tuple[int, ...]]] = [(start, ()) for start in self._starts[rule] if start is not None]
        seen: set[tuple[int, tuple[int, ...]]] = set()
        while todo:
            each = todo.pop()
            if each in seen:
                continue
            seen.add(each)
            at, rest = each
            element = self._elements[at]
            behind = rest if self._is_last[at] else (*rest, at + 1)
            if not isinstance(element, int):
                yield element, behind
                continue
            todo += [(start, behind) for start in self._starts[element] if start is not None]
            if element in self._empty and behind:
                todo.append((behind[-1], behind[:-1]))

    def _after(self, stack: int) -> int:
        """Return the stack behind its top."""
        top = self._tops[stack]
        return self._below[stack] if self._is_last[top] else self._stack(top + 1, self._below[stack])

    def _stack(self, top: int, below: int) -> int:
        number = self._numbers.get((top, below))
        if number is None:
            number = self._numbers[top, below] = len(self._tops)
            self._tops.append(top)
            self._below.append(below)
        return number


class State:
    """Where a text stands, between two characters. A Constraint."""

    def __init__(self, automaton: Automaton, stacks: frozenset[int]) -> None:
        self._automaton = automaton
        reached = automaton.reached(stacks)
        self.may_end = _DONE in reached
        # Sorted: the order of a set differs from run to run, and what is found first should not.
        self._stacks = sorted(reached - {_DONE})
        self._steps: dict[int, State | None] = {}
        self._next: tuple[set[int], set[Characters]] | None = None
        self._first = 0
        for stack in self._stacks:
            self._first |= automaton.first_bytes(stack)
        self._forced: bytes | None = None
        self.complete = self.may_end and not self._first

    def _wanted(self) -> tuple[set[int], set[Characters]]:
        """Return what may come next: certain characters, and one out of some."""
        if self._next is None:
            single: set[int] = set()
            ranges: set[Characters] = set()
            for stack in self._stacks:
                certain, some = self._automaton.opening(stack)
                single.update(certain)
                ranges.update(some)
            self._next = single, ranges
        return self._next

    def step(self, piece: bytes) -> Constraint | None:
        """Return where the text stands behind these bytes; None where they are not allowed."""
        # Called for many tokens where a model goes against the grammar. Nearly all are of ASCII, whose bytes are its
        # characters: nothing to decode.
        return self._walk(piece) if piece.isascii() else self.step_split(piece)

    def walk(self, text: str) -> State | None:
        """Return the state behind whole characters."""
        return self._walk(map(ord, text))

    def _walk(self, codes: Iterable[int]) -> State | None:
        state = self
        for code in codes:
            try:
                behind = state._steps[code]
            except KeyError:
                behind = state._after(code)
            if behind is None:
                return None
            state = behind
        return state

    def after(self, character: str) -> State | None:
        """Return the state behind one character."""
        return self._walk((ord(character),))

    def _after(self, code: int) -> State | None:
        # One look for all stacks, before each of them is asked: most characters are refused in most places.
        refused = code < _ASCII and not self._first >> code & 1
        behind = self._steps[code] = None if refused else self._automaton.step(self._stacks, code)
        return behind

    def step_split(self, data: bytes) -> Constraint | None:
        """Return where the text stands behind bytes that may end within a character."""
        try:
            text, used = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError:
            return None
        state = self.walk(text)
        rest = data[used:]
        if state is None or not rest:
            return state
        first, last = _completions(rest)
        return Split(state, rest) if state.wants(first, last) else None

    @property
    def first_bytes(self) -> NDArray[np.bool_]:
        bits = np.frombuffer(self._first.to_bytes(_NO_TEXT // 8 + 1, "little"), np.uint8)
        return np.unpackbits(bits, count=_NO_TEXT + 1, bitorder="little").view(np.bool_)

    @property
    def forced(self) -> bytes:
        if self._forced is not None:
            return self._forced
        text: list[str] = []
        state: State | None = self
        while state is not None and len(text) < _LONGEST_FORCED:
            character = state.only()
            if character is None:
                break
            text.append(character)
            state = state.after(character)
        self._forced = "".join(text).encode()
        return self._forced

    def only(self) -> str | None:
        """Return the character that must come; None where there are several, or the text may end."""
        # Nearly always there are several, and their first bytes tell so.
        if self.may_end or self._first.bit_count() != 1:
            return None
        single, ranges = self._wanted()
        return chr(next(iter(single))) if len(single) == 1 and not ranges else None

    def wants(self, first: int, last: int) -> bool:
        """Return whether any character from `first` to `last` may come."""
        single, ranges = self._wanted()
        return any(first <= code <= last for code in single) or any(
            start <= last and first <= end for characters in ranges for start, end in characters
        )


class Split:
    """Where a text stands within a character of several bytes. A Constraint."""

    may_end = False
    complete = False
    first_bytes = np.array([0x80 <= byte <= 0xBF for byte in range(_NO_TEXT + 1)])
    forced = b""

    def __init__(self, state: State, begun: bytes) -> None:
        self._state = state
        self._begun = begun

    def step(self, piece: bytes) -> Constraint | None:
        return self._state.step_split(self._begun + piece)


def _only_code(characters: Characters) -> int | None:
    """Return the one character that there is, if there is one."""
    first, last = characters[0]
    return first if len(characters) == 1 and first == last else None


def _holds(characters: Characters, code: int) -> bool:
    return any(first <= code <= last for first, last in characters)


def _first_byte(code: int) -> int:
    return chr(code).encode()[0]


def _completions(begun: bytes) -> tuple[int, int]:
    """Return the least and greatest character that begins with these bytes; they are valid UTF-8 so far."""
    lead = begun[0]
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    value = lead & (0x7F >> size)
    for byte in begun[1:]:
        value = value << 6 | byte & 0x3F
    missing = 6 * (size - len(begun))
    first, last = value << missing, (value << missing) | ((1 << missing) - 1)
    return max(first, {2: 0x80, 3: 0x800, 4: 0x10000}[size]), min(last, 0x10FFFF)
