"""Choosing between several plans without running any of them: each is rehearsed, and what they call is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planact_server.planner.consensus import medoid, trace

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from planact_server.planner import Ground, Trial


async def best_plan(plans: Sequence[str], ground: Ground, *, without: Collection[str] = ()) -> str | None:
    """Return the plan that agrees most with the others; None where there is none to run.

    Every plan that may run has a vote, also each of several equal ones and those in `without`, which cannot be
    chosen. One whose rehearsal ends well goes before all that fail; stand-ins are made up, so failing there does not
    prove a plan wrong.
    """
    trials: dict[str, Trial] = {}
    for plan in dict.fromkeys(plans):
        trials[plan] = await ground.rehearse(plan)
        if trials[plan].outcome.status == "cancelled":
            return None
    voters = [plan for plan in plans if trials[plan].outcome.status != "refused"]
    eligible = [place for place, plan in enumerate(voters) if plan not in without]
    well = [place for place in eligible if trials[voters[place]].outcome.status == "ok"]
    if not eligible:
        return None
    traces = [trace(trials[plan].calls) for plan in voters]
    return voters[medoid(traces, among=well or eligible)]
