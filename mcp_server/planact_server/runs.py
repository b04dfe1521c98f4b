"""The table of runs: going on, done, cancelled; who may see them; waiting with a deadline.

A run goes on when the request that started it has stopped waiting. Nothing here knows how a plan is run.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from planact_server.database import StoreError
from planact_server.questions import Questions

if TYPE_CHECKING:
    from planact_tools import JSONObject

logger = logging.getLogger(__name__)

REMEMBERED = 200
REMEMBERED_BYTES = 16 * 1024 * 1024
"""Finished runs kept in memory: how many, and what they may take together; the store keeps more."""

MOST_WAITING = 50
"""Runs that wait for a person's answer at the same time."""

CANCEL_SECONDS = 5.0
"""How long a cancelled run may take to hand over its partial results before it is cut off."""

ProgressListener = Callable[[str, float | None], Awaitable[None]]


class RunError(Exception):
    """The run cannot be had; the message says why and what to do."""


class RunStore(Protocol):
    """Where finished runs are kept."""

    def save_run(self, run: str, *, client: str, session: str, answer: JSONObject) -> int:
        """Return the answer's size in bytes."""
        ...

    def load_run(self, run: str) -> tuple[str, JSONObject] | None:
        """Return (client, answer)."""
        ...


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Run:
    """One plan being executed, or its answer."""

    handle: str
    session: str
    client: str
    answer: JSONObject | None = None
    """The whole answer, once there is one; shortening for a host comes later."""

    snapshot: Callable[[], JSONObject] | None = None
    """The answer so far, while the run goes on."""

    interrupt: Callable[[], Awaitable[None]] | None = None
    """Asks the plan to stop and hand over what it has."""

    listeners: list[ProgressListener] = field(default_factory=list[ProgressListener])
    stored_bytes: int | None = None
    """The answer's size, once the store has it too."""

    unwanted: bool = False
    """Whoever asked for it has cancelled it; it is about to end."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    questions: Questions = field(init=False)
    """What its servers want to know of a person."""

    _waiting: set[asyncio.Future[None]] = field(default_factory=set["asyncio.Future[None]"])

    def __post_init__(self) -> None:
        # A run that is forgotten goes at once, and its answer with it: as a cycle it would wait for the collector.
        itself = weakref.ref(self)

        def told() -> None:
            if (run := itself()) is not None:
                run.tell()

        self.questions = Questions(told=told)

    def tell(self) -> None:
        """Have everyone who waits for it look again."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def news(self) -> None:
        """Wait for its end, or for something else that is new."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    async def report(self, text: str, fraction: float | None = None) -> None:
        """Tell everyone who waits for this run how far it is."""
        for listener in list(self.listeners):
            await listener(text, fraction)


class Runs:
    """All runs of this process; an async context manager that cancels what still goes on."""

    def __init__(self, *, store: RunStore | None) -> None:
        self._store = store
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def create(self, *, session: str, client: str) -> Run:
        run = Run(handle=f"r_{secrets.token_hex(16)}", session=session, client=client)
        self._runs[run.handle] = run
        self._forget_old()
        self._refuse_old_questions()
        return run

    def start(self, run: Run, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in the background; it must call `finish`."""
        run.task = asyncio.create_task(work, name=f"run {run.handle}")
        return run.task

    def get(self, handle: str, client: str) -> Run:
        """Return a run of this client. Raises RunError when it is unknown or belongs to another."""
        run = self._runs.get(handle) or self._load(handle)
        if run is None or run.client != client:
            raise RunError(f"Unknown run {handle!r}: it never existed, or it is too old to be remembered.")
        return run

    async def wait(
        self,
        run: Run,
        *,
        seconds: float,
        listener: ProgressListener | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> JSONObject | None:
        """Return the answer, or None if the run still goes on after `seconds`, or once `until` holds."""
        if run.answer is not None:
            return run.answer
        if listener is not None:
            run.listeners.append(listener)
        try:
            async with asyncio.timeout(seconds):
                while not run.done.is_set() and not until():
                    await run.news()
        except TimeoutError:
            return run.answer
        finally:
            if listener is not None:
                run.listeners.remove(listener)
        return run.answer

    async def finish(self, run: Run, answer: JSONObject) -> None:
        """Publish the answer and write it to the store."""
        run.answer = answer
        run.snapshot = run.interrupt = None
        run.questions.take_back()
        run.questions.hold = None  # it leads to all that the run has used
        run.done.set()
        run.tell()
        if self._store is not None:
            try:
                run.stored_bytes = await asyncio.to_thread(
                    self._store.save_run, run.handle, client=run.client, session=run.session, answer=answer
                )
            except StoreError as error:  # a full disk: the answer is still here
                logger.warning("run %s is not kept: %s", run.handle, error)
        self._forget_old()

    async def cancel(self, run: Run) -> None:
        """Stop a run; its partial results stay. Returns when it has ended."""
        run.unwanted = True
        if run.done.is_set() or run.task is None:
            return
        if run.interrupt is not None:
            await run.interrupt()
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await run.done.wait()
        except TimeoutError:
            logger.warning("run %s did not stop in time and is cut off", run.handle)
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)

    async def cancel_all(self) -> None:
        """Stop every run that still goes on."""
        await asyncio.gather(*(self.cancel(run) for run in list(self._runs.values())))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cancel_all()
        # A run that has its answer is still writing it down: that is not to be lost.
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    def recent(self, client: str, *, limit: int = 20) -> list[Run]:
        """Return this client's newest runs, newest first."""
        return [run for run in reversed(self._runs.values()) if run.client == client][:limit]

    def _refuse_old_questions(self) -> None:
        """Each run that waits for a person keeps a worker, and who was asked may have gone for good."""
        waiting = [(since, run) for run in self._runs.values() if (since := run.questions.since) is not None]
        waiting.sort(key=lambda each: each[0], reverse=True)
        for _, run in waiting[MOST_WAITING:]:
            run.questions.refuse_all("Too many plans are waiting for an answer, and this one has waited longest.")

    def _forget_old(self) -> None:
        finished = [handle for handle, run in self._runs.items() if run.done.is_set()]
        for handle in finished[: max(0, len(self._runs) - REMEMBERED)]:
            del self._runs[handle]
        room = REMEMBERED_BYTES
        for run in list(reversed(self._runs.values())):
            room -= run.stored_bytes or 0
            if room < 0 and run.stored_bytes is not None and (run.task is None or run.task.done()):
                del self._runs[run.handle]

    def _load(self, handle: str) -> Run | None:
        try:
            loaded = self._store.load_run(handle) if self._store is not None else None
        except StoreError as error:
            raise RunError(f"Run {handle!r} cannot be looked up: {error}") from error
        if loaded is None:
            return None
        client, answer = loaded
        run = Run(handle=handle, session=str(answer.get("session", "")), client=client, answer=answer)
        run.done.set()
        return run
