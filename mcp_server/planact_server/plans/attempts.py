"""A task carried out: the ground on which a planner's plans are rehearsed and run, and what came of it.

The clock of the request covers planning and running. Whenever it is cut off (deadline, cancellation, a planner that
fails), what the last plan did is in the answer all the same.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from planact_server.answer import Attempt
from planact_server.planner import Planned, TaskPlanner, Trial
from planact_server.planner.spending import Spending
from planact_server.plans.calls import PlanCalls
from planact_server.plans.model_help import GrowingPlan, ModelHelp
from planact_server.plans.starting_point import StartingPoint
from planact_server.plans.substitutes import Journal, StandIns
from planact_server.plans.work import Ending, Site, status_of
from planact_server.sandbox import Limits, Outcome, PlanError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from planact_server.answer import Status
    from planact_server.catalog.catalog import Catalog
    from planact_server.plans.call_log import LoggedCall
    from planact_server.sandbox import Worker
    from planact_tools import JSONValue

logger = logging.getLogger(__name__)

REHEARSAL_SECONDS = 20.0
"""A plan whose calls cost nothing has no reason to take longer."""

GIVE_UP_SECONDS = 3.0
"""How long a planner that was told to stop may take for it."""

LEAST_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tried:
    """One plan that was run in earnest."""

    plan: GrowingPlan
    trial: Trial
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Running:
    """One plan that is running in earnest."""

    plan: GrowingPlan
    calls: PlanCalls
    worker: Worker


class Attempts:
    """Carries out one task: a `Ground` for the planner."""

    def __init__(
        self, site: Site, planner: TaskPlanner, task: str, *, limits: Limits, dry: bool, open_names: bool
    ) -> None:
        """`dry`: nothing is changed. `open_names`: plans may call functions that are still to be written."""
        self._site = site
        self._planner = planner
        self._task = task
        self._limits = limits
        self._dry = dry
        self._open_names = open_names
        self._start = StartingPoint(site.sessions, site.session)
        self._variables = dict(site.session.variables)
        self._functions = site.session.functions
        self._spending = Spending()
        self._catalog = site.rights.toolbox.catalog
        self._journal = Journal()
        self._tried: list[_Tried] = []
        self._standing: _Tried | None = None
        """The attempt whose effects the session holds."""

        self._running: _Running | None = None
        self._planning: asyncio.Task[Planned] | None = None
        self._planned: Planned | None = None
        self._given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopped: Literal["cancelled", "timeout"] | None = None
        self._stage = "reading tools"
        self._deadline = asyncio.get_running_loop().time() + limits.seconds
        self._alarm: asyncio.TimerHandle | None = None
        self._still_since: float | None = None
        """While a person is being asked."""

    # ---- what the planner sees ------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    @property
    def variables(self) -> Mapping[str, JSONValue]:
        return self._variables

    @property
    def functions(self) -> Sequence[str]:
        return self._functions

    @property
    def spending(self) -> Spending:
        return self._spending

    async def rehearse(self, plan: str) -> Trial:
        """Run a plan with every call answered by a stand-in; nothing of it stays."""
        self._refuse_when_given_up()
        calls = PlanCalls(
            self._site.rights,
            self._site.session.contents,
            _unheard,
            substitutes=StandIns(everything=True, returns=self._site.rights.returns),
            model=ModelHelp(self._planner, self._spending),
            growing=GrowingPlan(plan, self._planner, self._spending) if self._open_names else None,
            catalog=self._catalog,
        )
        self._standing = None
        worker = await self._start.worker()
        limits = replace(self._limits, seconds=min(REHEARSAL_SECONDS, self._seconds_left()))
        outcome = await worker.run(plan, host=calls, limits=limits)
        if self._is_over():
            self._give_up()
        return Trial(outcome=calls.placed(outcome), calls=calls.records(outcome.bindings), final=self._is_over())

    async def attempt(self, plan: str) -> Trial:
        """Run a plan in earnest, from the session as it was before the first attempt."""
        self._refuse_when_given_up()
        growing = GrowingPlan(plan, self._planner, self._spending)
        self._journal.begin_attempt()
        calls = PlanCalls(
            self._site.rights,
            self._site.session.contents,
            self.report,
            substitutes=StandIns(everything=False, returns=self._site.rights.returns) if self._dry else self._journal,
            model=ModelHelp(self._planner, self._spending),
            growing=growing if self._open_names else None,
            catalog=self._catalog,
            questions=self._site.questions,
        )
        self._standing = None
        worker = await self._start.worker()
        self._running = _Running(plan=growing, calls=calls, worker=worker)
        outcome = Outcome(status="cancelled", errors=(_stopped_error("cancelled"),))
        try:
            outcome = await worker.run(plan, host=calls, limits=replace(self._limits, seconds=self._seconds_left()))
            calls.note_unmade(outcome.unmade)
        finally:
            # Also when we are cut off: what was written stays written.
            self._running = None
            self._journal.end_attempt(calls.log)
            tried = self._record(growing, calls, outcome)
        if self._is_over():
            self._give_up()  # whatever the planner would do next, nobody waits for it
        return tried.trial

    async def report(self, text: str, fraction: float | None = None) -> None:
        """Tell whoever waits how far it is."""
        self._stage = text
        await self._site.report(text, fraction)

    # ---- what the executor sees -----------------------------------------------------------------------------------

    async def carry_out(self) -> None:
        """Plan and run until there is an ending. Raises EngineError."""
        self._planning = asyncio.create_task(self._plan(), name="planning")
        self._set_alarm()
        try:
            await asyncio.wait([self._planning, self._given_up], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            await self._end_planning(self._planning)
            if self._standing is None or self._dry:
                await self._start.go_back()
            await self._start.forget()
        if self._planning.done() and not self._planning.cancelled():
            self._planned = self._planning.result()

    async def interrupt(self) -> None:
        """Stop soon; what the last plan did is in the answer."""
        self._stopped = self._stopped or "cancelled"
        if self._running is not None:
            await self._running.worker.interrupt()
        else:
            self._give_up()

    async def hold(self, calls: Collection[int]) -> None:
        """Say which calls of the plan wait for a person: meanwhile the task's clock stands still."""
        now = asyncio.get_running_loop().time()
        if calls:
            self._still_since = now if self._still_since is None else self._still_since
        elif self._still_since is not None:
            self._deadline += now - self._still_since
            self._still_since = None
            self._set_alarm()
        if self._running is not None:
            await self._running.worker.hold(calls)

    def so_far(self) -> Ending:
        """Return what is known while it goes on."""
        running = self._running
        if running is None:
            return replace(self._ending_of(self._tried[-1] if self._tried else None), progress=self._stage)
        outcome = running.worker.so_far()
        return Ending(
            status="ok",
            outcome=outcome,
            calls=running.calls.records(outcome.bindings),
            plan=running.plan.text,
            attempts=(*self._attempts(), Attempt(plan=running.plan.text)),
            progress=self._stage,
        )

    def ending(self) -> Ending:
        """Return what the task came to."""
        planned, last = self._planned, self._tried[-1] if self._tried else None
        if planned is None:
            return self._cut_off(last)
        if planned.text is not None:
            said = Outcome(status="ok", result=planned.text, has_result=True)
            return self._complete(Ending(status="ok", outcome=said), planned)
        if planned.trial is not None:
            tried = next((each for each in self._tried if each.trial is planned.trial), last)
            return self._complete(self._ending_of(tried), planned)
        error = planned.error or PlanError(type="PlanningError", message="The planner came to nothing.")
        before = self._ending_of(last)
        outcome = replace(before.outcome, status="error", errors=(*before.outcome.errors, error))
        return self._complete(replace(before, status="error", outcome=outcome), planned)

    @property
    def kept(self) -> Outcome | None:
        """What the session holds of it now."""
        return self._standing.trial.outcome if self._standing is not None and not self._dry else None

    # ---- planning and running -------------------------------------------------------------------------------------

    async def _plan(self) -> Planned:
        await self.report("reading tools")
        await self._site.rights.toolbox.settle(seconds=self._site.rights.start_seconds)
        self._catalog = self._site.rights.toolbox.catalog
        return await self._planner.carry_out(self._task, self)

    async def _end_planning(self, planning: asyncio.Task[Planned]) -> None:
        if not planning.done():
            planning.cancel()
            _, still = await asyncio.wait([planning], timeout=GIVE_UP_SECONDS)
            if still:
                logger.warning("the planner did not stop within %g s", GIVE_UP_SECONDS)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(self._deadline, self._time_is_up)

    def _time_is_up(self) -> None:
        # A plan that runs has the same deadline, and ends by itself.
        if self._running is None:
            self._stopped = self._stopped or "timeout"
            self._give_up()

    def _give_up(self) -> None:
        """Wait for the planner no longer."""
        if not self._given_up.done():
            self._given_up.set_result(None)

    def _refuse_when_given_up(self) -> None:
        # A planner that is slow to stop; its session may be somebody else's by now.
        if self._given_up.done():
            raise asyncio.CancelledError

    def _seconds_left(self) -> float:
        return max(LEAST_SECONDS, self._deadline - asyncio.get_running_loop().time())

    def _is_over(self) -> bool:
        return self._stopped is not None or asyncio.get_running_loop().time() >= self._deadline

    def _record(self, growing: GrowingPlan, calls: PlanCalls, outcome: Outcome) -> _Tried:
        status = status_of(outcome, calls.log)
        placed = calls.placed(outcome)
        trial = Trial(
            outcome=placed,
            calls=calls.records(outcome.bindings),
            final=status in ("cancelled", "denied", "approval_required") or self._is_over(),
        )
        tried = _Tried(plan=growing, trial=trial, status=status)
        self._tried.append(tried)
        self._standing = tried
        return tried

    # ---- endings --------------------------------------------------------------------------------------------------

    def _cut_off(self, last: _Tried | None) -> Ending:
        """Return the ending of a task that was stopped while a plan was written, or while it ran."""
        ending = self._ending_of(last)
        if last is not None and last is self._standing and last.status in ("ok", "cancelled", "timeout"):
            return self._complete(ending, None)
        status = self._stopped or ("timeout" if self._is_over() else "cancelled")
        outcome = replace(ending.outcome, status=status, errors=(_stopped_error(status, self._stage),))
        return self._complete(replace(ending, status=status, outcome=outcome), None)

    def _ending_of(self, tried: _Tried | None) -> Ending:
        if tried is None:
            return Ending(status="ok", outcome=Outcome(status="ok"))
        outcome = tried.trial.outcome
        if tried is not self._standing and not self._dry:
            outcome = replace(outcome, variables={}, deleted=(), functions=())
        return Ending(
            status=tried.status,
            outcome=outcome,
            calls=tried.trial.calls,
            plan=tried.plan.text,
            attempts=self._attempts(),
        )

    def _attempts(self) -> tuple[Attempt, ...]:
        return tuple(Attempt(plan=each.plan.text, errors=each.trial.outcome.errors) for each in self._tried)

    def _complete(self, ending: Ending, planned: Planned | None) -> Ending:
        """Add what the planner knows, and what a person has to."""
        attempts = self._grown(planned.attempts) if planned is not None and planned.attempts else ending.attempts
        warnings = list(planned.warnings if planned is not None else ())
        if self._spending.warning is not None and self._spending.warning not in warnings:
            warnings.append(self._spending.warning)
        warnings += [_still_done(call) for call in self._journal.left_over()]
        if self._start.unsettled and len(self._tried) > 1:
            names = ", ".join(self._start.unsettled)
            warnings.append(f"What earlier attempts took from {names} stays taken: that cannot be put back.")
        return replace(
            ending,
            attempts=attempts,
            warnings=tuple(warnings),
            recovered=self._start.recovered,
            usage=self._spending.as_json(),
        )

    def _grown(self, attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
        """Return the planner's attempts with what was written while they ran."""
        grown = {each.plan.original: each.plan.text for each in self._tried}
        return tuple(replace(attempt, plan=grown.get(attempt.plan, attempt.plan)) for attempt in attempts)


def _stopped_error(status: str, stage: str = "") -> PlanError:
    where = f" while the planner was busy with: {stage}" if stage else ""
    if status == "timeout":
        return PlanError(
            type="TimeoutError",
            message=f"The deadline passed{where}.",
            hint="Raise `timeout_seconds`, which covers planning and running, or ask for less.",
        )
    return PlanError(type="CancelledError", message=f"The run was cancelled{where}.")


def _still_done(call: LoggedCall) -> str:
    arguments = ", ".join(f"{name}={value!r:.60}" for name, value in call.arguments.items())
    what = "may have made" if call.unknown else "made"
    called = f"{call.server}.{call.function.rpartition('.')[2]}({arguments})"
    return f"An earlier attempt {what} {called}, and the plan that ran last did not ask for it again: it stays done."


async def _unheard(_text: str, _fraction: float | None) -> None:
    """Nobody is told of a rehearsal."""
