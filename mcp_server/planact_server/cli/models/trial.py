"""A first task for a model, with an answer that can be checked: one local tool, one plan, one number."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from planact_server.config import PackSpec, PolicySettings

if TYPE_CHECKING:
    from planact_server.config import Config
    from planact_tools import JSONObject, JSONValue

TASK = "The theatre has 7 rows. Compute how many seats it has in all; seats_in_row() says how many one row has."
"""Small enough for any model; without the tool nobody knows."""

ANSWER = 42
_TOOL = "seats_in_row"
_PACK = Path(__file__).with_name("theatre.py")
_NUMBER = re.compile(rf"(?<![\d.,]){ANSWER}(?![\d]|[.,]\d)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a model's first task came to."""

    answer: JSONObject
    """As `run_python_actions` gives it."""

    wrote: bool
    """The model wrote something. Where it did not, there is a fault that has nothing to do with how good it is."""

    shortcoming: str
    """What was wrong with what it wrote, to complete "the answer was not 42: …"; empty where it was right."""


async def try_task(config: Config) -> Trial:
    """Have the configured planner carry out the task, with the one tool and nothing else of the user's."""
    from planact_server.cli.run import run_request
    from planact_server.request import read_request

    alone = dataclasses.replace(
        config,
        packs=(PackSpec(spec=str(_PACK), base=_PACK.parent, origin="the trial"),),
        mcp_files=(),
        policy=PolicySettings(allow=(f"{_PACK.stem}.{_TOOL}",)),
    )
    answer = await run_request(alone, read_request({"task": TASK, "wait_seconds": 86_400}))
    return Trial(answer=answer, wrote="usage" in answer, shortcoming=shortcoming(answer))


def shortcoming(answer: JSONObject) -> str:
    """Return what is wrong with an answer to the task; nothing where it is right."""
    if answer["status"] == "ok" and "plan" not in answer:
        return "it answered in words instead of with a plan"
    if "plan" not in answer:
        return "it wrote no plan that could be read"
    if answer["status"] != "ok":
        return "its plan failed"
    if not _called(answer.get("calls")):
        return f"its plan did not call {_TOOL}"
    found = [answer.get("result"), answer.get("output"), answer.get("variables")]
    return "" if any(map(_holds, found)) else "its plan came to something else"


def _called(calls: JSONValue) -> bool:
    made = calls if isinstance(calls, list) else []
    return any(isinstance(call, dict) and call.get("function") == _TOOL and call.get("ok") for call in made)


def _holds(value: JSONValue) -> bool:
    """Say whether the number is in a value, also in words about it."""
    match value:
        case bool() | None:
            return False
        case int() | float():
            return value == ANSWER
        case str():
            return _NUMBER.search(value) is not None
        case list():
            return any(map(_holds, value))
        case _:
            return any(map(_holds, value.values()))
