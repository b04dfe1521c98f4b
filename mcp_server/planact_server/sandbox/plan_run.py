"""One plan on one worker, from its first frame to its outcome: budgets, questions to the host, what it left behind.

The worker's frames are hostile. An honest worker keeps within its limits by itself or is told so in an answer; one
that goes on after that, or breaks the protocol, raises FrameError and is killed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from planact_server.sandbox import (
    LimitReached,
    Limits,
    Outcome,
    PlanError,
    PlanFault,
    PlanHost,
    ToolRequest,
    Unresolved,
)
from planact_server.sandbox import frames as wire
from planact_server.sandbox.frame_fields import MOST_DOUBTS
from planact_server.sandbox.frame_json import FrameError
from planact_server.sandbox.frames import Ask, Bound, Call, Done, Doubts, Leave, Output, Question, Resolve, WorkerFrame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_server.sandbox.connection import Connection
    from planact_server.sandbox.process import Loss
    from planact_tools import JSONValue

logger = logging.getLogger(__name__)

FRAMES = 200_000
"""Frames that one plan may send, of any kind."""

ASKS = 10_000
RESOLVED_NAMES = 20_000
ASK_BYTES = 1024 * 1024
TRAFFIC_FRAMES = 64
"""Everything that one plan sends, together, in frames of the largest size."""

ARGUMENT_FRAMES = 4
"""The arguments of all calls of one plan, in frames of the largest size: they are kept for its answer."""

WAITING = 1_000
WAITING_FRAMES = 4
"""Unanswered questions: how many, and together in frames of the largest size; more wait in the worker.

Until then the stream is read even when no call may start: the plan's end comes the same way.
"""

HELP_IN_FLIGHT = 8
"""Questions other than calls that are answered at the same time; each answer may be as large as a frame."""

DOUBT_CHARS = 1_000
"""Length of one doubt about the plan: of its text, and of its hint."""

BOUND_CHARS = 10_000_000
"""Length of all names that results of calls were bound to."""

FAULT_CHARS = 10_000

LOST_HINT = (
    "Calls and output up to here are kept; what the plan did to variables is not. The session goes on from before it,"
    " and its next answer names under `recovered` what was kept and what was lost."
)


class PlanRun:
    """Collects what a plan sends and answers its questions within `tasks`, several at a time."""

    def __init__(
        self, *, host: PlanHost, limits: Limits, connection: Connection, tasks: asyncio.TaskGroup, last_id: int
    ) -> None:
        self.interrupted = False
        self.last_id = last_id
        """The worker's newest question. Ids are fresh for its whole life, so no late answer meets a new question."""

        self._host = host
        self.limits = limits
        self._connection = connection
        self._tasks = tasks
        self._open: set[asyncio.Task[None]] = set()
        self._open_calls: dict[int, asyncio.Task[None]] = {}
        self._begun: set[int] = set()
        self._unmade: list[ToolRequest] = []
        self._dropped = False
        self._done: Done | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._doubts: list[PlanError] = []
        self._output: list[str] = []
        self._output_bytes = 0
        self._bindings: dict[int, dict[str, None]] = {}
        self._bound = self._bound_chars = 0
        self._frames = self._traffic = self._calls = self._asks = self._names = 0
        self._argument_bytes = 0
        self._waiting = self._waiting_bytes = 0
        self._turns = anyio.Semaphore(limits.calls_in_flight, fast_acquire=True)
        self._help = anyio.Semaphore(HELP_IN_FLIGHT, fast_acquire=True)

    def receive(self, frame: WorkerFrame, size: int) -> None:
        """Take one frame. Raises FrameError when the worker has to be killed."""
        self._charge(size)
        match frame:
            case Doubts():
                self._doubts += map(_cut, frame.doubts[: MOST_DOUBTS - len(self._doubts)])
            case Output():
                self._print(frame.text)
            case Bound():
                self._bind(frame.call, frame.names)
            case Leave():
                self._leave(frame.calls)
            case Resolve() | Call() | Ask():
                self._take(frame, size)
            case Done():
                self._done = frame
                self._connection.ignore()
                self.wake()
            case _:
                raise FrameError(f"The worker sent a {frame.type!r} frame while a plan was running.")

    @property
    def is_over(self) -> bool:
        """Whether the plan has ended, or can no longer be heard."""
        return self._done is not None or self._connection.closed.done()

    @property
    def is_last(self) -> bool:
        """Whether the worker ends with this plan, and says so."""
        return self._done is not None and self._done.last

    async def until_over(self) -> None:
        """Wait for the end; `wake` has to be called when the worker is lost."""
        if not self.is_over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def wake(self) -> None:
        """Have whoever waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def drop_questions(self) -> None:
        """Answer nothing any more: nobody waits for it."""
        self._dropped = True
        for task in self._open:
            task.cancel()

    def so_far(self) -> Outcome:
        """Return what is known while the plan goes on."""
        bindings = {call: tuple(names) for call, names in self._bindings.items()}
        return Outcome(
            status="ok",
            output="".join(self._output),
            doubts=tuple(self._doubts),
            bindings=bindings,
            unmade=tuple(self._unmade),
        )

    def outcome(self, lost: Loss | None) -> Outcome:
        """Return what the plan left. `lost` says why the worker is gone, when it is."""
        so_far = self.so_far()
        reason = None if lost is None else lost.reason
        done = self._done
        if done is not None:
            return replace(
                so_far,
                status=done.status,
                errors=tuple(done.errors),
                result=done.result,
                has_result=done.has_result,
                variables=done.variables,
                deleted=tuple(done.deleted),
                functions=tuple(done.functions),
                truncated=done.truncated,
                definitions=done.definitions,
                inexact=tuple(done.inexact or ()),
                reached=done.reached or 0,
                worker_lost=reason,
            )
        if lost is None:
            raise RuntimeError("A plan without an end, on a worker that is alive.")
        error = PlanError(type="WorkerLost", message=lost.reason, hint=LOST_HINT)
        return replace(so_far, status=lost.status, errors=(error,), worker_lost=reason)

    def _charge(self, size: int) -> None:
        self._frames += 1
        self._traffic += size
        if self._frames > FRAMES:
            raise FrameError(f"The plan sent more than {FRAMES:,} messages.", status="limit")
        if self._traffic > TRAFFIC_FRAMES * self.limits.frame_bytes:
            raise FrameError(f"The plan sent more than {self._traffic - size:,} bytes.", status="limit")

    def _print(self, text: str) -> None:
        room = self.limits.output_bytes - self._output_bytes
        body = text.encode("utf-8")
        self._output.append(text if len(body) <= room else body[: max(0, room)].decode("utf-8", "ignore"))
        self._output_bytes += len(body)
        # The worker stops the plan at the budget. It may have counted its last line differently, but not by much.
        if self._output_bytes > 2 * self.limits.output_bytes:
            raise FrameError(f"The plan printed more than {self.limits.output_bytes:,} bytes.", status="limit")

    def _bind(self, call: int, names: Sequence[str]) -> None:
        if call > self._calls:
            raise FrameError(f"The worker bound the result of call {call}; it has made {self._calls}.")
        self._bound += len(names)
        self._bound_chars += sum(map(len, names))
        if self._bound > 100 * self.limits.calls or self._bound_chars > BOUND_CHARS:
            raise FrameError("The worker bound its calls to too many names.", status="limit")
        self._bindings.setdefault(call, {}).update(dict.fromkeys(names))

    def _take(self, frame: Question, size: int) -> None:
        if frame.id <= self.last_id:
            raise FrameError(f"The worker used the id {frame.id} again.")
        self.last_id = frame.id
        refusal = self._count(frame, size)
        self._waiting += 1
        self._waiting_bytes += size
        if self._waiting > WAITING or self._waiting_bytes > WAITING_FRAMES * self.limits.frame_bytes:
            self._connection.pause()
        if not self._dropped:
            task = self._tasks.create_task(self._answer(frame, refusal))
            self._open.add(task)
            if isinstance(frame, Call):
                self._open_calls[frame.call] = task
            task.add_done_callback(lambda task: self._answered(frame, size, task))

    def _count(self, frame: Question, size: int) -> LimitReached | PlanFault | None:
        """Hold the question against the plan's budgets; what is over is answered without the host."""
        match frame:
            case Call():
                for bound in frame.bound:
                    self._bind(*bound)
                self._calls += 1
                if frame.call != self._calls:
                    raise FrameError(f"The worker sent call {frame.call} where {self._calls} was next.")
                used, budget, what = self._calls, self.limits.calls, "tool calls"
                self._argument_bytes += size
                most = ARGUMENT_FRAMES * self.limits.frame_bytes
                if self._argument_bytes > most and used <= 2 * budget:
                    return LimitReached(f"The plan has given its calls more than {most:,} bytes of arguments.")
            case Ask():
                self._asks += 1
                used, budget, what = self._asks, ASKS, "questions to the host"
                if size > ASK_BYTES:
                    message = f"{frame.helper}() was given {size:,} bytes; {ASK_BYTES:,} are allowed."
                    return PlanFault(message, type="ValueError", function=frame.helper)
            case Resolve():
                self._names += len(frame.names)
                used, budget, what = self._names, RESOLVED_NAMES, "names"
        if used > 2 * budget:
            # The first answer over the budget ends an honest plan; only what was under way by then may follow.
            raise FrameError(f"The plan went on after its {budget:,} {what} were used up.", status="limit")
        return LimitReached(f"The plan has used up its {budget:,} {what}.") if used > budget else None

    async def _answer(self, frame: Question, refusal: LimitReached | PlanFault | None) -> None:
        # A question keeps its turn until its answer is out: values that nobody reads must not pile up here.
        async with self._turns if isinstance(frame, Call) else self._help:
            await self._connection.send(await self._answer_frame(frame, refusal))

    def _answered(self, frame: Question, size: int, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        if isinstance(frame, Call):
            self._open_calls.pop(frame.call, None)
            if task.cancelled() and frame.call not in self._begun:
                self._unmade.append(_request(frame))
            self._begun.discard(frame.call)
        self._waiting -= 1
        self._waiting_bytes -= size
        self._connection.resume()

    def _leave(self, calls: Sequence[int]) -> None:
        for call in calls:
            if call > self._calls:
                raise FrameError(f"The worker left call {call}; it has made {self._calls}.")
            if (task := self._open_calls.get(call)) is not None:
                task.cancel()

    async def _answer_frame(self, frame: Question, refusal: LimitReached | PlanFault | None) -> bytes:
        try:
            if refusal is not None:
                raise refusal
            body = wire.answer(frame.id, await self._ask_host(frame))
        except LimitReached as reached:
            return wire.limit(frame.id, str(reached)[:FAULT_CHARS])
        except PlanFault as fault:
            return self._fault_frame(frame.id, fault)
        except Exception:
            logger.exception("Answering %r for a plan failed", frame.type)
            return wire.fault(frame.id, PlanFault("internal error", type="ToolError", function=_asked(frame)))
        if len(body) > self.limits.frame_bytes:
            return wire.fault(frame.id, _too_large(frame, len(body), self.limits.frame_bytes))
        return body

    async def _ask_host(self, frame: Question) -> JSONValue:
        match frame:
            case Call():
                self._begun.add(frame.call)
                return await self._host.call(_request(frame))
            case Ask():
                return await self._host.ask(frame.helper, frame.arguments)
            case Resolve():
                found = await self._host.resolve(frame.names)
                return wire.resolutions({name: found.get(name, Unresolved()) for name in frame.names})

    def _fault_frame(self, id: int, fault: PlanFault) -> bytes:
        """A fault that cannot be sent whole goes without the arguments: the plan made those itself."""
        try:
            body = wire.fault(id, fault)
            if len(body) <= self.limits.frame_bytes:
                return body
        except (ValueError, RecursionError):
            logger.warning("The arguments of %r could not be sent back to the plan", fault.function, exc_info=True)
        return wire.fault(
            id,
            PlanFault(
                fault.message[:FAULT_CHARS],
                type=fault.type,
                hint=None if fault.hint is None else fault.hint[:FAULT_CHARS],
                parameter=fault.parameter,
                server=fault.server,
                tool=fault.tool,
                function=fault.function,
            ),
        )


def _request(frame: Call) -> ToolRequest:
    return ToolRequest(
        call=frame.call,
        server=frame.server,
        tool=frame.tool,
        raw=frame.raw,
        positional=frame.positional,
        keywords=frame.keywords,
        line=frame.line,
    )


def _asked(frame: Question) -> str | None:
    match frame:
        case Call():
            return frame.tool if frame.server is None else f"{frame.server}.{frame.tool}"
        case Ask():
            return frame.helper
        case Resolve():
            return None


def _too_large(frame: Question, size: int, allowed: int) -> PlanFault:
    return PlanFault(
        f"The answer of {_asked(frame)!r} is {size:,} bytes large; a plan can take {allowed:,} at once.",
        type="ToolError",
        hint="Ask for less: a filter, a range, a page, fewer fields.",
        function=_asked(frame),
        server=frame.server if isinstance(frame, Call) else None,
        tool=frame.tool if isinstance(frame, Call) else None,
    )


def _cut(doubt: PlanError) -> PlanError:
    hint = None if doubt.hint is None else doubt.hint[:DOUBT_CHARS]
    return replace(doubt, message=doubt.message[:DOUBT_CHARS], hint=hint, code_line=None)
