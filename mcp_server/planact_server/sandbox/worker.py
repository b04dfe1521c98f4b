"""The host's side of one jailed interpreter: runs one plan at a time, and is killed when it does not behave."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import anyio

from planact_server.sandbox import (
    NO_DEFINITIONS,
    Checkpoint,
    EngineError,
    Limits,
    Outcome,
    PlanError,
    PlanHost,
    memory_watch,
)
from planact_server.sandbox import frames as wire
from planact_server.sandbox.cpu_watch import CPUClock, CPUWatch
from planact_server.sandbox.frames import Checkpointed, Forgotten, Ready, Restored, RolledBack, WorkerFrame
from planact_server.sandbox.plan_run import PlanRun
from planact_server.sandbox.process import Exit, Loss, WorkerProcess, loss

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from planact_server.sandbox.connection import Connection
    from planact_tools import JSONValue

_Reply = TypeVar("_Reply", Restored, Checkpointed, RolledBack, Forgotten)

GRACE_SECONDS = 2.0
"""Between asking a worker to stop and killing it."""

NUDGE_SECONDS = 0.1

INTERPRETER_BYTES = 64 * 2**20
"""What a worker holds before any plan, and what it keeps back to tell how a plan ended."""

REPLY_SECONDS = 20.0
"""For a new worker to serve, and for variables to be taken over."""

EXIT_SECONDS = 5.0
"""Between a worker's hanging up, or its killing, and the news of its end."""


class JailedWorker:
    """One worker over any stream. Whoever started the process hands it over; `aclose` ends it."""

    def __init__(self, connection: Connection, process: WorkerProcess, *, memory_bytes: int) -> None:
        self.layers: Mapping[str, bool | str] = {}
        """Which isolation took, as the worker reports it. Known after `start`."""

        self.closed = False
        """Whether `aclose` is through, and nothing is left of the worker."""

        self._connection = connection
        self._process = process
        self._memory_bytes = memory_bytes
        self._run: PlanRun | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._patience_left: float | None = None
        """While a person is asked something."""

        self._watch_held: CPUWatch | None = None

        self._last_id = 0
        self._killed: Loss | None = None
        self._ready = self._next_frame()
        connection.closed.add_done_callback(lambda _: self._hung_up())
        process.exited.add_done_callback(lambda _: connection.finish())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._killed is None and not self._connection.closed.done() and not self._process.exited.done()

    async def start(self) -> None:
        """Wait until the worker serves. Raises EngineError, with the worker closed, when it does not."""
        try:
            frame = await self._reply(self._ready)
            if not isinstance(frame, Ready):
                raise EngineError(f"The worker began with a {frame.type!r} frame instead of 'ready'.")
            self.layers = {**frame.layers, **self._process.layers, **self._watched()}
        except BaseException:
            await self.aclose()
            raise

    async def run(self, source: str, *, host: PlanHost, limits: Limits) -> Outcome:
        """Run one plan. `limits.memory_bytes` was fixed when the worker started; the rest holds for this plan."""
        self._refuse_when_busy()
        refused = _refusal(source, limits)
        if refused is not None:
            return refused
        lost: Loss | None = None
        watch, memory = self._watch(limits), self._watch_memory()
        async with asyncio.TaskGroup() as tasks:
            run = PlanRun(host=host, limits=limits, connection=self._connection, tasks=tasks, last_id=self._last_id)
            self._run = run
            self._connection.listen(run.receive, frame_bytes=limits.frame_bytes)
            self._be_patient(run, limits.seconds + GRACE_SECONDS)
            try:
                await self._connection.send(wire.run(source, limits))
                await run.until_over()
            finally:
                watch.cancel()
                memory.cancel()
                run.drop_questions()
                if run.is_last:
                    lost = Loss(status="limit", reason="The worker ended with its plan: it could have run no other.")
                    self._kill(lost)
                elif not run.is_over or self._connection.closed.done():
                    with anyio.CancelScope(shield=True):
                        lost = await self._settle(run)
                self._part_with(run)
        return run.outcome(lost)

    def so_far(self) -> Outcome:
        """Return what is known of the running plan."""
        return self._run.so_far() if self._run is not None else Outcome(status="ok")

    async def interrupt(self) -> None:
        """Stop the running plan soon; its `run` returns an Outcome with status `cancelled` and partial results."""
        run = self._run
        if run is None or run.interrupted or run.is_over:
            return
        run.interrupted = True
        self._nudge(run)
        self._be_patient(run, GRACE_SECONDS if self._process.can_interrupt else 0.0)

    async def hold(self, calls: Collection[int]) -> None:
        """Say which calls of the running plan wait for a person. Whether it can do something else, the worker knows."""
        run = self._run
        if run is None or run.is_over or run.interrupted:
            return
        if calls and self._patience is not None:
            left = self._patience.when() - asyncio.get_running_loop().time()
            self._patience.cancel()
            self._patience, self._patience_left = None, left
            # A worker that is deaf to its own clock is not waiting for anybody: it computes.
            lost = _patience_lost(run)
            self._watch_held = CPUWatch(self._clock, left, exceeded=lambda: self._kill(lost))
        elif not calls and self._patience_left is not None:
            left, self._patience_left = self._patience_left, None
            self._stop_watching_held()
            self._be_patient(run, left)
        await self._connection.send(wire.hold(calls))

    def _stop_watching_held(self) -> None:
        if self._watch_held is not None:
            self._watch_held.cancel()
            self._watch_held = None

    async def restore(
        self, variables: Mapping[str, JSONValue], definitions: Mapping[str, str] = NO_DEFINITIONS
    ) -> tuple[str, ...]:
        """Put an earlier worker's data variables into this one, and what `definitions` can define again.

        Returns the names of those that cannot. Raises EngineError when the worker is lost.
        """
        # Half restored is no state to go on from.
        failed = "The session's variables could not be put back."
        reply = await self._order(wire.restore(variables, definitions), Restored, otherwise=failed)
        lost = set(reply.lost)
        return tuple(name for number, name in enumerate(definitions) if number in lost)

    async def checkpoint(self) -> Checkpoint:
        """Note the session as it is, for `rollback`. Raises EngineError when the worker is lost."""
        reply = await self._order(wire.checkpoint(), Checkpointed, otherwise="The session could not be noted.")
        return Checkpoint(taken=reply.taken, unsettled=tuple(reply.unsettled))

    async def rollback(self) -> None:
        """Put the session back as it was at the checkpoint. Raises EngineError, with the worker lost, if it cannot."""
        failed = "The session could not be put back as it was."
        reply = await self._order(wire.rollback(), RolledBack, otherwise=failed)
        if not reply.done:
            self._kill(Loss(status="error", reason=failed))
            raise EngineError(failed)

    async def forget(self) -> None:
        """Let go of the checkpoint. Raises EngineError when the worker is lost."""
        await self._order(wire.forget(), Forgotten, otherwise="The worker did not let go of its checkpoint.")

    async def _order(self, body: bytes, expected: type[_Reply], *, otherwise: str) -> _Reply:
        """Send a frame and wait for the one that answers it; a worker that fails to is killed. Raises EngineError."""
        self._refuse_when_busy()
        frame = self._next_frame()
        try:
            await self._connection.send(body)
            reply = await self._reply(frame)
            if not isinstance(reply, expected):
                raise EngineError(f"The worker answered with a {reply.type!r} frame where another was due.")
        except BaseException:
            self._kill(Loss(status="error", reason=otherwise))
            raise
        return reply

    async def aclose(self) -> None:
        """End the worker, and the plan that it may be running. May be called twice."""
        if self.closed:
            return
        self._kill(Loss(status="cancelled", reason="The session was closed."))
        try:
            with anyio.CancelScope(shield=True):
                await self._exit()
        finally:  # a task that is cancelled by asyncio's own means knows no shield
            self._process.close()
            self.closed = True

    @cached_property
    def _clock(self) -> CPUClock:
        return CPUClock(self.pid)

    def _watch(self, limits: Limits) -> CPUWatch:
        reason = f"The plan did not stop after {limits.cpu_seconds:g} s of CPU time; its worker was killed."
        return CPUWatch(
            self._clock,
            limits.cpu_seconds + GRACE_SECONDS,
            exceeded=lambda: self._kill(Loss(status="limit", reason=reason)),
        )

    def _watched(self) -> Mapping[str, bool | str]:
        if not memory_watch.WATCHED:
            return {}
        told = memory_watch.held_bytes(self.pid) is not None
        return {"memory_watch": told or "not available: the system does not tell what the worker holds"}

    def _watch_memory(self) -> memory_watch.MemoryWatch:
        most = self._memory_bytes + INTERPRETER_BYTES
        reason = f"The worker held more than {most // 2**20} MB; it was killed."
        return memory_watch.MemoryWatch(
            self.pid, most, exceeded=lambda: self._kill(Loss(status="limit", reason=reason))
        )

    def _refuse_when_busy(self) -> None:
        if self._run is not None:
            raise RuntimeError("This worker is running a plan; a session runs one at a time.")

    async def _settle(self, run: PlanRun) -> Loss | None:
        """Come to an end with the plan, or without it: afterwards it has ended or its worker is dead."""
        if not run.is_over and not run.interrupted:
            await self._stop(run)  # whoever awaited the plan has gone
        if not run.is_over:
            self._kill(_patience_lost(run))
        lost = await self._loss() if self._connection.closed.done() else None
        return dataclasses.replace(lost, status="cancelled") if lost is not None and run.interrupted else lost

    def _part_with(self, run: PlanRun) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self._patience_left = None
        self._stop_watching_held()
        self._last_id = run.last_id
        self._run = None

    def _be_patient(self, run: PlanRun, seconds: float) -> None:
        """Kill the worker when it has not come to an end with its plan by then, or by the time that was set before."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        if self._patience is not None:
            end = min(end, self._patience.when())
            self._patience.cancel()
        self._patience = loop.call_at(end, self._give_up, run)

    def _give_up(self, run: PlanRun) -> None:
        if not run.is_over:
            self._kill(_patience_lost(run))

    async def _stop(self, run: PlanRun) -> None:
        run.interrupted = True
        if self._process.can_interrupt:
            self._nudge(run)
            with anyio.move_on_after(GRACE_SECONDS):
                await run.until_over()

    def _nudge(self, run: PlanRun) -> None:
        """Signal until the plan ends: a signal that comes before the worker has begun with it is lost."""
        if not run.is_over:
            self._process.interrupt()
            asyncio.get_running_loop().call_later(NUDGE_SECONDS, self._nudge, run)

    def _next_frame(self) -> asyncio.Future[WorkerFrame]:
        answer: asyncio.Future[WorkerFrame] = asyncio.get_running_loop().create_future()

        def take(frame: WorkerFrame, _size: int) -> None:
            self._connection.ignore()
            answer.set_result(frame)

        self._connection.listen(take)
        return answer

    async def _reply(self, frame: asyncio.Future[WorkerFrame]) -> WorkerFrame:
        with anyio.move_on_after(REPLY_SECONDS):
            await self._until(frame)
        if frame.done():
            return frame.result()
        if self._connection.closed.done():
            raise EngineError((await self._loss()).reason)
        raise EngineError(f"The worker did not answer within {REPLY_SECONDS:g} s.")

    async def _until(self, event: asyncio.Future[WorkerFrame]) -> None:
        """Wait for the event, or for the end of the connection."""
        if not event.done():
            await asyncio.wait([event, self._connection.closed], return_when=asyncio.FIRST_COMPLETED)

    def _kill(self, why: Loss) -> None:
        if self._killed is None:
            self._killed = why
        self._process.kill()
        self._connection.close()

    def _hung_up(self) -> None:
        if self._run is not None:
            self._run.wake()
        if self._connection.broken is not None:
            self._process.kill()
        else:
            # A process that closes its stream is about to end, and how it ends is worth knowing.
            asyncio.get_running_loop().call_later(EXIT_SECONDS, self._process.kill)

    async def _loss(self) -> Loss:
        broken = self._connection.broken
        if broken is not None:
            return Loss(status=broken.status, reason=str(broken))
        if self._killed is not None:
            return self._killed
        return loss(await self._exit(), memory_bytes=self._memory_bytes)

    async def _exit(self) -> Exit:
        exited = self._process.exited
        if not exited.done():
            await asyncio.wait([exited], timeout=EXIT_SECONDS)
        return exited.result() if exited.done() else Exit(note="The worker hung up.")


def _refusal(source: str, limits: Limits) -> Outcome | None:
    """Refuse what need not be sent to be refused."""
    try:
        size = len(source.encode("utf-8"))
    except UnicodeEncodeError as error:
        line = source.count("\n", 0, error.start) + 1
        broken = PlanError(type="SyntaxError", message="The source holds half a character (a surrogate).", line=line)
        return Outcome(status="refused", errors=(broken,))
    if size <= limits.source_bytes:
        return None
    message = f"The plan is {size:,} bytes long; {limits.source_bytes:,} are allowed."
    return Outcome(
        status="limit", errors=(PlanError(type="LimitReached", message=message, hint="Split it into several plans."),)
    )


def _patience_lost(run: PlanRun) -> Loss:
    if run.interrupted:
        what = f"The plan did not stop within {GRACE_SECONDS:g} s of being cancelled"
        return Loss(status="cancelled", reason=f"{what}; its worker was killed.")
    what = f"The plan did not stop at its deadline of {run.limits.seconds:g} s"
    return Loss(status="timeout", reason=f"{what}; its worker was killed.")
