"""One plan of the host's own carried out, and what any way of carrying out a request ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from planact_server.planner.spending import Spending
from planact_server.plans.calls import PlanCalls
from planact_server.plans.model_help import ModelHelp
from planact_server.plans.starting_point import StartingPoint
from planact_server.plans.substitutes import StandIns
from planact_server.sandbox import Limits, Outcome, PlanError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from planact_server.answer import Attempt, CallRecord, Status
    from planact_server.planner import TaskPlanner
    from planact_server.plans.call_log import CallLog
    from planact_server.plans.rights import PlanRights
    from planact_server.questions import Questions
    from planact_server.sandbox import Worker
    from planact_server.sessions import Recovered, Session, Sessions
    from planact_tools import JSONObject


MADE_UP = (
    "A dry run changes nothing, so that some results were made up (`stand_in` in `calls`): what failed over one of them"
    " may work in earnest."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a request is carried out."""

    rights: PlanRights
    sessions: Sessions
    session: Session
    report: Callable[[str, float | None], Awaitable[None]]
    questions: Questions
    planner: TaskPlanner | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What a request came to, or has come to so far."""

    status: Status
    outcome: Outcome
    calls: tuple[CallRecord, ...] = ()
    plan: str | None = None
    attempts: tuple[Attempt, ...] = ()
    warnings: tuple[str, ...] = ()
    recovered: Recovered | None = None
    progress: str | None = None
    """What is being done now, while it goes on."""

    usage: JSONObject | None = None
    """What the model's writing took: plans, functions for them, answers about data."""


class Work(Protocol):
    """A request being carried out."""

    async def carry_out(self) -> None:
        """Do it. Raises EngineError; `ending` has something to say all the same."""
        ...

    async def interrupt(self) -> None:
        """Stop soon, with what there is."""
        ...

    async def hold(self, calls: Collection[int]) -> None:
        """Say which of its calls wait for a person; their time is not the work's."""
        ...

    def so_far(self) -> Ending: ...

    def ending(self) -> Ending: ...

    @property
    def kept(self) -> Outcome | None:
        """What the session holds of it afterwards; None where it is as it was."""
        ...


class PlanWork:
    """One plan that the host has written: run, or run dry."""

    def __init__(self, site: Site, code: str, *, limits: Limits, dry: bool) -> None:
        self._site = site
        self._code = code
        self._limits = limits
        self._dry = dry
        self._start = StartingPoint(site.sessions, site.session)
        self._spending = Spending()
        self._calls = PlanCalls(
            site.rights,
            site.session.contents,
            site.report,
            substitutes=StandIns(everything=False, returns=site.rights.returns) if dry else None,
            model=ModelHelp(site.planner, self._spending) if site.planner is not None else None,
            questions=site.questions,
        )
        self._worker: Worker | None = None
        self._is_stopped = False
        self._outcome = Outcome(
            status="cancelled", errors=(PlanError(type="CancelledError", message="The run was cancelled."),)
        )
        self._recovered: Recovered | None = None

    async def carry_out(self) -> None:
        """Run the plan. Raises EngineError."""
        if self._dry:
            self._worker = await self._start.worker()
        else:
            self._worker, self._recovered = await self._site.sessions.worker(self._site.session)
        try:
            if not self._is_stopped:  # while its worker was still being started, or given its session back
                self._outcome = await self._worker.run(self._code, host=self._calls, limits=self._limits)
                self._calls.note_unmade(self._outcome.unmade)
        finally:
            if self._dry:
                await self._start.go_back()
                await self._start.forget()
                self._recovered = self._start.recovered

    async def interrupt(self) -> None:
        """Stop the plan soon, or do not begin with it."""
        self._is_stopped = True
        if self._worker is not None:
            await self._worker.interrupt()

    async def hold(self, calls: Collection[int]) -> None:
        """Say which calls of the plan wait for a person."""
        if self._worker is not None:
            await self._worker.hold(calls)

    def so_far(self) -> Ending:
        """Return what is known while the plan runs."""
        outcome = self._worker.so_far() if self._worker is not None else Outcome(status="ok")
        return Ending(status="running", outcome=outcome, calls=self._calls.records(outcome.bindings))

    def ending(self) -> Ending:
        """Return what the plan came to."""
        return Ending(
            status=status_of(self._outcome, self._calls.log),
            outcome=self._calls.placed(self._outcome),
            calls=self._calls.records(self._outcome.bindings),
            recovered=self._recovered,
            warnings=tuple(self._warnings()),
            usage=self._spending.as_json(),
        )

    def _warnings(self) -> Iterator[str]:
        if self._spending.warning:
            yield self._spending.warning
        if self._outcome.status == "error" and any(call.origin == "stand_in" for call in self._calls.log):
            yield MADE_UP

    @property
    def kept(self) -> Outcome | None:
        """What the session holds of it now."""
        return None if self._dry else self._outcome


def status_of(outcome: Outcome, log: CallLog) -> Status:
    """Return the answer's status: a plan that ended over a call which the policy stopped was denied."""
    stopped_by = outcome.errors[0].call if outcome.status == "error" and outcome.errors else None
    return "denied" if stopped_by is not None and log.held_back(stopped_by) else outcome.status
