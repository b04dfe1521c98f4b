"""What is doubtful about how a plan reads results, before it runs: keys, attributes and indices that no result has had.

What a tool returns is what its server says or what was learned, and neither is certain: nothing is refused for it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import hints
from planact_server.sandbox.inside.following import Following, Place, Result, place_of

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from planact_server.sandbox.inside.following import Scope
    from planact_server.sandbox.inside.scopes import Names
    from planact_server.sandbox.inside.source import Problem, Text

MOST_DOUBTS = 10

SILENT = "Doubt"
"""The type of a doubt about what would raise nothing: `x.get("misspelled")` is None."""

_MOST_KEYS = 20
_CODE_CHARS = 80

_ATTRIBUTES = {
    "list": frozenset(dir(list)),
    "dict": frozenset(dir(dict)),
    "str": frozenset({*dir(str), "text", "size"}),  # long texts are a `LargeText`
    "int": frozenset({*dir(int), *dir(float)}),
    "float": frozenset({*dir(int), *dir(float)}),
    "bool": frozenset(dir(bool)),
    "None": frozenset(dir(None)),
}
_SAID = {
    "list": "a list",
    "dict": "a dict",
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "a bool",
    "None": "None",
}


def doubts(names: Names, resolved: Mapping[str, Any], text: Text, known: Container[str]) -> list[Problem]:
    """Return what is doubtful about a plan that can be parsed, in the order of its lines, `MOST_DOUBTS` at most.

    The type of each is the exception that it would raise, or `SILENT`.
    """
    results: dict[Place, Result] = {}
    for spelled, call in names.calls:
        base, returns = spelled.partition(".")[0], resolved.get(spelled, {}).get("returns")
        if returns is not None and base not in names.bound and base not in known:
            results[place_of(call)] = Result(spelled, returns["shape"], returns["results"])
    if not results:
        return []
    # Its own tree: the one that was compiled has been rewritten by then.
    plan = Following(ast.parse(text.source), results)
    found: list[tuple[ast.expr, _Doubt]] = []
    for node, scope in plan.uses:
        doubt = None if plan.is_prepared(node) else _doubt(plan, node, scope)
        if doubt is not None:
            found.append((node, doubt))
    found.sort(key=lambda each: (each[0].lineno, each[0].col_offset))
    return [_problem(node, doubt, text) for node, doubt in found[:MOST_DOUBTS]]


@dataclass(frozen=True, slots=True)
class _Doubt:
    error: str
    message: str
    advice: str = ""
    """How to read it instead; `{}` stands for the value that is read."""


def _problem(node: ast.expr, doubt: _Doubt, text: Text) -> Problem:
    read = node.func if isinstance(node, ast.Call) else node
    value = _shown(read.value, text) if isinstance(read, ast.Attribute | ast.Subscript) else ""
    message = f"{_shown(node, text)}: {doubt.message}"
    return text.problem(node, doubt.error, message, doubt.advice.replace("{}", value) or None)


def _shown(node: ast.expr, text: Text) -> str:
    written = " ".join((ast.get_source_segment(text.source, node) or "").split())
    return written if len(written) <= _CODE_CHARS else f"{written[:_CODE_CHARS]}…"


def _doubt(plan: Following, node: ast.expr, scope: Scope) -> _Doubt | None:
    match node:
        case ast.Subscript(value=inner, slice=ast.Constant(value=str() | int() as key)) if key not in plan.own_keys:
            held = plan.value(inner, scope)
            return None if held is None else _about_key(held, key) if isinstance(key, str) else _about_index(held)
        case ast.Call(func=ast.Attribute(value=inner, attr="get"), args=[ast.Constant(value=str(key)), *_]):
            held = plan.value(inner, scope)
            if held is None or held.kind != "dict" or key in plan.own_keys:
                return None
            doubt = _about_key(held, key)
            return None if doubt is None else replace(doubt, error=SILENT)
        case ast.Attribute(value=inner, attr=name):
            held = plan.value(inner, scope)
            return None if held is None else _about_attribute(held, name)
        case _:
            return None


def _about_key(held: Result, key: str) -> _Doubt | None:
    match held.kind:
        case "dict" if held.contents is None or key in held.contents:
            return None
        case "dict":
            keys = list(held.contents)
            listed = ", ".join(map(repr, keys[:_MOST_KEYS])) + (", …" if len(keys) > _MOST_KEYS else "")
            advice = f"{hints.did_you_mean(key, keys)} Its keys: {listed}.".lstrip()
            return _Doubt("KeyError", f"there is no key {key!r} in {_source(held)}.", advice.replace("{}", "{ }"))
        case "list":
            return _Doubt("TypeError", f"{_source(held)} is a list here.", "Take one item, {}[0], or go through all.")
        case _:
            return _other(held, "TypeError")


def _about_index(held: Result) -> _Doubt | None:
    if held.kind == "dict":
        return _other(held, "KeyError") if held.contents is not None else None
    return _other(held, "TypeError") if held.kind in ("int", "float", "bool", "None") else None


def _about_attribute(held: Result, name: str) -> _Doubt | None:
    if held.kind not in _ATTRIBUTES or name in _ATTRIBUTES[held.kind]:
        return None
    if held.kind == "dict" and held.contents is not None and name in held.contents:
        return _Doubt("AttributeError", f"{_source(held)} is a dict here.", f"Write {{}}[{name!r}].")
    return _other(held, "AttributeError")


def _other(held: Result, error: str) -> _Doubt | None:
    said = _SAID.get(held.kind)
    return None if said is None else _Doubt(error, f"{_source(held)} is {said} here.")


def _source(held: Result) -> str:
    if not held.results:
        return f"what {held.tool} says that it returns"
    return f"what {held.tool} has returned so far ({held.results:,} result{'' if held.results == 1 else 's'})"
