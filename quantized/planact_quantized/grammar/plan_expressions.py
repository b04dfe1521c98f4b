"""Expressions of the plan grammar, in several flavours. Pure.

A flavour says which names may be called and where the expression stands: in a plan that has defined no function,
only tools, Python's own functions and a few that modules are known for are callable by name; once it has defined one
(`def`, `class`), other names are too. Of both there is one with `await`, for everything that is not in an ordinary
function or a lambda. Inside the field of an f-string there is a flavour for each quote around it, for Python before
3.12 allows little there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_quantized.grammar.gbnf_text import choice
from planact_quantized.grammar.plan_calls import Calls, Values, counted
from planact_quantized.grammar.plan_words import FUNCTIONS, HELPERS, IMPORTABLE, PLACEHOLDER, SPECIAL_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from planact_quantized.grammar.gbnf_text import Rules
    from planact_quantized.grammar.plan_calls import PlanFunction


@dataclass(frozen=True, slots=True)
class Flavour:
    """One set of expression rules; `name` is the ending of theirs."""

    name: str
    open: bool
    """Names that the plan has defined may be called."""

    awaits: bool = False
    quote: str = ""
    """In a field of an f-string: the rule for a string in the other quotes."""

    @property
    def quotes(self) -> str:
        return {"": "\"'", "qf": "'", "df": '"'}[self.quote]

    @property
    def still(self) -> str:
        """The name of the same flavour without `await`."""
        return OPEN.name if self.open else CLOSED.name

    def field(self, quote: str) -> Flavour:
        return Flavour(f"{self.name}{quote}", open=self.open, quote={"d": "qf", "q": "df"}[quote])


CLOSED = Flavour("c", open=False)
OPEN = Flavour("o", open=True)
CLOSED_AWAITING = Flavour("k", open=False, awaits=True)
OPEN_AWAITING = Flavour("w", open=True, awaits=True)

FLAVOURS = (
    *(each for one in (CLOSED, OPEN) for each in (one, one.field("d"), one.field("q"))),
    CLOSED_AWAITING,
    OPEN_AWAITING,
)


def add_known_names(
    rules: Rules, functions: Sequence[PlanFunction], *, callables: Collection[str], placeholders: bool
) -> None:
    """Add what depends on the catalogue: tools with their arguments, and the other names that may be called."""
    # Not those of tools either: `log(…)` would be taken for `git.log(…)`.
    own = {part for each in functions for part in (each.name, each.name.rpartition(".")[2])}
    words = {*FUNCTIONS, *HELPERS, *callables}.union(*IMPORTABLE.values()) - own
    rules.add("known", choice(rules, "u", dict.fromkeys(words, "")))
    most = counted(functions)
    for flavour in FLAVOURS:
        f = flavour.name
        values = Values(f, f"x-{f}", f"notext-{f}", f"any-{f}", f"tail-{f}", _space(flavour), flavour.quotes)
        # In the field of an f-string calls are short.
        calls = Calls(rules, values, counted=0 if flavour.quote else most)
        # A tool may also be handed on: map(tool, rows).
        tools = {each.name: f"({calls.brackets(each)} trailer-{f}*)?" for each in functions}
        named = [choice(rules, f"t-{f}-", tools)] if tools else []
        unwritten = [f'"{PLACEHOLDER}" [a-z0-9] [a-z0-9_]* call-{f} trailer-{f}*'] if placeholders else []
        rules.add(f"tool-{f}", *named, *unwritten, *([] if named or unwritten else ["bytes"]))


def _space(flavour: Flavour) -> str:
    return "s" if flavour.quote else "w"


class Expressions:
    """Writes the rules of every flavour."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        rules.add("arithmetic", '[-+%@&|^] | "*" "*"? | "/" "/"? | "<<" | ">>"')
        rules.add("operator", 'arithmetic | [<>] "="? | [=!] "="')
        rules.add("word-operator", '"in" | "not in" | "is" " not"?')
        rules.add("dotted", "attr", choice(rules, "me", dict.fromkeys(SPECIAL_ATTRIBUTES, "")))
        rules.add("format", '":" ([a-zA-Z0-9.,:<>^=+#_% /-] | "{" n "}")*')
        for flavour in FLAVOURS:
            self._add_common(flavour)
            if flavour.quote:
                self._add_field(flavour)
            else:
                self._add_layout(flavour)
                if not flavour.awaits:
                    self._add_strings(flavour)

    def _add_common(self, flavour: Flavour) -> None:
        add, f = self._rules.add, flavour.name
        space, string = _space(flavour), f"string-{flavour.still if flavour.awaits else f}"
        awaited = '"await "? ' if flavour.awaits else ""
        add(f"e-{f}", f"any-{f} ternary-{f}?", *([] if flavour.quote else [f"lambda-{f}"]))
        add(f"any-{f}", f'"not "* operand-{f} more-{f}*')
        # Behind a star there is no comparison and no logic, brackets aside.
        add(f"sum-{f}", f"operand-{f} (s arithmetic s operand-{f})*")
        add(f"operand-{f}", f"[-+~]? {awaited}primary-{f}")
        add(f"ternary-{f}", f'" if " any-{f} " else " e-{f}')
        add(f"tail-{f}", f"more-{f}* ternary-{f}?")
        add(
            f"more-{f}",
            f"s operator s operand-{f}",
            f'" " (word-operator " " | ("and" | "or") " " "not "*) operand-{f}',
        )
        add(f"notext-{f}", f'"not " any-{f} ternary-{f}?', f"[-+~]? {awaited}nonstring-{f} tail-{f}")
        add(f"primary-{f}", f"nonstring-{f}", f"{string} trailer-{f}*")
        called = f"call-{f}? " if flavour.open else ""
        add(
            f"nonstring-{f}",
            f"n {called}trailer-{f}*",
            f"tool-{f}",
            *([] if flavour.open else [f"known call-{f} trailer-{f}*"]),
            "num",
            '"True" | "False" | "None" | "..." | "__name__"',
            f'"(" group-{f} ")" trailer-{f}*',
            f'"[" list-{f} "]" trailer-{f}*',
            *([] if flavour.quote else [f'"{{" braces-{f} "}}" trailer-{f}*', "bytes"]),
        )
        add(f"trailer-{f}", f'"." dotted call-{f}?', f'"[" index-{f} "]"' + (f" call-{f}?" if flavour.open else ""))
        add(f"call-{f}", f'"(" {space} arguments-{f} ")"')
        self._add_arguments(f, space)
        self._add_collections(f, space)

    def _add_arguments(self, f: str, space: str) -> None:
        add = self._rules.add
        keyword = f'attr "=" x-{f} keywords-{f} | "**" any-{f} keywords-{f}'
        add(
            f"arguments-{f}",
            f'(x-{f} (comp-{f} {space} | positional-{f}) | "*" any-{f} positional-{f} | {keyword})?',
        )
        add(
            f"positional-{f}",
            f'{space} ("," {space} (x-{f} positional-{f} | "*" any-{f} positional-{f} | {keyword})?)?',
        )
        add(f"keywords-{f}", f'{space} ("," {space} ({keyword})?)?')

    def _add_collections(self, f: str, space: str) -> None:
        add = self._rules.add
        separator = '" "' if space == "s" else '(" " | "\\n" sp)'
        add(f"items-{f}", f'{space} ("," {space} (item-{f} items-{f})?)?')
        add(f"item-{f}", f"x-{f}", f'"*" sum-{f}')
        add(f"list-{f}", f'{space} (x-{f} (comp-{f} {space} | items-{f}) | "*" sum-{f} items-{f})?')
        add(
            f"group-{f}",
            f"{space} (lines-{f} (comp-{f} {space} | items-{f})"
            f' | "*" sum-{f} {space} "," {space} (item-{f} items-{f})?)?',
        )
        add(f"index-{f}", f'{space} slice-{f} ({space} "," {space} slice-{f})* {space}')
        add(f"slice-{f}", f"e-{f} steps-{f}?", f"steps-{f}")
        add(f"steps-{f}", f'":" e-{f}? (":" e-{f}?)?')
        add(f"comp-{f}", f'({separator} "for " loop " in " any-{f} ({separator} "if " any-{f})*)+')

    def _add_layout(self, flavour: Flavour) -> None:
        """Add what only stands outside of f-strings: several lines, braces, lambda."""
        add, f, part = self._rules.add, flavour.name, f"stringpart-{flavour.still}"
        # Texts over several lines are one text, inside of brackets.
        add(f"x-{f}", f"e-{f}", f'{part} (sp comment? "\\n" sp {part})+')
        # A long condition or sum breaks before or after its operators, inside of brackets.
        logic = '("and" | "or")'
        add(
            f"lines-{f}",
            f'x-{f} ("\\n" sp (operator s | word-operator " " | {logic} " " "not "*) operand-{f} tail-{f}'
            f' | s operator "\\n" sp operand-{f} tail-{f} | " " {logic} "\\n" sp "not "* operand-{f} tail-{f})*',
        )
        add(f"pairs-{f}", f'w ("," w (x-{f} w ":" w x-{f} pairs-{f} | "**" sum-{f} pairs-{f})?)?')
        add(
            f"braces-{f}",
            f'w (x-{f} (w ":" w x-{f} (comp-{f} w | pairs-{f}) | comp-{f} w | items-{f})'
            f' | "**" sum-{f} pairs-{f} | "*" sum-{f} items-{f})?',
        )
        add(f"lambda-{f}", f'"lambda" (" " untyped-{f})? ":" s e-{flavour.still}')
        add(f"untyped-{f}", f'n ("," s untyped-{f})?', f"untyped-defaults-{f}")
        add(f"untyped-defaults-{f}", f'n "=" any-{f} ("," s untyped-defaults-{f})?', '"*" n ("," s "**" n)?', '"**" n')

    def _add_strings(self, flavour: Flavour) -> None:
        add, f = self._rules.add, flavour.name
        add(f"string-{f}", f'stringpart-{f} (" " stringpart-{f})*')
        add(f"stringpart-{f}", "plain", f"fstring-{f}")
        add(f"fstring-{f}", '"f" (' + " | ".join(f"f{size}{quote}-{f}" for quote in "dq" for size in "13") + ")")
        for name, mark, others in (("d", '"\\""', '\\"'), ("q", '"\'"', "'")):
            field = f"field-{f}{name}"
            text = rf"[^\\`{{}}{others}\x00-\x08\x0B-\x1F\x7F\uD800-\uDFFF"
            pieces = f'field-escape | "{{{{" | "}}}}" | {field}'
            add(f"f1{name}-{f}", f"{mark} (tick? ({text}\\n] | {pieces}))* tick? {mark}")
            add(
                f"f3{name}-{f}",
                f"{mark} {mark} {mark} ({name}gap tick? ({text}] | {pieces}))* tick? {mark} {mark} {mark}",
            )

    def _add_field(self, flavour: Flavour) -> None:
        """Add the field of an f-string and what is smaller inside of it."""
        add, f = self._rules.add, flavour.name
        add(f"x-{f}", f"e-{f}")
        add(f"lines-{f}", f"e-{f}")
        add(f"string-{f}", flavour.quote)
        add(f"field-{f}", f'"{{" s e-{f} s "="? ("!" [rsa])? format? "}}"')
