"""What is doubtful about how a plan reads results, before it runs: keys, attributes and indices that no result has had.

What a tool returns is what its server says or what was learned, and neither is certain: nothing is refused for it.
"""

from __future__ import annotations

import ast
import difflib
import functools
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside.name_sources import NameSources
from planact_server.sandbox.inside.result_flow import Place, Result, ResultFlow, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from planact_server.sandbox.inside.name_sources import Scope
    from planact_server.sandbox.inside.scopes import Names
    from planact_server.sandbox.inside.source import Problem, Text

MOST_DOUBTS = 30
MOST_PLACES = 3
"""Of one doubt: the run may settle the first of them only."""

MOST_GUESSES = 100
"""How many keys that `get` asks for are compared with those that there are."""

MOST_CHARS = 50_000
"""Longer plans are not looked at: they are data, and everybody waits."""

SILENT = "Doubt"
"""The type of a doubt about what would raise nothing: `x.get("misspelled")` is None."""

_MOST_KEYS = 12
_MISSPELT = 0.76
"""How much alike two words are of which one is taken for the other, misspelt: `titel` and `title` are 0.8."""

_MORE_LETTERS = 1
"""A word with more than that is another word: `subtotal` is not meant to be `total`."""

_WORD = re.compile(r"[^\W_]+")
_CODE_CHARS = 80

_ATTRIBUTES = {
    "list": frozenset(dir(list)),
    "dict": frozenset(dir(dict)),
    "str": frozenset({*dir(str), "text", "size"}),  # long texts are a `LargeText`
    "int": frozenset({*dir(int), *dir(float)}),
    "float": frozenset({*dir(int), *dir(float)}),
    "bool": frozenset(dir(bool)),
}
_SAID = {"list": "a list", "dict": "a dict", "str": "text", "int": "a number", "float": "a number", "bool": "a bool"}


def doubts(
    names: Names, resolved: Mapping[str, Any], text: Text, known: Collection[str], *, code: Collection[str] = ()
) -> list[Problem]:
    """Return what is doubtful about a plan that can be parsed, in the order of its lines, `MOST_DOUBTS` at most.

    The type of each is the exception that it would raise, or `SILENT`; its function is the tool, its parameter the key.
    Never raises: a plan is not worse for being hard to read. `known`: names that the session or Python has already,
    `code`: those among them that can do something to a result, whose text is not at hand.
    """
    results: dict[Place, Result] = {}
    for spelled, call in names.calls:
        base, returns = spelled.partition(".")[0], resolved.get(spelled, {}).get("returns")
        if returns is not None and base not in names.bound and base not in known:
            results[place_of(call)] = Result(spelled, returns["shape"], returns["results"])
    if not results or len(text.source) > MOST_CHARS or any(name in names.read for name in code):
        return []
    earlier = {name for name in names.bound if name in known}
    unsure = {name for name in earlier if names.from_outside(name)}
    try:
        return _doubts(results, text, earlier, unsure)
    except (RecursionError, MemoryError):
        return []


def _doubts(
    results: Mapping[Place, Result], text: Text, earlier: Collection[str], unsure: Collection[str]
) -> list[Problem]:
    # Its own tree: the one that was compiled has been rewritten by then.
    plan = NameSources(ast.parse(text.source), earlier=earlier, unsure=unsure)
    flow = ResultFlow(plan, results)
    if flow.is_lost:
        return []
    found: list[Problem] = []
    guesses = MOST_GUESSES
    places = Counter[tuple[object, ...]]()
    for node, scope in sorted(plan.uses, key=lambda use: place_of(use[0])[:2]):
        doubt = None if plan.is_prepared(node) else _doubt(plan, flow, node, scope)
        if doubt is None:
            continue
        if doubt.error == SILENT:
            guesses -= 1
            if guesses < 0 or not _is_misspelt(doubt, plan):
                continue
        places[doubt.tool, doubt.key, doubt.error] += 1
        if places[doubt.tool, doubt.key, doubt.error] > MOST_PLACES:
            continue
        found.append(_problem(node, doubt, text))
        if len(found) == MOST_DOUBTS:
            break
    return found


@dataclass(frozen=True, slots=True)
class _Doubt:
    error: str
    message: str
    tool: str
    key: str | int | None = None
    keys: tuple[str, ...] = ()
    """Those that there are, where it is about one that is not."""

    kind: str | None = None
    """What it is taken to be, and where that stands: `#dict/entries/[]`."""

    advice: tuple[str, str] = ("", "")
    """How to read it instead: what stands before the value that is read, and what behind it."""


def _problem(node: ast.expr, doubt: _Doubt, text: Text) -> Problem:
    read = node.func if isinstance(node, ast.Call) else node
    value = _shown(read.value, text) if isinstance(read, ast.Attribute | ast.Subscript) else ""
    before, behind = doubt.advice
    hint = _about_keys(doubt) if doubt.keys else f"{before}{value}{behind}" if behind else before
    problem = text.problem(node, doubt.error, f"{_shown(node, text)}: {doubt.message}", hint or None)
    # With the key that is missing, which the results of this very plan may have, or with what they may not be.
    key = doubt.key if isinstance(doubt.key, str) and doubt.error in ("KeyError", SILENT) else doubt.kind
    return replace(problem, function=doubt.tool, parameter=key)


def _about_keys(doubt: _Doubt) -> str:
    meant = _closest(str(doubt.key)[:_CODE_CHARS], doubt.keys, 0.6)
    listed = ", ".join(map(repr, doubt.keys[:_MOST_KEYS])) + (", …" if len(doubt.keys) > _MOST_KEYS else "")
    return f"{f'Did you mean {meant!r}? ' if meant else ''}Its keys: {listed}."


def _shown(node: ast.expr, text: Text) -> str:
    """Return an expression as it is written; what goes over several lines, as far as its first."""
    last = node.end_col_offset if node.end_lineno == node.lineno else None
    written = text.written(node.lineno, node.col_offset, last)
    whole = len(written) <= _CODE_CHARS and last is not None
    return written if whole else f"{written[:_CODE_CHARS]}…"


def _doubt(plan: NameSources, flow: ResultFlow, node: ast.expr, scope: Scope) -> _Doubt | None:
    match node:
        case ast.Subscript(value=inner, slice=ast.Constant(value=str() | int() as key)) if (
            key not in plan.own_keys and key not in plan.keys_tried
        ):
            held = flow.value(inner, scope)
            return None if held is None else _about_key(held, key) if isinstance(key, str) else _about_index(held)
        case ast.Call(func=ast.Attribute(value=inner), args=[ast.Constant(value=str(key)), *_]):
            held = flow.value(inner, scope)
            if held is None or held.kind != "dict" or key in plan.own_keys:
                return None
            doubt = _about_key(held, key)
            return None if doubt is None else replace(doubt, error=SILENT)
        case ast.Attribute(value=inner, attr=name) if name not in plan.own_keys:
            held = flow.value(inner, scope)
            return None if held is None else _about_attribute(held, name)
        case _:
            return None


def _is_misspelt(doubt: _Doubt, plan: NameSources) -> bool:
    """Say whether `get` was meant for a key that there is: asking for what may not be there is what it is for."""
    key = str(doubt.key)[:_CODE_CHARS]
    return any(_is_slip(key, each) and each not in plan.keys_read for each in doubt.keys)


@functools.lru_cache(maxsize=1_024)
def _is_slip(written: str, meant: str) -> bool:
    """Say whether one key was probably written for another, each of its words for the word in the same place."""
    words, others = _WORD.findall(written.casefold()), _WORD.findall(meant.casefold())
    if len(words) != len(others):
        return "".join(words) == "".join(others)
    return all(map(_is_misspelt_word, words, others))


def _is_misspelt_word(word: str, other: str) -> bool:
    if word == other or sorted(word) == sorted(other):
        return True
    alike = difflib.SequenceMatcher(a=word, b=other, autojunk=False)
    return abs(len(word) - len(other)) <= _MORE_LETTERS and alike.ratio() >= _MISSPELT


def _about_key(held: Result, key: str) -> _Doubt | None:
    match held.kind:
        case "dict" if held.contents is None or key in held.contents:
            return None
        case "dict":
            return _Doubt(
                "KeyError", f"there is no key {key!r} in {_source(held)}.", held.tool, key, tuple(held.contents)
            )
        case "list":
            advice = "Take one item, ", "[0], or go through all."
            return _Doubt(
                "TypeError", f"{_source(held)} is a list here.", held.tool, key, kind=_kind(held), advice=advice
            )
        case _:
            return _other(held, "TypeError", key)


def _about_index(held: Result) -> _Doubt | None:
    if held.kind == "dict":
        return _other(held, "KeyError") if held.contents is not None else None
    return _other(held, "TypeError") if held.kind in ("int", "float", "bool") else None


def _about_attribute(held: Result, name: str) -> _Doubt | None:
    if held.kind not in _ATTRIBUTES or name in _ATTRIBUTES[held.kind]:
        return None
    if held.kind == "dict" and held.contents is not None and name in held.contents:
        advice = "Write ", f"[{name!r}]."
        message = f"{_source(held)} is a dict here."
        return _Doubt("AttributeError", message, held.tool, name, kind=_kind(held), advice=advice)
    doubt = _other(held, "AttributeError", name)
    if doubt is None or held.kind != "dict" or held.contents is None:
        return doubt
    return replace(doubt, keys=tuple(held.contents))


def _other(held: Result, error: str, key: str | None = None) -> _Doubt | None:
    said = _SAID.get(held.kind)
    message = f"{_source(held)} is {said} here."
    return None if said is None else _Doubt(error, message, held.tool, key, kind=_kind(held))


def _kind(held: Result) -> str | None:
    return None if held.path is None else f"#{held.kind}{held.path}"


@functools.lru_cache(maxsize=256)
def _closest(key: str, keys: tuple[str, ...], likeness: float) -> str | None:
    close = difflib.get_close_matches(key, keys, n=1, cutoff=likeness)
    return close[0] if close else None


def _source(held: Result) -> str:
    if not held.results:
        return f"what {held.tool} says that it returns"
    return f"what {held.tool} has returned so far ({held.results:,} result{'' if held.results == 1 else 's'})"
