"""Reading a plan before Monty runs it: by the rules of the other engines, from the same code."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from planact_server.sandbox import Resolution, ResolvedPlaceholder, ResolvedServer, ResolvedTool, Unresolved
from planact_server.sandbox.inside import checks, scopes, source, trees
from planact_server.sandbox.inside.source import Refused, Text
from planact_server.sandbox.monty import facts, language
from planact_server.sandbox.monty.outline import Outline

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from planact_server.sandbox import PlanHost

_PYTHON = frozenset(dir(builtins)) - language.BUILTINS
_NO_BUILTIN = Unresolved(hint="It is one of Python's builtins that the engine 'monty' does not have.")


async def read(
    plan: str, filename: str, *, host: PlanHost, session: Collection[str], max_bytes: int
) -> tuple[Outline, dict[str, Resolution]]:
    """Return what is to be known of a plan, and what the host has for its names. Raises Refused."""
    # Monty counts bytes of what it is given, Python lines however they end.
    text = Text(plan.replace("\r\n", "\n").replace("\r", "\n"), filename)
    tree = source.parse(text, max_bytes=max_bytes)
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
    return Outline(text.source, filename, facts.describe(tree, names, text)), found


async def _resolve(names: Sequence[str], host: PlanHost) -> dict[str, Resolution]:
    asked = [name for name in names if name not in _PYTHON]
    answered: Mapping[str, Resolution] = await host.resolve(asked) if asked else {}
    return {name: _NO_BUILTIN if name in _PYTHON else answered.get(name, Unresolved()) for name in names}


def _spelled_out(entry: Resolution) -> dict[str, Any]:
    match entry:
        case ResolvedTool():
            parameters, aliases = list(entry.parameters), list(entry.aliases)
            return {"kind": "tool", "parameters": parameters, "aliases": aliases, "open_keywords": entry.open_keywords}
        case ResolvedServer():
            return {"kind": "server"}
        case ResolvedPlaceholder():
            return {"kind": "placeholder"}
        case Unresolved():
            return {"kind": "missing", "hint": entry.hint}
