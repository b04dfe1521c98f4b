"""The host's side of one Monty process: one session, one plan at a time."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import anyio
from pydantic_monty import MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError

from planact_server.sandbox import (
    NO_DEFINITIONS,
    RESULT,
    Checkpoint,
    EngineError,
    LimitReached,
    Limits,
    Outcome,
    PlanError,
    PlanHost,
)
from planact_server.sandbox.inside.source import Refused
from planact_server.sandbox.monty import failures, language, reading, values
from planact_server.sandbox.monty.feed import PlanFeed, Stop
from planact_server.sandbox.monty.variables import State, Variables
from planact_server.sandbox.process import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from planact_server.sandbox.monty.outline import Outline
    from planact_server.sandbox.monty.process import MontyProcess
    from planact_tools import JSONValue

GRACE_SECONDS = 1.0
"""Between the end of a plan's CPU time and that of its Monty: only a plan that asks for something stops sooner."""

CHECKPOINT_BYTES = 64 * 1024 * 1024
NOTED_BYTES = 30
"""What one small value takes in a note. A note of more values than Monty can hold could not be put back."""

_LOST_HINT = (
    "Calls and output up to here are kept; what the plan did to variables is not. The session goes on from before it,"
    " and its next answer names under `recovered` what was kept and what was lost."
)
_STOP_TYPES = {"timeout": "TimeoutError", "limit": "LimitReached", "cancelled": "Cancelled"}


class MontyWorker:
    """One session in a process of its own. Whoever started the process hands it over; `aclose` ends it."""

    def __init__(self, process: MontyProcess) -> None:
        self.closed = False
        self._process = process
        self._variables = Variables(process, lose=self._lose)
        self._checkpoint: tuple[bytes, State] | None = None
        self._servers: dict[object, str] = {}
        self._run: PlanFeed | None = None
        self._task: asyncio.Task[Outcome] | None = None
        self._stopped: tuple[Stop, str] | None = None
        self._lost: Loss | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._too_long = ""
        self._seconds_left: float | None = None
        """Of the plan's time, while its clock stands still."""

        process.when_ended(self._wake)

    @property
    def layers(self) -> Mapping[str, bool | str]:
        """Which isolation took."""
        return self._process.layers

    @property
    def lost(self) -> Loss:
        """Why the worker is gone."""
        return self._lost or Loss(status="error", reason="The worker is gone.")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._lost is None and not self.closed and self._process.alive

    async def start(self) -> None:
        """Give the session what every session has. Raises EngineError, with the worker closed."""
        try:
            await self._variables.feed(language.PRELUDE)
        except BaseException:
            await self.aclose()
            raise

    async def run(
        self, source: str, *, host: PlanHost, limits: Limits, told: Callable[[dict[str, Any]], object]
    ) -> Outcome:
        """Run one plan; `told` gets a frame for what it prints and binds, as soon as that is known."""
        self._refuse_when_busy()
        if not self.alive:
            return self._gone(Outcome(status="error"))
        self._stopped = None
        task = self._task = asyncio.create_task(self._run_plan(source, host, limits, told))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._stop("cancelled", "The plan was cancelled.")
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])
            raise
        finally:
            self._task = self._run = None
        return task.result()

    async def interrupt(self) -> None:
        """Stop the running plan soon; its `run` returns an Outcome with status `cancelled` and partial results."""
        self._stop("cancelled", "The plan was cancelled.")

    def hold(self, calls: Collection[int]) -> None:
        """Stop the running plan's clock while calls of it wait for a person."""
        if calls:
            self._stop_clock()
            return
        left, self._seconds_left = self._seconds_left, None
        if left is not None:
            self._start_clock(left)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._seconds_left = max(0.0, self._clock.when() - asyncio.get_running_loop().time())
            self._clock.cancel()
            self._clock = None

    def _start_clock(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().call_later(seconds, self._stop, "timeout", self._too_long)

    async def restore(
        self, variables: Mapping[str, JSONValue], definitions: Mapping[str, str] = NO_DEFINITIONS
    ) -> tuple[str, ...]:
        """Put data variables of an earlier worker into this one, and what `definitions` can define again.

        Returns the names of those that cannot. Raises EngineError when the worker is lost.
        """
        self._refuse_when_busy()
        await self._variables.put(variables)
        lost = [name for name, source in definitions.items() if not await self._variables.define(name, source)]
        kept, functions = await self._variables.read()
        state = self._variables.state
        state.present, state.functions = frozenset({*kept, *functions}), functions
        state.digests = values.digests(values.exported(kept, max_bytes=values.ALL_BYTES).values)
        return tuple(lost)

    async def checkpoint(self) -> Checkpoint:
        """Note the session as it is, for `rollback`. Raises EngineError when the worker is lost."""
        self._refuse_when_busy()
        self._checkpoint = None
        if self._variables.state.is_large:
            return Checkpoint(taken=False)
        noted = await self._variables.ask(self._process.session.dump(), "The session could not be noted.")
        if len(noted) > min(CHECKPOINT_BYTES, self._process.most_values * NOTED_BYTES):
            return Checkpoint(taken=False)
        self._checkpoint = noted, self._variables.state.copy()
        return Checkpoint(taken=True)

    async def rollback(self) -> None:
        """Put the session back as it was noted, in a fresh process. Raises EngineError, with the worker lost."""
        self._refuse_when_busy()
        failed = "The session could not be put back as it was."
        if self._checkpoint is None:
            self._lose(Loss(status="error", reason=failed))
            raise EngineError(failed)
        noted, state = self._checkpoint
        try:
            await self._process.renew()
            await self._variables.ask(self._process.session.load_session(noted), failed)
        except EngineError:
            self._lose(Loss(status="error", reason=failed))
            raise
        self._variables.state = state.copy()
        self._servers.clear()

    async def forget(self) -> None:
        """Let go of the checkpoint."""
        self._refuse_when_busy()
        self._checkpoint = None

    async def aclose(self) -> None:
        """End the worker, and the plan that it may be running. May be called twice."""
        self._lose(Loss(status="cancelled", reason="The session was closed."))
        with anyio.CancelScope(shield=True):
            if self._task is not None:
                await asyncio.wait([self._task])
            await self._process.aclose()
        self.closed = True

    # ---- a plan ----------------------------------------------------------------------------------------------------

    async def _run_plan(
        self, source: str, host: PlanHost, limits: Limits, told: Callable[[dict[str, Any]], object]
    ) -> Outcome:
        self._too_long = f"The plan ran longer than {limits.seconds:g} s."
        self._start_clock(limits.seconds)
        try:
            plan = await reading.read(
                source,
                f"<python-input-{self._variables.state.feeds}>",
                host=host,
                session=self._variables.state.present,
                max_bytes=limits.source_bytes,
            )
            if plan.doubts:
                told({"type": "doubts", "doubts": [each.as_json() for each in plan.doubts]})
            run = self._run = PlanFeed(
                self._process.session,
                plan.outline,
                host=host,
                limits=limits,
                resolved=plan.resolved,
                earlier=self._variables.state.outlines,
                servers=self._servers,
                told=told,
                stop=self._stop,
            )
            run.stopped = self._stopped  # maybe before it could begin
            return await self._outcome(run, plan.outline, limits)
        except Refused as refused:
            errors = tuple(PlanError(**problem.as_json()) for problem in refused.problems)
            status = "limit" if refused.status == "limit" else "refused"
            return Outcome(status=status, errors=errors, functions=self._variables.state.functions)
        except LimitReached as reached:
            error = PlanError(type="LimitReached", message=str(reached))
            return Outcome(status="limit", errors=(error,), functions=self._variables.state.functions)
        finally:
            self._stop_clock()
            self._seconds_left = None

    async def _outcome(self, run: PlanFeed, outline: Outline, limits: Limits) -> Outcome:
        if run.stopped is not None:
            return Outcome(status=run.stopped[0], errors=_errors(run, None, self._variables.state, {}))
        self._variables.state.feeds += 1
        try:
            await run.run()
        except MontyCrashedError as crash:
            self._lose(self._why(run, crash))
            return self._gone(Outcome(status="ok"))
        except (MontySyntaxError, MontyRuntimeError) as error:
            if isinstance(error, MontySyntaxError) or failures.is_unknown_syntax(error):
                problem = failures.unknown_syntax(error, outline)
                return Outcome(status="refused", errors=(problem,), functions=self._variables.state.functions)
            return await self._failed(run, error, outline, limits)
        except (MontyError, RuntimeError) as error:
            self._lose(Loss(status="error", reason=f"The worker does not keep to its protocol: {error}"))
            return self._gone(Outcome(status="ok"))
        run.settle_bindings(set())
        return await self._left(run, outline, limits)

    async def _failed(self, run: PlanFeed, error: MontyRuntimeError, outline: Outline, limits: Limits) -> Outcome:
        filename = outline.text.filename
        run.settle_bindings(failures.lines_of(error, filename))
        before = failures.line_of(error, filename) or 0
        return await self._left(run, outline, limits, failure=error, before=before)

    async def _left(
        self,
        run: PlanFeed,
        outline: Outline,
        limits: Limits,
        *,
        failure: MontyRuntimeError | None = None,
        before: int | None = None,
    ) -> Outcome:
        """What the plan left in its session."""
        state = self._variables.state
        state.outlines[outline.text.filename] = outline
        state.names |= dict.fromkeys(outline.bound)
        observed = Outcome(status="ok")
        has_result = failure is None and outline.has_result
        try:
            kept, functions = await self._variables.read()
            given = {**kept, _RESULT: await self._variables.result()} if has_result else kept
        except EngineError:
            if run.stopped is not None and run.stopped[0] == "limit":
                self._lost = Loss(status="limit", reason=run.stopped[1])  # that it is silent comes of it
            gone = self._gone(dataclasses.replace(observed, errors=_errors(run, failure, state, {})))
            full = failure is not None and failures.is_full(failure)
            return dataclasses.replace(gone, status="limit") if full else gone
        exported = values.exported(given, max_bytes=limits.state_bytes)
        digests = values.digests({name: exported.values[name] for name in kept})
        certain = outline.certainly_assigned(before)
        changed = {
            name: exported.values[name]
            for name, digest in digests.items()
            if name in certain or state.digests.get(name) != digest
        }
        deleted = tuple(name for name in state.present if name not in kept and name not in functions)
        state.digests = digests
        state.present, state.functions = frozenset({*kept, *functions}), functions
        for name, line, source in outline.definitions:
            if (before is None or line < before) and state.has_room_for(source):
                state.definitions[name] = source
        state.definitions = {name: source for name, source in state.definitions.items() if name in functions}
        status = run.stopped[0] if run.stopped is not None else "ok" if failure is None else "error"
        if status == "error" and failure is not None and failures.is_full(failure):
            status = "limit"
        return dataclasses.replace(
            observed,
            status=status,
            errors=_errors(run, failure, state, kept),
            result=exported.values[_RESULT] if has_result else None,
            has_result=has_result,
            variables=changed,
            deleted=deleted,
            functions=functions,
            definitions=dict(state.definitions),
            inexact=tuple(name for name in exported.inexact if name in changed),
            truncated={
                (RESULT if name == _RESULT else name): size
                for name, size in exported.truncated.items()
                if name == _RESULT or name in changed
            },
        )

    # ---- the process -----------------------------------------------------------------------------------------------

    def _stop(self, status: Stop, message: str) -> None:
        if self._task is None or self._stopped is not None:
            return
        self._stopped = status, message
        run = self._run
        if run is None:
            return
        run.stop(status, message)
        if status == "limit":
            # The host ends what is deaf to its deadline or to being cancelled; it does not see Monty's CPU time.
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._end, run)

    def _wake(self) -> None:
        """The process has ended: who waits for something outside would never notice."""
        if self._run is not None:
            self._run.wake()

    def _end(self, run: PlanFeed) -> None:
        if self._run is run:
            self._process.kill()

    def _why(self, run: PlanFeed, crash: MontyCrashedError) -> Loss:
        if self._lost is not None:
            return self._lost
        if run.stopped is not None and run.stopped[0] == "limit":
            return Loss(status="limit", reason=run.stopped[1])
        return self._process.loss(str(crash))

    def _lose(self, why: Loss) -> None:
        if self._lost is None:
            self._lost = why
        self._process.kill()

    def _gone(self, observed: Outcome) -> Outcome:
        lost = self.lost
        error = PlanError(type="WorkerLost", message=lost.reason, hint=_LOST_HINT)
        return dataclasses.replace(
            observed, status=lost.status, errors=(*observed.errors, error), worker_lost=lost.reason
        )

    def _refuse_when_busy(self) -> None:
        if self._task is not None:
            raise RuntimeError("This worker is running a plan; a session runs one at a time.")


_RESULT = "result."


def _errors(
    run: PlanFeed, failure: MontyRuntimeError | None, state: State, kept: Mapping[str, Any]
) -> tuple[PlanError, ...]:
    if failure is None:
        return () if run.stopped is None else (PlanError(type=_STOP_TYPES[run.stopped[0]], message=run.stopped[1]),)
    described = failures.describe(failure, state.outlines, run.filename, run.faults, kept)
    if run.stopped is not None:
        status, message = run.stopped
        described = dataclasses.replace(described, type=_STOP_TYPES[status], message=message, hint=None)
    elif failures.is_full(failure):
        described = dataclasses.replace(described, message="The plan ran out of memory.")
    return (described,)
