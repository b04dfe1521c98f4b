"""A plan judged as the benchmark's authors do: the functions stand in one namespace with the plan.

They execute a plan with `exec`, wrap each function to note that it returned, and compare the plan's variables with
the wanted values. The same happens here, inside the jail: nothing of it is executed on our side. Three plans of one
session: the functions with their notes, the plan, the comparison, which sees the plan's own objects (a tuple is no
list, a key 1 is no "1").

What differs from `exec` all the same: what the plan language refuses (an import outside its list, `eval`) does not run
at all, and a name that nothing defines raises when it is called, not when it is read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planact_server.evaluation.dpab import functions_in
from planact_server.evaluation.scoring import TOLERANCE, Score, nothing_found, score
from planact_server.sandbox import PlanFault, ResolvedPlaceholder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_server.evaluation.dpab import Item
    from planact_server.sandbox import Engine, Limits, Outcome, Resolution, ToolRequest
    from planact_tools import JSONValue

TYPING = "from typing import List, Dict, Any, Callable, Tuple, Union, Optional, Set"
"""What the functions' annotations name, and the authors put in scope."""

_NOTES = f"""
import json as _dpab_json
_dpab_returned = []
def _dpab_noting(name, function, note=_dpab_returned.append):
    def noted(*args, **kwargs):
        value = function(*args, **kwargs)
        note(name)
        return value
    return noted
def _dpab_matches(wanted, value, isinstance=isinstance, float=float, abs=abs):
    if isinstance(wanted, float) and isinstance(value, float):
        return abs(wanted - value) <= {TOLERANCE}
    try:
        return True if wanted == value else False
    except Exception:
        return False
def _dpab_judge(wanted, values, returned=_dpab_returned, loads=_dpab_json.loads, matches=_dpab_matches):
    found = []
    for each in loads(wanted):
        hit = False
        for value in values:
            hit = hit or matches(each, value)
        found.append(hit)
    return [found, returned]
"""
_HIDDEN = "_dpab_"


async def published_score(item: Item, plan: str, *, engine: Engine, limits: Limits) -> tuple[Score, Outcome]:
    """Run a plan as published, in a worker of its own. Raises EngineError when there is none to be had."""
    worker = await engine.worker()
    try:
        host = _NamesOnly()
        prepared = await worker.run(_preface(item), host=host, limits=limits)
        if prepared.status != "ok":
            return nothing_found(item.checklist), prepared
        outcome = await worker.run(plan, host=host, limits=limits)
        if not worker.alive:
            return nothing_found(item.checklist), outcome
        names = [name for name in outcome.variables if not name.startswith(_HIDDEN)]
        judged = await worker.run(_judge(item, names), host=host, limits=limits)
        return _read(item, judged), outcome
    finally:
        await worker.aclose()


def _preface(item: Item) -> str:
    noted = [f"{name} = _dpab_noting({name!r}, {name})" for name in functions_in(item.mocks)]
    return "\n".join([TYPING, item.mocks, _NOTES, *noted])


def _judge(item: Item, names: Sequence[str]) -> str:
    wanted = json.dumps(item.checklist.values)
    return f"_dpab_judge({wanted!r}, [{', '.join(names)}])"


def _read(item: Item, judged: Outcome) -> Score:
    """Read what the comparison gave. It comes from the jail: whatever has another shape counts as nothing found."""
    result = judged.result
    if judged.status != "ok" or not isinstance(result, list) or len(result) != 2:
        return nothing_found(item.checklist)
    found, returned = result
    if not isinstance(found, list) or not isinstance(returned, list) or len(found) != len(item.checklist.values):
        return nothing_found(item.checklist)
    functions = {name for name in returned if isinstance(name, str)}
    return score(item.checklist, values_found=[each is True for each in found], functions=functions)


class _NamesOnly:
    """A host without tools: an unknown name becomes a function that fails once it is called, as in plain Python."""

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        return {name: ResolvedPlaceholder() for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        raise PlanFault(f"name {request.tool!r} is not defined", type="NameError")

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        name = arguments.get("name", helper) if helper == "expand" else helper
        raise PlanFault(f"name {name!r} is not defined", type="NameError")
