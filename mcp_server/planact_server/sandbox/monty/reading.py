"""Reading a plan before Monty runs it: by the rules of the other engines, from the same code."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planact_server.sandbox import Resolution, ResolvedPlaceholder, ResolvedServer, ResolvedTool, Unresolved
from planact_server.sandbox.inside import checks, expected, scopes, source, trees
from planact_server.sandbox.inside.source import Refused, Text
from planact_server.sandbox.monty import facts, language
from planact_server.sandbox.monty.outline import Outline

if TYPE_CHECKING:
    import ast
    from collections.abc import Collection, Mapping, Sequence

    from planact_server.sandbox import PlanHost
    from planact_server.sandbox.inside.source import Problem

_PYTHON = frozenset(dir(builtins)) - language.BUILTINS
_NO_BUILTIN = Unresolved(hint="It is one of Python's builtins that the engine 'monty' does not have.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is to be known of a plan."""

    outline: Outline
    resolved: Mapping[str, Resolution]
    """What the host has for its names."""

    doubts: Sequence[Problem]


async def read(plan: str, filename: str, *, host: PlanHost, session: Collection[str], max_bytes: int) -> Reading:
    """Read a plan, and ask the host about its names. Raises Refused."""
    # Monty counts bytes of what it is given, Python lines however they end.
    text = Text(plan.replace("\r\n", "\n").replace("\r", "\n"), filename)
    tree = source.parse(text, max_bytes=max_bytes)
    try:
        return await _read(tree, text, host=host, session=session)
    except RecursionError:
        raise source.too_deep() from None


async def _read(tree: ast.Module, text: Text, *, host: PlanHost, session: Collection[str]) -> Reading:
    names = scopes.analyse(tree)
    known = {*session, *language.KNOWN}
    found = await _resolve(checks.outside_names(names, known), host)
    spelled = {name: _spelled_out(entry) for name, entry in found.items()}
    problems = [
        *checks.missing_imports(trees.walk(tree), text),
        *checks.undefined(names, spelled, text, session, language.KNOWN),
        *checks.wrong_uses(names, spelled, text, known),
    ]
    if problems:
        raise Refused(*problems)
    return Reading(
        outline=Outline(text.source, text.filename, facts.describe(tree, names, text)),
        resolved=found,
        doubts=expected.doubts(names, spelled, text, known, code=session),
    )


async def _resolve(names: Sequence[str], host: PlanHost) -> dict[str, Resolution]:
    asked = [name for name in names if name not in _PYTHON]
    answered: Mapping[str, Resolution] = await host.resolve(asked) if asked else {}
    return {name: _NO_BUILTIN if name in _PYTHON else answered.get(name, Unresolved()) for name in names}


def _spelled_out(entry: Resolution) -> dict[str, Any]:
    match entry:
        case ResolvedTool():
            known = entry.returns
            return {
                "kind": "tool",
                "parameters": list(entry.parameters),
                "aliases": list(entry.aliases),
                "open_keywords": entry.open_keywords,
                "returns": None if known is None else {"shape": known.shape, "results": known.results},
            }
        case ResolvedServer():
            return {"kind": "server"}
        case ResolvedPlaceholder():
            return {"kind": "placeholder"}
        case Unresolved():
            return {"kind": "missing", "hint": entry.hint}
