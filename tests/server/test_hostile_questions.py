"""What a plan asks its host costs the host little, however much and however absurdly it asks."""

from __future__ import annotations

import time

import pytest

from planact_server.config import PolicySettings
from planact_server.content import Contents
from planact_server.plans.calls import PlanCalls, PlanRights
from planact_server.plans.helpers import LOOK_UPS
from planact_server.policy import Policy
from planact_server.sandbox import LimitReached, PlanFault, ToolRequest, Unresolved
from planact_server.toolbox import Toolbox
from planact_tools import ToolDefinition
from planact_tools.testing import MemoryToolset

Reports = list[tuple[str, float | None]]


def calls_of(toolbox: Toolbox, reports: Reports) -> PlanCalls:
    async def report(text: str, fraction: float | None) -> None:
        reports.append((text, fraction))

    rights = PlanRights(toolbox=toolbox, policy=Policy(PolicySettings()), start_seconds=5)
    return PlanCalls(rights, Contents(), report)


@pytest.fixture
def reports() -> Reports:
    return []


async def test_only_the_first_unknown_names_are_compared_with_the_known(reports: Reports) -> None:
    async with Toolbox([MemoryToolset("calendar")]) as toolbox:
        found = await calls_of(toolbox, reports).resolve([f"calendra{number}" for number in range(150)])

    hints = [entry.hint for entry in found.values() if isinstance(entry, Unresolved)]
    assert hints[0] == "Did you mean 'calendar'?"
    assert hints[-1] == ""


async def test_only_the_first_unknown_raw_names_are_compared_with_the_known(reports: Reports) -> None:
    toolset = MemoryToolset("calendar")
    toolset.add(ToolDefinition(name="list_events"), [])
    said: list[str] = []
    async with Toolbox([toolset]) as toolbox:
        calls = calls_of(toolbox, reports)
        for number in range(150):
            request = ToolRequest(
                call=number + 1, server=None, tool=f"list_event{number}", raw=True, positional=[], keywords={}, line=1
            )
            with pytest.raises(PlanFault) as fault:
                await calls.call(request)
            said.append(str(fault.value))

    assert said[0] == "There is no tool 'list_event0'. Did you mean 'list_events'?"
    assert said[-1] == "There is no tool 'list_event149'."


async def test_a_name_is_compared_with_few_of_a_thousand_tools(reports: Reports) -> None:
    toolset = MemoryToolset("things")
    for number in range(1_000):
        toolset.add(ToolDefinition(name=f"get_some_thing_of_kind_{number}"), [])
    async with Toolbox([toolset]) as toolbox:
        await toolbox.settle(seconds=5)
        calls = calls_of(toolbox, reports)
        await calls.resolve(["get_something"])  # makes the table of what can be meant
        started = time.process_time()
        found = await calls.resolve([f"get_some_thing_of_kind_{number}_" for number in range(30)])

    assert time.process_time() - started < 1
    assert found["get_some_thing_of_kind_7_"] == Unresolved(hint="Did you mean 'get_some_thing_of_kind_7'?")


async def test_looking_up_without_end_ends_the_plan(reports: Reports) -> None:
    async with Toolbox([MemoryToolset("calendar")]) as toolbox:
        calls = calls_of(toolbox, reports)
        for _ in range(LOOK_UPS):
            await calls.ask("describe", {"name": "calendar"})
        with pytest.raises(LimitReached, match="more than 500 times"):
            await calls.ask("search_tools", {"words": "x"})


@pytest.mark.parametrize(("fraction", "reported"), [(10**400, 1.0), (-(10**400), 0.0), (0.5, 0.5), (True, None)])
async def test_progress_is_bounded(reports: Reports, fraction: object, reported: float | None) -> None:
    async with Toolbox([]) as toolbox:
        await calls_of(toolbox, reports).ask("progress", {"text": "x" * 100_000, "fraction": fraction})  # type: ignore[dict-item]

    assert reports == [("x" * 1_000, reported)]
