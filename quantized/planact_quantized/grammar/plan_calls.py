"""Arguments of known functions: which may follow which. Pure.

Every call is a small machine. Positional arguments come first, in the order of the parameters; keywords follow, none
that is not a parameter, and the closing bracket only when nothing required is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from planact_quantized.grammar.gbnf_text import choice, literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_quantized.grammar.gbnf_text import Rules

EXACT = 3
"""Parameters of a function for which every set of them is a state: keywords in any order, none twice."""

MOST_COUNTED = 6
"""Required parameters of a larger function for which only their sets are states: an optional keyword could be repeated
there, which Python refuses. Where there are more, the keywords keep the order of the schema."""

MOST_STATES = 600
"""Of all functions together. A catalogue with more gives up the order of its largest functions first."""

Choice: TypeAlias = "str | int | float | bool | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanParameter:
    """A parameter of a function, as far as it shows in a plan's text."""

    name: str
    required: bool = True
    takes_text: bool = True
    """An argument may begin with a text literal. Not so for numbers and truth values."""

    choices: tuple[Choice, ...] = ()
    """The only texts and numbers that may be written out; none: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFunction:
    """A function that plans may call without defining it."""

    name: str
    """As a plan writes it: `name`, or `server.name`."""

    parameters: tuple[PlanParameter, ...] = ()
    open_keywords: bool = False
    """It takes keywords beside its parameters."""


@dataclass(frozen=True, slots=True)
class Values:
    """The rules of one flavour of expressions that arguments are made of."""

    flavour: str
    value: str
    """Any argument."""

    no_text: str
    """One that does not begin with a string literal."""

    operand: str
    """What may stand behind * and **."""

    tail: str
    """What may follow the first operand of an expression; may be empty."""

    space: str
    quotes: str = "\"'"
    """Those that a text may stand in. With one alone there is no backslash either."""


def counted(functions: Sequence[PlanFunction]) -> int:
    """Return how many required parameters may be counted in this catalogue."""
    required = [sum(each.required for each in function.parameters) for function in functions]
    fitting = (
        most
        for most in range(MOST_COUNTED, 0, -1)
        if sum(1 << count for count in required if count <= most) <= MOST_STATES
    )
    return next(fitting, 0)


class Calls:
    """Writes the brackets of calls in one flavour."""

    def __init__(self, rules: Rules, values: Values, *, counted: int) -> None:
        """`counted`: up to how many required parameters come in any order; 0: none does."""
        self._rules = rules
        self._values = values
        self._counted = counted

    def brackets(self, function: PlanFunction) -> str:
        """Return what follows the name of a function when it is called."""
        machine = _Machine(self._rules, self._values, function, counted=self._counted)
        return f'"(" {self._values.space} {machine.arguments()} ")"'


class _Machine:
    """The states of one function's arguments, as rules. A state is what was not given yet, by index."""

    def __init__(self, rules: Rules, values: Values, function: PlanFunction, *, counted: int) -> None:
        self._rules = rules
        self._v = values
        self._parameters = function.parameters
        self._open = function.open_keywords
        self._required = frozenset(index for index, each in enumerate(function.parameters) if each.required)
        count = len(function.parameters)
        self._exact = counted > 0 and count <= EXACT
        self._loose = counted > 0 and not self._exact and len(self._required) <= counted
        # Every state is reached from all that come before it: worked out each time, a hundred parameters take seconds.
        self._known: dict[tuple[frozenset[int], tuple[str, ...]], str] = {}
        self._later: dict[frozenset[int], list[str]] = {}

    def arguments(self) -> str:
        """Return the rule for everything between the brackets."""
        count = len(self._parameters)
        # Positional arguments, the last one first: each rule needs the one behind it.
        following = ""
        for position in range(count - 1, -1, -1):
            left = frozenset(range(position + 1, count))
            more = [following, self._unpacked()] if following else []
            following = f"{self._value(position)} {self._behind(left, more)}"
        first = [following, self._unpacked()] if following else []
        return self._shared("a", *first, *self._keywords(frozenset(range(count))))

    def _keywords(self, left: frozenset[int]) -> list[str]:
        """Return what may come in a state, the end included where nothing is missing."""
        v = self._v
        if left and not (self._exact or self._loose):
            return self._in_order(left)
        options = [f"{self._keyword(index)} {self._behind(left - {index})}" for index in self._changing(left)]
        optional = sorted(left - self._required)
        if self._loose and optional:
            any_of_them = self._shared("g", *(self._keyword(index) for index in optional))
            options.append(f"{any_of_them} {self._behind(left)}")
        if self._open:
            options.append(f'attr "=" {v.value} {self._behind(left)}')
        if self._parameters or self._open:
            options.append(f'"**" {v.operand} {v.space} ("," {v.space})?')
        return options if left & self._required else [*options, '""']

    def _changing(self, left: frozenset[int]) -> list[int]:
        """Return the keywords that change the state: they come once."""
        return sorted(left if self._exact else left & self._required)

    def _in_order(self, left: frozenset[int]) -> list[str]:
        """Return the next keyword in the order of the schema, or a later one where it may be left out."""
        if left not in self._later:
            self._later[left] = self._first_of(left)
        return self._later[left]

    def _first_of(self, left: frozenset[int]) -> list[str]:
        first = min(left)
        rest = left - {first}
        options = [f"{self._keyword(first)} {self._behind(rest)}"]
        if first in self._required:
            return [*options, f'"**" {self._v.operand} {self._v.space} ("," {self._v.space})?']
        return [*options, self._shared("b", *self._keywords(rest))]

    def _behind(self, left: frozenset[int], more: Sequence[str] = ()) -> str:
        """Return what follows an argument. A state's rule may lead to itself, so it has a name before it is written."""
        state = left, tuple(more)
        if (known := self._known.get(state)) is not None:
            return known
        name = self._known[state] = self._name(left, more)
        if not self._rules.has(name):
            self._rules.add(name, "")
            v = self._v
            comma = f'"," {v.space} {self._shared("b", *more, *self._keywords(left))}'
            self._rules.replace(name, f"{v.space} {comma}" if left & self._required else f"{v.space} ({comma})?")
        return name

    def _name(self, left: frozenset[int], more: Sequence[str]) -> str:
        return self._rules.named((self._v.flavour, self._parameters, self._open, left, tuple(more)), "w")

    def _unpacked(self) -> str:
        v = self._v
        return f'"*" {v.operand} {v.space} ("," {v.space} ("**" {v.operand} {v.space})?)?'

    def _keyword(self, index: int) -> str:
        return self._shared("p", f"{literal(f'{self._parameters[index].name}=')} {self._value(index)}")

    def _value(self, index: int) -> str:
        parameter, v = self._parameters[index], self._v
        if not parameter.choices:
            return v.value if parameter.takes_text else v.no_text
        texts = dict.fromkeys(spelled for each in parameter.choices for spelled in _spellings(each, v.quotes))
        if not texts or any("```" in text for text in texts):
            return v.value
        member = choice(self._rules, "c", dict.fromkeys(texts, ""))
        return self._shared("e", f"{member} {v.tail}", v.no_text)

    def _shared(self, prefix: str, *alternatives: str) -> str:
        return self._rules.shared(prefix, *alternatives)


def _spellings(value: Choice, quotes: str) -> list[str]:
    """Return the ways in which a plan may write a literal."""
    written = repr(value)
    if not isinstance(value, str):
        return [written]
    if "\\" in written:
        return [written] if len(quotes) > 1 else []
    return [f"{quote}{value}{quote}" for quote in quotes if quote not in value]
