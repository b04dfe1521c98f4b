"""Functions that are written when a plan calls them.

A planner may leave a part of its plan open: a call of `todo_…`, which nobody has defined. When it is reached, the host
is asked for the source, with the values at hand; it is held to the same policy as any plan, defined and called.
"""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING, Any, Protocol

from planact_server.sandbox.inside import sealed
from planact_server.sandbox.inside.source import Refused, Text
from planact_server.sandbox.inside.tools import Placeholder

if TYPE_CHECKING:
    from collections.abc import Callable

    from planact_server.sandbox.inside.channel import Channel

SHOWN_BYTES = 20_000
"""How much of a call's arguments the author of a function gets to see."""


class AddCode(Protocol):
    """Checks and compiles source that only defines, and returns what it calls `name`. Raises Refused."""

    def __call__(self, text: Text, name: str, *, max_bytes: int, depth: int) -> Callable[..., Any]: ...


class Expansions:
    """What was written for the plans of one session."""

    def __init__(
        self, channel: Channel, *, add: AddCode, show: Callable[[dict[str, Any], int], dict[str, Any]]
    ) -> None:
        """`show` turns values into JSON within so many bytes."""
        self._channel = channel
        self._add = add
        self._show = show
        self._max_bytes = 0
        self._written: dict[str, Callable[..., Any]] = {}
        self._earlier: set[str] = set()
        """Names that were written for plans before the running one."""

    def begin_plan(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._earlier.update(self._written)
        self._written.clear()

    def may_rewrite(self, name: str) -> bool:
        """Say whether a name of the session stands for what was written for another plan."""
        return name in self._earlier and name not in self._written

    def placeholder(self, name: str, depth: int) -> Placeholder:
        """Return a function that is written when it is first called. In a plan, `depth` is 1."""
        return sealed.make(Placeholder, name, functools.partial(self._function, name, depth))

    def _function(self, name: str, depth: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
        if name not in self._written:
            given = {f"argument_{number}": value for number, value in enumerate(args, 1)} | kwargs
            shown = self._show(given, SHOWN_BYTES)
            answer = self._channel.ask("expand", {"name": name, "arguments": shown, "depth": depth})
            self._written[name] = self._define(name, answer["source"], answer["line"], depth)
        return self._written[name]

    def _define(self, name: str, source: str, line: int, depth: int) -> Callable[..., Any]:
        # Its lines count on from the plan's, behind which the answer shows it.
        text = Text("\n" * (line - 1) + source, f"<{name} of depth {depth} at line {line}>")
        try:
            return self._add(text, name, max_bytes=self._max_bytes + line, depth=depth)
        except Refused as refused:
            problem = refused.problems[0]
        # Raised out here, it does not carry the refusal to the plan as its context.
        where = f" (line {problem.line}: {problem.code_line})" if problem.code_line else ""
        message = f"{name}() is not defined, and what was written for it cannot be used: {problem.message}{where}"
        raise NameError(message, name=name)


def only_defines(tree: ast.Module, name: str) -> bool:
    """Say whether source does nothing but import and define, and defines `name` as a function."""
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return name in functions and len(functions) + len(imports) == len(tree.body)
