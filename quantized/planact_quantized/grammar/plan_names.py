"""Lexical rules of the plan grammar: identifiers, white space, numbers, strings without fields. Pure.

No rule admits three backticks in a row, which would end the code block, nor a control character or a code point that
is no character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_quantized.grammar.gbnf_text import WORD_START, Rules, choice, word_except
from planact_quantized.grammar.plan_words import (
    HIDDEN_ATTRIBUTES,
    HIDDEN_PREFIXES,
    IMPORTABLE,
    KEYWORDS,
    MODULES,
    PLACEHOLDER,
)

if TYPE_CHECKING:
    from collections.abc import Collection

_NEVER = r"\x00-\x08\x0B-\x1F\x7F\uD800-\uDFFF"


def add_lexical_rules(rules: Rules) -> None:
    """Add what expressions and statements are made of, names aside."""
    # Names with an underscore in front do not end with one, and `_tmp1` belongs to the sandbox: no `_tm…`.
    rules.add("inner", r'("_"* [a-zA-Z0-9])*')
    rules.add("private", r'"_" ([a-su-zA-Z] inner | "t" ([a-ln-zA-Z0-9] inner | "_" "_"* [a-zA-Z0-9] inner)?)?')
    hidden = {*KEYWORDS, *HIDDEN_ATTRIBUTES}
    rules.add("attr", word_except(rules, "k", hidden, start=WORD_START, forbidden=HIDDEN_PREFIXES), "private")
    _add_space(rules)
    _add_numbers(rules)
    _add_strings(rules)
    rules.add("module", choice(rules, "mo", dict.fromkeys(MODULES, "")))
    rules.add(
        "from-import", choice(rules, "fi", {module: f'" import " {_names_of(rules, module)}' for module in IMPORTABLE})
    )


def add_names(rules: Rules, *, taken: Collection[str], placeholders: bool) -> None:
    """Add the names that a plan may bind and read: none that is `taken` by a tool or a server.

    With `placeholders` names that begin with `todo_` are left to calls of functions that do not exist yet.
    """
    forbidden = (PLACEHOLDER,) if placeholders else ()
    rules.add("n", word_except(rules, "n", {*KEYWORDS, *taken}, start=WORD_START, forbidden=forbidden), "private")


def _add_space(rules: Rules) -> None:
    rules.add("tick", '"`" "`"?')
    rules.add("comment", rf'"#" (tick? [^\n`{_NEVER}])* tick?')
    rules.add("s", '" "?')
    rules.add("sp", "[ ]*")
    # Inside of brackets: spaces, or line breaks with comments before them.
    rules.add("w", 's | sp comment? "\\n" sp (comment? "\\n" sp)*')
    # The end of a statement, with comment lines and blank lines behind it.
    rules.add("end", '(sp comment? "\\n")+')


def _add_numbers(rules: Rules) -> None:
    rules.add("more-digits", '("_"? [0-9])*')
    rules.add("fraction", '"." [0-9] more-digits')
    rules.add("exponent", "[eE] [-+]? [0-9] [0-9]? [0-9]?")
    rules.add("whole", '"0" | [1-9] more-digits')
    rules.add("other-base", '"0" ("x" [0-9a-fA-F]+ | "b" [01]+ | "o" [0-7]+)')
    rules.add("num", '(whole fraction? | fraction) exponent? "j"?', "other-base")


def _add_strings(rules: Rules) -> None:
    hexadecimal = "[0-9a-fA-F]"
    rules.add("hex4", f"{hexadecimal}{{4}}")
    rules.add("code-escape", f'"x" {hexadecimal}{{2}} | "u" hex4 | "U000" {hexadecimal} hex4 | "U0010" hex4')
    # Python takes a backslash before any other character as it is; in an f-string a brace stays a brace behind it.
    rules.add("escape", rf'"\\" ([^NUux`{_NEVER}] | code-escape)')
    rules.add("field-escape", rf'"\\" ([^NUux`{{}}{_NEVER}] | code-escape)')
    rules.add("raw", rf'"\\" [^\n`{_NEVER}]')
    for name, quote in (("d", '\\"'), ("q", "'")):
        mark = f'"{quote}"'
        char = rf"[^\\`\n{quote}{_NEVER}]"
        rules.add(f"{name}1", f"{mark} (tick? ({char} | escape))* tick? {mark}")
        rules.add(f"{name}r", f"[rR] {mark} (tick? ({char} | raw))* tick? {mark}")
        rules.add(
            f"{name}3",
            f"{mark} {mark} {mark} ({name}gap tick? ([^\\\\`{quote}{_NEVER}] | escape))* tick? {mark} {mark} {mark}",
        )
        rules.add(f"{name}gap", f"({mark} {mark}?)?")
        rules.add(f"{name}b", f'"b" {mark} ([ !#-&(-[\\]-_a-~] | "\\\\" [abfnrtv0])* {mark}')
        # Inside the field of an f-string: no backslash, no other quote, no number sign (Python 3.11).
        rules.add(f"{name}f", rf'{mark} [^\\`\n"' + rf"'#{_NEVER}]* {mark}")
    rules.add("plain", '"u"? (d1 | q1 | d3 | q3) | dr | qr')
    rules.add("bytes", "db | qb")


def _names_of(rules: Rules, module: str) -> str:
    name = choice(rules, "im", dict.fromkeys(IMPORTABLE[module], ""))
    one = rules.shared("ia", f'{name} (" as " n)?')
    return rules.shared("il", f'{one} ("," s {one})*', f'"(" w {one} (w "," w {one})* w ("," w)? ")"')
