"""One request from start to finish.

A request gets a session and a run; the plan goes to the session's worker; what it asks for is answered by
`PlanCalls`; what it leaves becomes the answer. A plan that fails is a result, never an exception.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planact_server.answer import Status, build_answer
from planact_server.calls import PlanCalls, PlanRights
from planact_server.request import PlanRequest, RequestError
from planact_server.runs import ProgressListener, Run, RunError, Runs
from planact_server.sandbox import EngineError, Limits, Outcome, PlanError
from planact_server.sessions import Recovered, Session, SessionError, Sessions

if TYPE_CHECKING:
    from planact_tools import JSONObject

logger = logging.getLogger(__name__)

NO_PLANNER = "The on-device planner is not part of this version."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a request came to: the whole answer, and the session whose contents it may refer to."""

    answer: JSONObject
    session: Session | None = None


class Executor:
    """Turns requests into answers."""

    def __init__(self, *, rights: PlanRights, sessions: Sessions, runs: Runs, limits: Limits) -> None:
        self._rights = rights
        self._sessions = sessions
        self._runs = runs
        self._limits = limits

    async def execute(self, request: PlanRequest, *, client: str, listener: ProgressListener | None = None) -> Reply:
        """Answer one request. Cancelling the await cancels the plan that it started."""
        try:
            run = self._begin(request, client)
        except (RequestError, SessionError, RunError) as error:
            return Reply(answer=refusal(error, session=request.session, run=request.run))
        try:
            answer = await self._runs.wait(run, seconds=request.wait_seconds, listener=listener)
        except asyncio.CancelledError:
            if request.run is None:
                await asyncio.shield(self._runs.cancel(run))
            raise
        if answer is None:
            answer = run.snapshot() if run.snapshot is not None else build_answer("running", run=run.handle)
        return Reply(answer=answer, session=self._sessions.find(run.session))

    def _begin(self, request: PlanRequest, client: str) -> Run:
        if request.run is not None:
            return self._runs.get(request.run, client)
        if request.task is not None:
            raise RequestError(f"`task`: {NO_PLANNER}", parameter="task", hint="Write the plan and send it as `code`.")
        if request.mode == "dry_run":
            raise RequestError(
                '`mode: "dry_run"` is not part of this version.',
                parameter="mode",
                hint="Leave `mode` out. Writes that you have not allowed are held back in any case.",
            )
        session = self._session(request, client)
        run = self._runs.create(session=session.handle, client=client)
        session.busy_with = run.handle
        limits = self._limits
        if request.timeout_seconds is not None:
            limits = replace(limits, seconds=request.timeout_seconds)
        self._runs.start(run, self._carry_out(run, session, request.code or "", limits))
        return run

    def _session(self, request: PlanRequest, client: str) -> Session:
        if request.session is None:
            return self._sessions.create(client)
        session = self._sessions.get(request.session, client)
        if session.busy_with is not None:
            raise SessionError(
                f"Session {session.handle!r} is busy with run {session.busy_with!r}."
                f' Wait for it: {{"run": "{session.busy_with}"}}.'
            )
        return session

    async def _carry_out(self, run: Run, session: Session, code: str, limits: Limits) -> None:
        calls = PlanCalls(self._rights, session.contents, run.report)
        run.snapshot = lambda: self._answer(
            "running", run, calls, session.worker.so_far() if session.worker is not None else Outcome(status="ok")
        )
        outcome, recovered = Outcome(status="cancelled", errors=(_CANCELLED,)), None
        try:
            outcome, recovered = await self._run_plan(run, session, calls, code, limits)
        finally:
            # Also when we are cut off: whoever waits gets what there is.
            session.absorb(outcome)
            session.busy_with = None
            answer = self._answer(_status(outcome, calls), run, calls, outcome, recovered=recovered)
            await self._runs.finish(run, answer)
            await self._sessions.keep(session)
        if outcome.worker_lost is not None:
            await self._sessions.drop_worker(session)

    async def _run_plan(
        self, run: Run, session: Session, calls: PlanCalls, code: str, limits: Limits
    ) -> tuple[Outcome, Recovered | None]:
        try:
            worker, recovered = await self._sessions.worker(session)
            run.interrupt = worker.interrupt
            return await worker.run(code, host=calls, limits=limits), recovered
        except EngineError as error:
            return _failed("EngineError", str(error)), None
        except Exception:  # whatever is wrong with us, whoever waits for the run gets an answer
            logger.exception("run %s failed", run.handle)
            return _failed("InternalError", "Planact failed to run the plan; its log says why."), None

    def _answer(
        self, status: Status, run: Run, calls: PlanCalls, outcome: Outcome, *, recovered: Recovered | None = None
    ) -> JSONObject:
        errors = [replace(error, call=calls.position(error.call)) for error in outcome.errors]
        return build_answer(
            status,
            session=run.session,
            run=run.handle,
            outcome=replace(outcome, errors=tuple(errors)),
            calls=calls.records(outcome.bindings),
            recovered={"kept": list(recovered.kept), "lost": list(recovered.lost)} if recovered else None,
        )


_CANCELLED = PlanError(type="CancelledError", message="The run was cancelled.")


def _failed(type: str, message: str) -> Outcome:
    return Outcome(status="error", errors=(PlanError(type=type, message=message),))


def refusal(error: Exception, *, session: str | None = None, run: str | None = None) -> JSONObject:
    """Return the answer to a request that could not be taken up."""
    parameter = error.parameter if isinstance(error, RequestError) else None
    hint = error.hint if isinstance(error, RequestError) else None
    entry = PlanError(type=type(error).__name__, message=str(error), parameter=parameter, hint=hint)
    return build_answer("error", session=session, run=run, outcome=Outcome(status="error", errors=(entry,)))


def _status(outcome: Outcome, calls: PlanCalls) -> Status:
    stopped_by = outcome.errors[0].call if outcome.status == "error" and outcome.errors else None
    if stopped_by is not None and calls.held_back(stopped_by):
        return "denied"
    return outcome.status
