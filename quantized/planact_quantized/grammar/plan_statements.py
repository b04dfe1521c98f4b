"""Statements of the plan grammar: rules for each place and each depth of indentation. Pure.

A place says what may stand there: `return` only in functions, `break` only in loops, `await` outside of ordinary
functions. White space that carries meaning cannot be counted by rules, so there is one set of them for each depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_quantized.grammar.gbnf_text import choice, literal
from planact_quantized.grammar.plan_expressions import CLOSED_AWAITING, OPEN, OPEN_AWAITING
from planact_quantized.grammar.plan_words import ERRORS, METHODS

if TYPE_CHECKING:
    from planact_quantized.grammar.gbnf_text import Rules
    from planact_quantized.grammar.plan_expressions import Flavour

DEPTH = 5
"""Levels of indentation below the plan's own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement stands; `name` is part of the names of its rules."""

    name: str
    expressions: Flavour
    function: bool

    @property
    def flavour(self) -> str:
        return self.expressions.name

    @property
    def awaits(self) -> bool:
        return self.expressions.awaits


CLOSED_MODULE = Place("m", CLOSED_AWAITING, function=False)
OPEN_MODULE = Place("v", OPEN_AWAITING, function=False)
FUNCTION = Place("f", OPEN, function=True)
COROUTINE = Place("a", OPEN_AWAITING, function=True)
PLACES = (CLOSED_MODULE, OPEN_MODULE, FUNCTION, COROUTINE)


def add_statement_rules(rules: Rules) -> None:
    """Add everything from simple statements to `plan`, which is a whole plan."""
    for level in range(1, DEPTH + 1):
        rules.add(f"i{level}", literal("    " * level))
    _add_shared(rules)
    for flavour in (CLOSED_AWAITING, OPEN, OPEN_AWAITING):
        _add_targets(rules, flavour.name)
    for place in PLACES:
        _add_simple(rules, place)
        _add_heads(rules, place)
        # What is in a function is at least one level down, and so is what is in a loop.
        for loop, outermost in (("", int(place.function)), ("-loop", int(place.function) + 1)):
            for depth in range(outermost, DEPTH + 1):
                _add_level(rules, place, depth, loop)
            for depth in range(max(outermost - 1, 0), DEPTH):
                _add_below(rules, place, depth, loop)
    for depth in range(DEPTH):
        _add_definitions(rules, depth)
    _add_class(rules)
    first, then = CLOSED_MODULE.name, OPEN_MODULE.name
    rules.add("plan", f"end? (stmt-{first}0+ (opening stmt-{then}0*)? | opening stmt-{then}0*)")
    # From here on names that the plan has defined may be called.
    rules.add("opening", "define0", "class")


def _add_shared(rules: Rules) -> None:
    rules.add("eq", 's "=" s')
    rules.add("loop", 'loop-part ("," s loop-part)*')
    rules.add("loop-part", "n", '"(" loop-part ("," s loop-part)+ ")"')
    rules.add("type", 'type-part (" | " type-part)*')
    rules.add("type-part", 'n ("." attr)* ("[" type-items "]")?', '"None"', "d1 | q1", '"..."', '"[" type-items? "]"')
    rules.add("type-items", 'type ("," s type)*')
    rules.add("import", '"import " module-as ("," s module-as)*', '"from " from-import')
    rules.add("module-as", 'module (" as " n)?')
    rules.add("error", choice(rules, "er", dict.fromkeys(ERRORS, "")))
    rules.add("errors", 'n ("." attr)*', '"(" n ("." attr)* ("," s n ("." attr)*)* ("," s)? ")"')
    for word in ("else", "try", "finally"):
        rules.add(word, f'"{word}:"')
    rules.add("except", '"except " errors (" as " n)? ":"')
    rules.add("except-any", '"except:"')
    rules.add("case-any", '"case " n ":"')
    _add_patterns(rules)


def _add_patterns(rules: Rules) -> None:
    rules.add("constant", 'plain | "-"? (whole fraction? | fraction) exponent? | "None" | "True" | "False"')
    rules.add("key", "plain")
    rules.add("name-constant", 'n ("." attr)+')
    rules.add("alternative", 'constant | name-constant | n "()" | "[]"')
    rules.add("pattern", "n | refutable")
    rules.add(
        "refutable",
        'alternative (" | " alternative)*',
        '"[" (pattern ("," s pattern)* ("," s starred)? | starred)? "]"',
        '"(" (pattern "," s (pattern ("," s pattern)* ("," s starred)? | starred)? | starred ",")? ")"',
        '"{" (key ":" s pattern ("," s key ":" s pattern)* ("," s "**" n)? | "**" n)? "}"',
        'n "(" (pattern ("," s pattern)* ("," s field-pattern)* | field-pattern ("," s field-pattern)*) ")"',
    )
    rules.add("starred", '"*" n ("," s pattern)*')
    rules.add("field-pattern", 'attr "=" pattern')


def _add_targets(rules: Rules, f: str) -> None:
    add = rules.add
    add(f"target-{f}", f'n ("." attr | "[" index-{f} "]")*')
    add(f"target-part-{f}", f"target-{f}", f"group-target-{f}")
    add(f"more-targets-{f}", f'("," s target-part-{f})* "," s (target-part-{f} | "*" n ("," s target-part-{f})*)')
    add(f"group-target-{f}", f'"(" target-part-{f} ("," s target-part-{f})+ ")"')
    add(f"other-targets-{f}", f"group-target-{f} more-targets-{f}?", f'"*" n ("," s target-part-{f})+')
    add(
        f"values-{f}",
        f'e-{f} ("," s line-item-{f})* ","?',
        f'"*" sum-{f} "," (s line-item-{f} ("," s line-item-{f})*)?',
    )
    add(f"line-item-{f}", f"e-{f}", f'"*" sum-{f}')
    add(f"context-{f}", f'e-{f} (" as " target-{f})?')
    add(f"condition-{f}", f"e-{f}", f'n " := " e-{f}', f'"not "? "(" n " := " e-{f} ")" tail-{f}')


def _add_simple(rules: Rules, place: Place) -> None:
    """Add statements of one line, and the values that they take in this place."""
    add, p, f = rules.add, place.name, place.flavour
    add(
        f"simple-{p}",
        f"values-{f}",
        f"target-{f} (set-{p} | more-targets-{f}? eq (n eq)* values-{f})",
        f"other-targets-{f} eq (n eq)* values-{f}",
        '"pass"',
        "import",
        f'"assert " e-{f} ("," s e-{f})?',
        f'"raise" (" " (error call-{f} | e-{f}) (" from " e-{f})?)?',
        f'"del " target-{f} ("," s target-{f})*',
        *([f'"return" (" " values-{f})?'] if place.function else []),
        *([f'"yield" (" " values-{f})?', f'"yield from " e-{f}'] if place.function and not place.awaits else []),
    )
    add(
        f"set-{p}",
        f's ([-+%@&|^] | "*" "*"? | "/" "/"? | "<<" | ">>") "=" s values-{f}',
        f'":" s type (eq values-{f})?',
    )
    add(f"simple-{p}-loop", f"simple-{p}", '"break" | "continue"')


def _add_heads(rules: Rules, place: Place) -> None:
    """Add the first lines of statements that have others below them; the depth is the same to these."""
    add, p, f = rules.add, place.name, place.flavour
    asynchronous = '"async "? ' if place.awaits else ""
    add(f"if-{p}", f'"if " condition-{f} ":"')
    add(f"elif-{p}", f'"el" if-{p}')
    add(f"while-{p}", f'"while " condition-{f} ":"')
    add(f"for-{p}", f'{asynchronous}"for " loop " in " values-{f} ":"')
    add(f"with-{p}", f'{asynchronous}"with " context-{f} ("," s context-{f})* ":"')
    add(f"match-{p}", f'"match " values-{f} ":" end')
    add(f"case-{p}", f'"case " (refutable (" as " n)? (" if " condition-{f})? | n " if " condition-{f}) ":"')


def _add_below(rules: Rules, place: Place, depth: int, loop: str) -> None:
    """Add what stands below a statement at one depth: on its own line, or one level deeper."""
    p, simple = place.name, f"s simple-{place.name}{loop} end"
    rules.add(f"below-{p}{depth}{loop}", simple, f"end ({_indent(depth + 1)}stmt-{p}{depth + 1}{loop})+")


def _add_level(rules: Rules, place: Place, depth: int, loop: str) -> None:
    """Add statements at one depth."""
    p, simple = place.name, f"simple-{place.name}{loop} end"
    if depth == DEPTH:
        rules.add(f"stmt-{p}{depth}{loop}", simple)
        return
    at, below, looping = _indent(depth), f"below-{p}{depth}{loop}", f"below-{p}{depth}-loop"
    otherwise = f"({at}else {below})?"
    handlers = f"({at}except {below})+ ({at}except-any {below})?"
    rules.add(
        f"stmt-{p}{depth}{loop}",
        simple,
        f"if-{p} {below} ({at}elif-{p} {below})* {otherwise}",
        f"(for-{p} | while-{p}) {looping} {otherwise}",
        f"try {below} (({handlers} | {at}except-any {below}) {otherwise} ({at}finally {below})? | {at}finally {below})",
        f"with-{p} {below}",
        *([_match(p, depth, loop)] if depth + 2 <= DEPTH else []),
        *([f"nested{depth}" if place.function else f"define{depth}"] if place.expressions.open else []),
        *(["class"] if place == OPEN_MODULE and depth == 0 else []),
    )


def _match(p: str, depth: int, loop: str) -> str:
    """Return the match statement. A pattern that fits everything comes last, as Python demands."""
    at, below = _indent(depth + 1), f"below-{p}{depth + 1}{loop}"
    sure = f"{at}case-any {below}"
    return f"match-{p} (({at}case-{p} {below})+ ({sure})? | {sure})"


def _add_definitions(rules: Rules, depth: int) -> None:
    """Add functions at one depth, and those within functions, which have `nonlocal`."""
    if depth == 0:
        _add_parameters(rules)
        rules.add("decorator", '"@" n ("." attr)* call-o?')
        rules.add("returned", '(" -> " type)?')
        rules.add("global", '"global " n ("," s n)* end')
        rules.add("declared", "global", '"nonlocal " n ("," s n)* end')
    else:
        _add_functions(rules, depth, "nested", declared="declared")
    _add_functions(rules, depth, "define", declared="global")


def _add_functions(rules: Rules, depth: int, name: str, *, declared: str) -> None:
    """Add functions of one kind. What is `declared` comes first in a body: behind a use of its name it is an error."""
    at, inner, within = _indent(depth), _indent(depth + 1), "" if name == "define" else f"{name}-"
    rules.add(
        f"{name}{depth}",
        f'(decorator end {at})* ({within}function{depth} | "async " {within}coroutine{depth})',
    )
    for kind, place in (("function", FUNCTION), ("coroutine", COROUTINE)):
        body = f"({inner}plain end)? ({inner}{declared})+ ({inner}stmt-{place.name}{depth + 1})+"
        rest = f"{within}{kind}-rest{depth}"
        rules.add(f"{within}{kind}{depth}", f'"def " n {rest}')
        rules.add(rest, f'"(" w parameters ")" returned ":" (below-{place.name}{depth} | end {body})')


def _add_parameters(rules: Rules) -> None:
    """Add parameters: those without a default first, as Python demands."""
    rules.add("parameters", 'plain-parameter | defaults | rest | ""')
    rules.add("annotation", '(":" s type)?')
    rules.add("default", 's "=" s any-o')
    rules.add("plain-parameter", 'n annotation w ("," w parameters)?')
    rules.add("defaults", 'n annotation default w ("," w (defaults | rest)?)?')
    rules.add("rest", '"*" n annotation w ("," w (named | collected)?)?', '"*" w "," w named', "collected")
    rules.add("named", 'n annotation default? w ("," w (named | collected)?)?')
    rules.add("collected", '"**" n annotation w ("," w)?')


def _add_class(rules: Rules) -> None:
    method = choice(rules, "me", dict.fromkeys(METHODS, ""))
    rules.add(
        "class",
        '(decorator end)* "class " n ("(" (e-o ("," s e-o)*)? ")")? ":" (" "? ("pass" | "...") end | end (i1 member)+)',
    )
    rules.add(
        "member",
        '(plain | "pass") end',
        'n ":" s type (eq e-o)? end',
        "n eq e-o end",
        "define1",
        f'"def " {method} function-rest1',
        f'"async def " {method} coroutine-rest1',
    )


def _indent(depth: int) -> str:
    return f"i{depth} " if depth else ""
