"""The first task of a new model: its answer is known, and what is not that answer is not taken for it."""

from pathlib import Path

import anyio
import pytest

from planact_server.cli.models.trial import Trial, shortcoming, try_task
from planact_server.config import Config
from planact_server.config.schema import PackSpec, PlannerSettings
from planact_tools import JSONObject
from quantized.model_server import serving  # noqa: TID251 - a folder of tests

RIGHT = "rows = 7\ntotal = rows * seats_in_row()"


async def trial_of(text: str, tmp_path: Path) -> Trial:
    """Let a model say a text to the task, whatever it is told."""
    async with serving("m") as server:
        server.chat(lambda exchange: exchange.says(text))
        planner = PlannerSettings(backend="openai", base_url=server.url, model="m", attempts=1, candidates=0)
        broken = PackSpec(spec="./nowhere.py", base=tmp_path, origin="the user's own")
        with anyio.fail_after(30):
            return await try_task(Config(state=tmp_path / "state", planner=planner, packs=(broken,)))


def plan(code: str) -> str:
    return f"I multiply.\n```python\n{code}\n```"


async def test_the_right_plan_passes_through_the_sandbox_and_the_tool(tmp_path: Path, capsys) -> None:
    trial = await trial_of(plan(RIGHT), tmp_path)
    assert (trial.wrote, trial.shortcoming) == (True, ""), trial.answer
    assert trial.answer["variables"] == {"rows": 7, "total": 42}
    assert [call["function"] for call in trial.answer["calls"]] == ["seats_in_row"]
    assert "nowhere" not in capsys.readouterr().err, "what the user has connected has no part in it"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("It has 42 seats.", "it answered in words instead of with a plan"),
        (plan("total = 8 * seats_in_row()"), "its plan came to something else"),
        ("```python\ntotal =", "it wrote no plan that could be read"),
    ],
)
async def test_what_is_not_that_is_told_apart(tmp_path: Path, text: str, wrong: str) -> None:
    trial = await trial_of(text, tmp_path)
    assert (trial.wrote, trial.shortcoming) == (True, wrong)


CALLED = {"status": "ok", "plan": "…", "calls": [{"function": "seats_in_row", "ok": True}], "variables": {}}


@pytest.mark.parametrize(
    ("left", "wrong"),
    [
        ({"result": "42 seats"}, ""),
        ({"output": "It has 42.\n"}, ""),
        ({"variables": {"seats": [{"all": 42.0}]}}, ""),
        ({"variables": {"seats": 420, "text": "1.42 or 42,5", "yes": True}}, "its plan came to something else"),
        ({"result": 42, "calls": []}, "its plan did not call seats_in_row"),
        ({"result": 42, "status": "timeout"}, "its plan failed"),
    ],
)
def test_the_number_counts_wherever_the_plan_leaves_it(left: JSONObject, wrong: str) -> None:
    assert shortcoming(CALLED | left) == wrong


async def test_a_model_that_cannot_be_asked_has_written_nothing(tmp_path: Path) -> None:
    async with serving("m") as server:
        url = server.url
    planner = PlannerSettings(backend="openai", base_url=url, model="m")
    with anyio.fail_after(30):
        trial = await try_task(Config(state=tmp_path / "state", planner=planner))
    assert (trial.wrote, trial.answer["status"]) == (False, "error")
