"""What the engine `monty` makes of the programs that mean in a plan what they mean in Python.

python tests/sandbox/host/monty_language.py          prints those that it does not run alike, and why
"""

from __future__ import annotations

import ast
import asyncio
import datetime as dt
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planact_server.sandbox import Limits, Unresolved
from planact_server.sandbox.host import open_engine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_server.sandbox import Resolution, ToolRequest
    from planact_tools import JSONValue

INSIDE = Path(__file__).parent.parent / "inside"
FILES = ("same_as_python.txt", "same_as_python_in_depth.txt")


class NoTools:
    """A host that has nothing."""

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        return {name: Unresolved() for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        raise AssertionError(request)

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        raise AssertionError(helper)


def programs() -> dict[str, str]:
    texts = [(INSIDE / file).read_text(encoding="utf-8") for file in FILES]
    sections = [section for text in texts for section in text.split("\n### ")[1:]]
    return {name: source.strip() for name, _, source in (section.partition("\n") for section in sections)}


async def differences(chosen: Mapping[str, str]) -> dict[str, str]:
    """Return name → why, for the programs that do not give what they give in Python."""
    engine = open_engine("monty", limits=Limits(), warm_workers=1)
    found: dict[str, str] = {}
    try:
        for name, source in chosen.items():
            worker = await engine.worker()
            outcome = await worker.run(source, host=NoTools(), limits=Limits(seconds=10))
            await worker.aclose()
            if outcome.status != "ok":
                found[name] = f"{outcome.errors[0].type}: {outcome.errors[0].message}"
            elif outcome.result != (expected := jsonable(await in_python(source))):
                found[name] = f"{outcome.result!r:.100} instead of {expected!r:.100}"
    finally:
        await engine.aclose()
    return found


async def in_python(source: str) -> Any:
    tree = ast.parse(source)
    last = tree.body[-1]
    assert isinstance(last, ast.Expr)
    tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("_result", ast.Store())], last.value), last)
    names: dict[str, Any] = {"__name__": "__main__"}
    code = compile(ast.fix_missing_locations(tree), "python", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    value = await asyncio.to_thread(eval, code, names)  # in a thread: some call asyncio.run() themselves
    if inspect.iscoroutine(value):
        await value
    return names["_result"]


def jsonable(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    return value.isoformat() if isinstance(value, dt.date | dt.time) else value


async def _print() -> None:
    chosen = programs()
    found = await differences(chosen)
    for name, why in found.items():
        sys.stdout.write(f"{name}: {why}\n")
    sys.stdout.write(f"{len(chosen) - len(found)} of {len(chosen)} programs mean what they mean in Python.\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(_print()))
