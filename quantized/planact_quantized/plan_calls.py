"""Arguments of known functions: which may follow which. Pure.

Every call is a small machine. Positional arguments come first, in the order of the parameters; keywords follow, none
twice, none that is not a parameter, and the closing bracket only when nothing required is missing. For functions with
few parameters keywords may come in any order; for others in their own: the states of a set grow as its power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from planact_quantized.gbnf_text import choice

if TYPE_CHECKING:
    from planact_quantized.gbnf_text import Rules

ANY_ORDER = 4
"""Parameters of a function whose keywords may come in any order."""

Kind: TypeAlias = Literal["any", "number", "boolean"]
Choice: TypeAlias = "str | int | float | bool | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanParameter:
    """A parameter of a function, as far as it shows in a plan's text."""

    name: str
    required: bool = True
    kind: Kind = "any"
    """What a literal has to be. "any": texts, collections, and whatever nobody has said."""

    choices: tuple[Choice, ...] = ()
    """The only literals; none: any of the kind."""


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


class Calls:
    """Writes the brackets of calls in one flavour."""

    def __init__(self, rules: Rules, values: Values) -> None:
        self._rules = rules
        self._v = values

    def brackets(self, function: PlanFunction) -> str:
        """Return what follows the name of a function when it is called."""
        v, last = self._v, len(function.parameters)
        machine = _Machine(self._rules, v, function)
        after = ""
        for position in range(last - 1, -1, -1):
            after = machine.behind_positional(position, after)
        first = self._rules.shared("a", *machine.first(after))
        return f'"(" {v.space} {first} ")"'


class _Machine:
    """The states of one function's arguments, as rules."""

    def __init__(self, rules: Rules, values: Values, function: PlanFunction) -> None:
        self._rules = rules
        self._v = values
        self._parameters = function.parameters
        self._open = function.open_keywords
        self._any_order = len(function.parameters) <= ANY_ORDER
        self._prefix = f"k-{values.flavour}-"

    def first(self, positional: str) -> list[str]:
        """Return how the arguments may begin, directly behind the bracket."""
        everything = frozenset(range(len(self._parameters)))
        options = [positional, self._unpacked()] if self._parameters else []
        return options + self._rest(everything)

    def behind_positional(self, position: int, after: str) -> str:
        """Return the argument at a position and what may follow it. `after` is the same for the next position."""
        left = frozenset(range(position + 1, len(self._parameters)))
        options = ([after, self._unpacked()] if left else []) + self._rest(left)
        return f"{self._value(position)} {self._separated(options, left)}"

    def keywords(self, left: frozenset[int]) -> str:
        """Return a rule for one more keyword out of those that are left, and everything behind it."""
        words = {f"{self._parameters[i].name}=": self._named(i, left) for i in self._next(left)}
        return choice(self._rules, self._prefix, words) if words else ""

    def _named(self, index: int, left: frozenset[int]) -> str:
        rest = left - {index} if self._any_order else frozenset(i for i in left if i > index)
        return f"{self._value(index)} {self._separated(self._rest(rest), rest)}"

    def _next(self, left: frozenset[int]) -> list[int]:
        """Return which keywords may come next: in their own order none is passed over that must be there."""
        if self._any_order:
            return sorted(left)
        found: list[int] = []
        for index in sorted(left):
            found.append(index)
            if self._parameters[index].required:
                break
        return found

    def _rest(self, left: frozenset[int]) -> list[str]:
        v = self._v
        options = [self.keywords(left)] if left else []
        if self._open:
            options.append(self._rules.shared("o", f'attr "=" {v.value} {self._any_keywords()}'))
        if self._parameters or self._open:
            options.append(f'"**" {v.operand} {v.space} ("," {v.space})?')
        return options if self._missing(left) else [*options, '""']

    def _unpacked(self) -> str:
        v = self._v
        return f'"*" {v.operand} {v.space} ("," {v.space} ("**" {v.operand} {v.space})?)?'

    def _any_keywords(self) -> str:
        v, name = self._v, f"open-{self._v.flavour}"
        if not self._rules.has(name):
            self._rules.add(name, f'{v.space} ("," {v.space} (attr "=" {v.value} {name} | "**" {v.operand} {name})?)?')
        return name

    def _separated(self, options: list[str], left: frozenset[int]) -> str:
        v = self._v
        following = self._rules.shared(self._prefix, *options)
        comma = f'"," {v.space} {following}'
        return self._rules.shared(
            self._prefix, f"{v.space} {comma}" if self._missing(left) else f"{v.space} ({comma})?"
        )

    def _missing(self, left: frozenset[int]) -> bool:
        return any(self._parameters[index].required for index in left)

    def _value(self, index: int) -> str:
        parameter, v = self._parameters[index], self._v
        if parameter.choices:
            texts = dict.fromkeys(spelled for each in parameter.choices for spelled in _spellings(each))
            member = choice(self._rules, "c", dict.fromkeys(texts, ""))
            return self._rules.shared("e", f"{member} {v.tail}", v.no_text)
        return v.value if parameter.kind == "any" else v.no_text


def _spellings(value: Choice) -> list[str]:
    """Return the ways in which a plan may write a literal."""
    written = repr(value)
    if not isinstance(value, str):
        return [written]
    other = '"' if written[0] == "'" else "'"
    return [written] if other in value or "\\" in written else [written, f"{other}{written[1:-1]}{other}"]
