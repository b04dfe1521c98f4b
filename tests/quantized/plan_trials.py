"""A sandbox for plans that nobody thought about: the names that they read have values which bear nearly everything.

Those values are integers, so that a tool takes them, and are called, read, added and gone through as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from planact_quantized.grammar.plan_words import IMPORTABLE
from quantized.plan_constructs import FUNCTIONS  # noqa: TID251 - a folder of tests
from sandbox.inside.plan_worker import PlanWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

PARAMETERS = {each.name: [parameter.name for parameter in each.parameters] for each in FUNCTIONS}
SECONDS = 2.0

Ending: TypeAlias = Literal["ok", "error", "refused", "timeout", "limit", "lost"]
"""How a plan ended; "lost" is one that only killing ends."""

_BEARING = """
class Bearing(int):
    def __iter__(self):
        return iter((self, self))

    def __await__(self):
        return self
        yield

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        return None

    def __exit__(self, *error):
        return None

    def keys(self):
        return []
"""
_BACK = str.split(
    "__call__ __enter__ __getitem__ __setitem__ __delitem__ __lt__ __le__ __gt__ __ge__ __neg__ __pos__ __invert__"
)
_OPERATIONS = str.split("add sub mul matmul truediv floordiv mod pow lshift rshift and or xor")
ATTRIBUTES = ("max", "days", "name", "size")


def session(reads: Sequence[str]) -> str:
    """Return a plan that gives these names a value."""
    back = [*_BACK, *(f"__{side}{each}__" for each in _OPERATIONS for side in ("", "r", "i"))]
    lines = [_BEARING, *(f"    def {name}(self, *given, **named):\n        return self\n" for name in back)]
    lines += [f"    {name} = 1\n" for name in ATTRIBUTES]
    names = " = ".join(reads)
    imports = [f"from {module} import {', '.join(names)}" for module, names in IMPORTABLE.items()]
    return "\n".join([*imports, *lines, f"{names} = Bearing(0)\n"])


class Trials:
    """A sandbox in which plans are run. A plan begins with the names, or where the one before it ended."""

    def __init__(self, reads: Sequence[str]) -> None:
        self._names = session(reads)
        self._worker = PlanWorker()
        self._tools = {(name if "." in name else f"w.{name}"): _answer for name in PARAMETERS}
        self.reset()

    def reset(self) -> None:
        """Give the names their values again."""
        done = self._worker.run(self._names, self._tools, resolve=_resolve)
        assert done.status == "ok", done.done

    def run(self, plan: str) -> Ending:
        try:
            done = self._worker.run(plan, self._tools, resolve=_resolve, seconds=SECONDS, within=3 * SECONDS)
        except (TimeoutError, EOFError):
            self.close()
            self._worker = PlanWorker()
            self.reset()
            return "lost"
        return done.status  # type: ignore[return-value] - one of the worker's own

    def close(self) -> None:
        self._worker.close()


def _resolve(name: str) -> dict[str, Any]:
    if name == "git":
        return {"kind": "server", "server": "git"}
    if name not in PARAMETERS:
        return {"kind": "missing", "hint": ""}
    server, _, tool = name.rpartition(".")
    named = {"kind": "tool", "server": server or "w", "tool": tool, "parameters": PARAMETERS[name]}
    return {**named, "aliases": [], "open_keywords": False}


def _answer(*_: Any, **__: Any) -> dict[str, Any]:
    return {"days": [{"max": 20}], "rows": [1, 2]}
