"""One request from start to finish.

A request gets a session and a run. Its plan goes to the session's worker (`PlanWork`), or its task to the planner,
whose plans go there (`Attempts`); what comes of it becomes the answer. A plan that fails is a result, never an
exception.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planact_server.answer import build_answer
from planact_server.plans.attempts import Attempts
from planact_server.plans.work import Ending, PlanWork, Site, Work
from planact_server.questions import ASKED_AGAIN_SECONDS, NO_HOST, Host
from planact_server.request import PlanRequest, RequestError
from planact_server.runs import CANCEL_SECONDS, ProgressListener, Run, RunError, Runs
from planact_server.sandbox import RESULT, EngineError, Outcome, PlanError, WeakJailError
from planact_server.sessions import KEPT_BYTES, Session, SessionError, Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planact_server.generation import Generation, Generations
    from planact_server.questions import Begun, Question
    from planact_tools import JSONObject, JSONValue

logger = logging.getLogger(__name__)

TOGETHER_SECONDS = 0.1
"""Questions that come within so long are one round of a host that asks in turns."""

NO_PLANNER = "There is no planner here that could write a plan."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a request came to: the whole answer, and the session whose contents it may refer to."""

    answer: JSONObject
    session: Session | None = None
    run: str | None = None
    questions: tuple[Question, ...] = ()
    """What has to be asked before there is an answer, by a host that asks in turns."""


class Executor:
    """Turns requests into answers."""

    def __init__(
        self,
        *,
        generations: Generations,
        sessions: Sessions,
        runs: Runs,
    ) -> None:
        self._generations = generations
        self._sessions = sessions
        self._runs = runs

    async def execute(
        self,
        request: PlanRequest,
        *,
        client: str,
        listener: ProgressListener | None = None,
        host: Host = NO_HOST,
        begun: Begun | None = None,
    ) -> Reply:
        """Answer one request. Cancelling the await cancels the plan that it started.

        `host`: who brings questions to a person. `begun`: the request comes again, with answers to the questions that
        it ended with.
        """
        try:
            if begun is not None:
                run = self._runs.get(begun.run, client)
                for question, result in begun.answers.items():
                    run.questions.answer(question, result)
            else:
                await self._until_free(request, client)
                run = self._begin(request, client, host)
        except (RequestError, SessionError, RunError) as error:
            return Reply(
                answer=refusal(error, session=request.session, run=request.run or (begun.run if begun else None))
            )
        try:
            answer = await self._wait(run, request, listener, host)
        except asyncio.CancelledError:
            if request.run is None:
                run.unwanted = True  # at once: the client's next request may come before anything else happens
                await asyncio.shield(self._runs.cancel(run))
            raise
        if answer is None:
            asked = run.questions.open if host.in_turns else ()
            snapshot = run.snapshot() if run.snapshot is not None else build_answer("running", run=run.handle)
            return Reply(answer=snapshot, session=self._sessions.find(run.session), run=run.handle, questions=asked)
        return Reply(answer=answer, session=self._sessions.find(run.session))

    async def _wait(
        self, run: Run, request: PlanRequest, listener: ProgressListener | None, host: Host
    ) -> JSONObject | None:
        """Return the answer; None when it takes longer than the request waits, or than a person has to be asked."""
        loop = asyncio.get_running_loop()
        end = loop.time() + request.wait_seconds
        while True:
            left = max(0.0, end - loop.time())
            answer = await self._runs.wait(
                run, seconds=left, listener=listener, until=lambda: bool(run.questions.unasked)
            )
            if answer is not None or not run.questions.unasked or not host.modes:
                return answer
            if not host.in_turns:
                run.questions.bring_to(host)
                continue
            # With what the calls beside it are about to ask.
            answer = await self._runs.wait(run, seconds=min(TOGETHER_SECONDS, left), listener=listener)
            if answer is not None or run.questions.unasked:
                return answer

    async def _until_free(self, request: PlanRequest, client: str) -> None:
        """Wait where the session's last run was cancelled and has not ended yet. Raises SessionError, RunError."""
        if request.session is None or request.run is not None:
            return
        session = self._sessions.get(request.session, client)
        if session.busy_with is not None:
            await asyncio.sleep(0)  # a cancellation that was on its way before this request arrives first
        run = self._runs.get(session.busy_with, client) if session.busy_with is not None else None
        if run is not None and run.unwanted:
            await self._runs.wait(run, seconds=2 * CANCEL_SECONDS)

    def _begin(self, request: PlanRequest, client: str, host: Host) -> Run:
        if request.run is not None:
            run = self._runs.get(request.run, client)
            if host.modes:
                run.questions.modes = host.modes
                run.questions.take_back(older_than=ASKED_AGAIN_SECONDS)
            return run
        if request.task is not None and self._generations.current.planner is None:
            raise RequestError(f"`task`: {NO_PLANNER}", parameter="task", hint="Write the plan and send it as `code`.")
        session = self._session(request, client)
        run = self._runs.create(session=session.handle, client=client)
        session.busy_with = run.handle
        run.questions.modes = host.modes
        if host.owner is not None:
            run.questions.owner = host.owner
        generation = self._generations.take()
        task = self._runs.start(run, self._carry_out(run, session, self._work(run, session, request, generation)))
        task.add_done_callback(lambda _: self._generations.give_back(generation))
        return run

    def _work(self, run: Run, session: Session, request: PlanRequest, generation: Generation) -> Work:
        limits, planner = generation.limits, generation.planner
        if request.timeout_seconds is not None:
            limits = replace(limits, seconds=request.timeout_seconds)
        site = Site(
            rights=generation.rights,
            sessions=self._sessions,
            session=session,
            report=run.report,
            questions=run.questions,
            planner=planner,
        )
        dry = request.mode == "dry_run"
        if request.task is not None and planner is not None:
            open_names = generation.config.planner.expansion
            return Attempts(site, planner, request.task, limits=limits, dry=dry, open_names=open_names)
        return PlanWork(site, request.code or "", limits=limits, dry=dry)

    def _session(self, request: PlanRequest, client: str) -> Session:
        if request.session is None:
            return self._sessions.create(client)
        session = self._sessions.get(request.session, client)
        if session.busy_with is not None:
            raise SessionError(
                f"Session {session.handle!r} is busy with run {session.busy_with!r}."
                f' Wait for it: {{"run": "{session.busy_with}"}}.'
            )
        self._sessions.refuse_more()
        return session

    async def _carry_out(self, run: Run, session: Session, work: Work) -> None:
        run.snapshot = lambda: self._so_far(work, run)
        run.interrupt = work.interrupt
        run.questions.hold = work.hold
        failure: PlanError | None = None
        try:
            await work.carry_out()
        except EngineError as error:
            failure = PlanError(type=type(error).__name__, message=str(error))
        except Exception:  # whatever is wrong with us, whoever waits for the run gets an answer
            logger.exception("run %s failed", run.handle)
            failure = PlanError(type="InternalError", message="Planact failed to run the plan; its log says why.")
        finally:
            # Also when we are cut off: whoever waits gets what there is.
            kept = work.kept
            left_out = session.absorb(kept if kept is not None else Outcome(status="ok"))
            session.busy_with, worker = None, session.worker
            ending = work.ending()
            warnings = _not_kept(left_out, [name for name in kept.truncated if name != RESULT] if kept else [])
            ending = replace(ending, warnings=(*ending.warnings, *warnings))
            await self._runs.finish(run, self._answer(ending if failure is None else _failed(ending, failure), run))
            await self._sessions.keep(session)
        if kept is not None and kept.worker_lost is not None and session.worker is worker:
            await self._sessions.drop_worker(session)  # unless the next plan has one of its own already

    def _so_far(self, work: Work, run: Run) -> JSONObject:
        asked = run.questions.open
        ending = replace(work.so_far(), status="approval_required" if asked else "running")
        return self._answer(ending, run, pending=[question.pending(run.handle) for question in asked])

    def _answer(self, ending: Ending, run: Run, *, pending: Sequence[JSONValue] = ()) -> JSONObject:
        recovered = ending.recovered
        return build_answer(
            ending.status,
            session=run.session,
            run=run.handle,
            outcome=ending.outcome,
            calls=ending.calls,
            plan=ending.plan,
            attempts=ending.attempts,
            pending=list(pending) if pending else None,
            warnings=(*self._sessions.warnings, *ending.warnings),
            recovered={"kept": list(recovered.kept), "lost": list(recovered.lost)} if recovered else None,
            progress=ending.progress,
            usage=ending.usage,
        )


def _not_kept(left_out: Sequence[str], cut: Sequence[str]) -> Iterator[str]:
    """Say which data a new worker would not have: those for which no room is left, and those too large to be had."""
    if left_out:
        yield (
            f"The session's data have outgrown the {KEPT_BYTES // 2**20} MB that are kept for the case that its worker"
            f" is lost: until they are set again, {_listed(left_out)} would be lost with it."
        )
    if cut:
        yield f"Too large to be kept for the case that the session's worker is lost: {_listed(cut)}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")


def _failed(ending: Ending, error: PlanError) -> Ending:
    status = "refused" if error.type == WeakJailError.__name__ else "error"
    return replace(ending, status=status, outcome=replace(ending.outcome, status=status, errors=(error,)))


def refusal(error: Exception, *, session: str | None = None, run: str | None = None) -> JSONObject:
    """Return the answer to a request that could not be taken up."""
    parameter = error.parameter if isinstance(error, RequestError) else None
    hint = error.hint if isinstance(error, RequestError) else None
    entry = PlanError(type=type(error).__name__, message=str(error), parameter=parameter, hint=hint)
    return build_answer("error", session=session, run=run, outcome=Outcome(status="error", errors=(entry,)))
