"""Who answers while a plan is read: for its names only."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from planact_server.sandbox import LimitReached, PlanHost, Resolution, ToolRequest, Unresolved
from planact_server.sandbox.monty import language

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_tools import JSONValue

_PYTHON = frozenset(dir(builtins)) - language.BUILTINS


class Names:
    """A host that is asked for names only, and remembers what it said."""

    def __init__(self, host: PlanHost) -> None:
        self.found: dict[str, Resolution] = {}
        self._host = host

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        asked = [name for name in names if name not in _PYTHON]
        answered: Mapping[str, Resolution] = await self._host.resolve(asked) if asked else {}
        missing = Unresolved(hint="It is one of Python's builtins that the engine 'monty' does not have.")
        found: dict[str, Resolution] = {
            name: missing if name in _PYTHON else answered.get(name, Unresolved()) for name in names
        }
        self.found |= found
        return found

    async def call(self, request: ToolRequest) -> JSONValue:
        raise LimitReached(f"A plan that is read called {request.tool!r}.")

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        del arguments
        raise LimitReached(f"A plan that is read asked for {helper!r}.")
