"""Where the plans of an evaluation come from: a file, one completion each as published, or the whole planner."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from planact_quantized import BackendError, GenerateRequest, Message
from planact_quantized.prompt import system_prompt
from planact_server.evaluation.dpab import DPABError, lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from planact_quantized import Backend
    from planact_server.evaluation.dpab import Item
    from planact_server.planner import Ground, TaskPlanner, Trial
    from planact_tools import JSONObject

MAX_TOKENS = 1024
FATAL = ("unavailable", "model", "memory", "refused")
"""Faults of a backend that the next item would meet as well: the evaluation stops and can be gone on with."""

_FENCED = re.compile(r"```python(.*?)```", re.DOTALL)
_FENCE = "```"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What there is for one item."""

    plan: str | None
    trial: Trial | None = None
    """What it came to, where it was run while it was written."""

    error: str | None = None
    """Why there is no plan."""

    attempts: int = 1
    usage: JSONObject | None = None


class PlanSource(Protocol):
    """Something that has a plan for every item."""

    async def describe(self) -> JSONObject:
        """Say what writes the plans: results of another source do not belong in the same file."""
        ...

    async def plan(self, item: Item, ground: Ground) -> Written:
        """Return a plan for an item. Raises BackendError where no item would get one."""
        ...


class ReadyPlans:
    """Plans that somebody has written before: lines of {"row": 0, "plan": "…"}."""

    def __init__(self, plans: Mapping[int, str]) -> None:
        self._plans = plans

    @classmethod
    def read(cls, path: Path) -> ReadyPlans:
        """Read a file of plans. Raises DPABError naming the line."""
        plans: dict[int, str] = {}
        try:
            lines = lines_of(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DPABError(f"Cannot read {str(path)!r}: {error}") from None
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                read: object = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DPABError(f"{path.name}, line {number} is no JSON: {error}.") from None
            match read:
                case {"row": int() as row, "plan": str() as plan}:
                    plans[row] = plan
                case _:
                    raise DPABError(f'{path.name}, line {number} is no plan: it looks like {{"row": 0, "plan": "…"}}.')
        return cls(plans)

    async def describe(self) -> JSONObject:
        text = json.dumps(sorted(self._plans.items()))
        return {"from": "file", "digest": hashlib.sha256(text.encode()).hexdigest()[:16]}

    async def plan(self, item: Item, ground: Ground) -> Written:
        del ground
        plan = self._plans.get(item.row)
        return Written(plan=plan, error=None if plan is not None else "There is no plan for this row.")


class SinglePlans:
    """The published protocol: their prompt, their stubs, one greedy answer, whatever it is."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def describe(self) -> JSONObject:
        return {"from": "published", "model": (await self._backend.start()).model}

    async def plan(self, item: Item, ground: Ground) -> Written:
        del ground
        system = Message(role="system", content=system_prompt(item.stubs, version="evaluation"))
        request = GenerateRequest(messages=[system, Message(role="user", content=item.query)], max_tokens=MAX_TOKENS)
        try:
            done = await self._backend.generate(request)
        except BackendError as error:
            if error.fault in FATAL:
                raise
            return Written(plan=None, error=error.message)
        usage: JSONObject = {
            "prompt_tokens": done.usage.prompt_tokens,
            "generated_tokens": done.usage.generated_tokens,
            "seconds": round(done.usage.seconds, 3),
        }
        return Written(plan=published_code(done.candidates[0].text), usage=usage)


class PlannedPlans:
    """Planact's own protocol: write, run, repair, candidates, as for any task."""

    def __init__(self, planner: TaskPlanner, backend: Backend) -> None:
        self._planner = planner
        self._backend = backend

    async def describe(self) -> JSONObject:
        return {"from": "planner", "model": (await self._backend.start()).model}

    async def plan(self, item: Item, ground: Ground) -> Written:
        planned = await self._planner.carry_out(item.query, ground)
        if planned.error is not None:
            error = planned.error.message
        else:
            error = None if planned.plan is not None else f"An answer in words: {planned.text}"
        return Written(
            plan=planned.plan,
            trial=planned.trial,
            error=error,
            attempts=max(len(planned.attempts), 1),
            usage=ground.spending.as_json(),
        )


def published_code(completion: str) -> str:
    """Take the code out of an answer as the benchmark does: all Python blocks, or the whole text without a fence."""
    return "\n".join(_FENCED.findall(completion)) if _FENCE in completion else completion
