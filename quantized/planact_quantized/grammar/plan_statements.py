"""Statements of the plan grammar: rules for each place and each depth of indentation. Pure.

A place says what may stand there: `return` only in functions, `break` only in loops, `await` outside of ordinary
functions. White space that carries meaning cannot be counted by rules, so there is one set of them for each depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_quantized.grammar.gbnf_text import choice, literal
from planact_quantized.grammar.plan_words import ERRORS, METHODS

if TYPE_CHECKING:
    from planact_quantized.grammar.gbnf_text import Rules

DEPTH = 5
"""Levels of indentation below the plan's own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement stands; `name` is part of the names of its rules."""

    name: str
    flavour: str
    """Of its expressions."""

    awaits: bool
    function: bool


CLOSED_MODULE = Place("m", "c", awaits=True, function=False)
OPEN_MODULE = Place("v", "o", awaits=True, function=False)
FUNCTION = Place("f", "o", awaits=False, function=True)
COROUTINE = Place("a", "o", awaits=True, function=True)
PLACES = (CLOSED_MODULE, OPEN_MODULE, FUNCTION, COROUTINE)


def add_statement_rules(rules: Rules) -> None:
    """Add everything from simple statements to `plan`, which is a whole plan."""
    for level in range(1, DEPTH + 1):
        rules.add(f"i{level}", literal("    " * level))
    _add_shared(rules)
    for flavour in ("c", "o"):
        _add_targets(rules, flavour)
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
        '"[" (pattern ("," s pattern)* ("," s "*" n)? | "*" n)? "]"',
        '"(" (pattern "," s (pattern ("," s pattern)*)?)? ")"',
        '"{" (key ":" s pattern ("," s key ":" s pattern)* ("," s "**" n)? | "**" n)? "}"',
        'n "(" (pattern ("," s pattern)* ("," s field-pattern)* | field-pattern ("," s field-pattern)*) ")"',
    )
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
    waited = [f'"await " primary-{f} tail-{f}'] if place.awaits else []
    add(f"value-{p}", f"values-{f}", *waited)
    add(
        f"simple-{p}",
        f"value-{p}",
        f"target-{f} (set-{p} | more-targets-{f}? eq (n eq)* value-{p})",
        f"other-targets-{f} eq (n eq)* value-{p}",
        '"pass"',
        "import",
        f'"assert " e-{f} ("," s e-{f})?',
        f'"raise" (" " (error call-{f} | e-{f}) (" from " e-{f})?)?',
        f'"del " target-{f} ("," s target-{f})*',
        *([f'"return" (" " value-{p})?'] if place.function else []),
        *([f'"yield" (" " values-{f})?', f'"yield from " e-{f}'] if place.function and not place.awaits else []),
    )
    add(
        f"set-{p}",
        f's ([-+%@&|^] | "*" "*"? | "/" "/"? | "<<" | ">>") "=" s value-{p}',
        f'":" s type (eq value-{p})?',
    )
    add(f"simple-{p}-loop", f"simple-{p}", '"break" | "continue"')


def _add_heads(rules: Rules, place: Place) -> None:
    """Add the first lines of statements that have others below them; the depth is the same to these."""
    add, p, f = rules.add, place.name, place.flavour
    asynchronous = '"async "? ' if place.awaits else ""
    add(f"condition-{p}", f"condition-{f}", *([f'"await " primary-{f} tail-{f}'] if place.awaits else []))
    add(f"if-{p}", f'"if " condition-{p} ":"')
    add(f"elif-{p}", f'"el" if-{p}')
    add(f"while-{p}", f'"while " condition-{p} ":"')
    add(f"for-{p}", f'{asynchronous}"for " loop " in " values-{f} ":"')
    add(f"with-{p}", f'{asynchronous}"with " context-{f} ("," s context-{f})* ":"')
    add(f"match-{p}", f'"match " values-{f} ":" end')
    add(f"case-{p}", f'"case " (refutable (" as " n)? (" if " condition-{p})? | n " if " condition-{p}) ":"')


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
        *([f"define{depth}"] if place.flavour == "o" else []),
        *(["class"] if place == OPEN_MODULE and depth == 0 else []),
    )


def _match(p: str, depth: int, loop: str) -> str:
    """Return the match statement. A pattern that fits everything comes last, as Python demands."""
    at, below = _indent(depth + 1), f"below-{p}{depth + 1}{loop}"
    sure = f"{at}case-any {below}"
    return f"match-{p} (({at}case-{p} {below})+ ({sure})? | {sure})"


def _add_definitions(rules: Rules, depth: int) -> None:
    """Add functions at one depth. `global` comes first in a body: behind a use of its name it is an error."""
    at, inner = _indent(depth), _indent(depth + 1)
    if depth == 0:
        _add_parameters(rules)
        rules.add("decorator", '"@" n ("." attr)* call-o?')
        rules.add("returned", '(" -> " type)?')
        rules.add("global", '"global " n ("," s n)* end')
    rules.add(f"define{depth}", f'(decorator end {at})* (function{depth} | "async " coroutine{depth})')
    for kind, place in (("function", FUNCTION), ("coroutine", COROUTINE)):
        body = f"{inner}global ({inner}stmt-{place.name}{depth + 1})+"
        rules.add(f"{kind}{depth}", f'"def " n {kind}-rest{depth}')
        rules.add(
            f"{kind}-rest{depth}",
            f'"(" w parameters ")" returned ":" (below-{place.name}{depth} | end {body})',
        )


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
        '(d3 | "pass") end',
        'n ":" s type (eq e-o)? end',
        "n eq e-o end",
        "define1",
        f'"def " {method} function-rest1',
    )


def _indent(depth: int) -> str:
    return f"i{depth} " if depth else ""
