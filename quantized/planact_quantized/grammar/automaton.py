"""A grammar at work: which bytes may follow, which one must, and whether the text may end.

Rules become a pushdown automaton whose states are sets of stacks. Stacks share their tails and states are made once,
so that going a way a second time is a look into a table: a plan's second line costs next to nothing. A state is a
value; steps give other states and change nothing that anyone can see.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from planact_quantized.grammar.gbnf_rules import Characters, Element, Rules
    from planact_quantized.llama.constraint import Constraint

_DONE = 0
"""The stack with nothing left on it."""

_LONGEST_FORCED = 512
_NO_TEXT = 256


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
        # Stacks by number: what is on top, and the stack below it.
        self._tops: list[int] = [-1]
        self._below: list[int] = [_DONE]
        self._numbers: dict[tuple[int, int], int] = {}
        self._states: dict[frozenset[int], State] = {}
        self.start = self.state(self._entered(rules.root, _DONE))

    @property
    def size(self) -> int:
        """How many stacks and states there are: some hundred bytes each."""
        return len(self._tops) + len(self._states)

    def state(self, stacks: Iterable[int]) -> State:
        """Return the state of these stacks, each gone on to where it needs a character."""
        found: set[int] = set()
        seen: set[int] = set()
        todo = list(stacks)
        while todo:
            stack = todo.pop()
            if stack in seen:
                continue
            seen.add(stack)
            element = self._elements[self._tops[stack]] if stack != _DONE else None
            if isinstance(element, int):
                todo += self._entered(element, self.after(stack))
            else:
                found.add(stack)
        key = frozenset(found)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = State(self, key)
        return state

    def after(self, stack: int) -> int:
        """Return the stack behind its top."""
        top = self._tops[stack]
        return self._below[stack] if self._is_last[top] else self._stack(top + 1, self._below[stack])

    def characters(self, stack: int) -> Characters:
        element = self._elements[self._tops[stack]]
        assert not isinstance(element, int)  # noqa: S101 - a state's stacks have gone on to characters
        return element

    def _entered(self, rule: int, rest: int) -> Iterator[int]:
        for start in self._starts[rule]:
            yield rest if start is None else self._stack(start, rest)

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
        self.may_end = _DONE in stacks
        self.complete = stacks == frozenset((_DONE,))
        self._single: dict[int, list[int]] = {}
        """Of stacks that want one certain character: by that character."""

        self._ranges: list[tuple[Characters, int]] = []
        self._steps: dict[str, State | None] = {}
        self._first_bytes: NDArray[np.bool_] | None = None
        self._forced: bytes | None = None
        # Sorted: the order of a set differs from run to run, and what is found first should not.
        for stack in sorted(stacks - {_DONE}):
            characters = automaton.characters(stack)
            if len(characters) == 1 and characters[0][0] == characters[0][1]:
                self._single.setdefault(characters[0][0], []).append(stack)
            else:
                self._ranges.append((characters, stack))

    def step(self, piece: bytes) -> Constraint | None:
        """Return where the text stands behind these bytes; None where they are not allowed."""
        try:
            text = piece.decode()
        except UnicodeDecodeError:
            return self.step_split(piece)
        return self.walk(text)

    def walk(self, text: str) -> State | None:
        """Return the state behind whole characters."""
        state: State | None = self
        for character in text:
            state = state.after(character)
            if state is None:
                return None
        return state

    def after(self, character: str) -> State | None:
        """Return the state behind one character."""
        try:
            return self._steps[character]
        except KeyError:
            return self._steps.setdefault(character, self._make_step(character))

    def step_split(self, data: bytes) -> Constraint | None:
        """Return where the text stands behind bytes that end within a character."""
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
        if self._first_bytes is not None:
            return self._first_bytes
        self._first_bytes = table = np.zeros(_NO_TEXT + 1, dtype=np.bool_)
        ranges = [part for characters, _ in self._ranges for part in characters]
        for first, last in [*ranges, *((code, code) for code in self._single)]:
            table[_first_byte(first) : _first_byte(last) + 1] = True
        return table

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
        return (
            chr(next(iter(self._single))) if len(self._single) == 1 and not self._ranges and not self.may_end else None
        )

    def _make_step(self, character: str) -> State | None:
        code = ord(character)
        stacks = [*self._single.get(code, ())]
        stacks += [
            stack for characters, stack in self._ranges if any(first <= code <= last for first, last in characters)
        ]
        return self._automaton.state([self._automaton.after(stack) for stack in stacks]) if stacks else None

    def wants(self, first: int, last: int) -> bool:
        """Return whether any character from `first` to `last` may come."""
        return any(first <= code <= last for code in self._single) or any(
            start <= last and first <= end for characters, _ in self._ranges for start, end in characters
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
