"""A small scheduler for `await`: tasks, futures and timers over the frames of one worker.

There is no thread and no selector: a task runs until it awaits something unfinished; when all do, the loop waits for
the next frame or timer. When there is neither, nothing can ever happen again, and that is an error instead of a hang.
"""

from __future__ import annotations

import collections
import contextlib
import heapq
import inspect
import itertools
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from planact_server.sandbox.inside import sealed
from planact_server.sandbox.inside.interrupts import PlanStopped
from planact_server.sandbox.inside.sealed import Bound, Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable


class CancelledError(BaseException):
    """The task was cancelled."""


class InvalidStateError(Exception):
    """The result is not there yet."""


class Deadlock(RuntimeError):
    """Every task waits for another one."""


class Callbacks:
    """A plan's own callbacks. They wait for their turn, as in CPython: whoever settles a future is not held up."""

    def __init__(self) -> None:
        self.due: collections.deque[tuple[Callable[[Any], object], Future]] = collections.deque()
        self.failed: Callable[[Exception], None] = lambda _: None
        """Told of an exception that comes out of one; it belongs to nobody."""

    def run(self) -> None:
        """Call those that are due."""
        while self.due:
            callback, future = self.due.popleft()
            try:
                callback(future)
            except Exception as error:  # noqa: BLE001 - a plan's own
                self.failed(error)


callbacks = Callbacks()


class Future(metaclass=Bound):
    """A value that comes later. Awaiting it hands control to the loop."""

    def __init__(self) -> None:
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], None]] = []

    def done(self) -> bool:
        return self._done

    def result(self) -> Any:
        if not self._done:
            raise InvalidStateError("Result is not set.")
        if self._error is not None:
            raise self._error
        return self._value

    def exception(self) -> BaseException | None:
        if not self._done:
            raise InvalidStateError("Exception is not set.")
        if isinstance(self._error, CancelledError):
            raise self._error
        return self._error

    def cancelled(self) -> bool:
        return isinstance(self._error, CancelledError)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - asyncio's signature
        return self._settle(error=CancelledError())

    def set_result(self, value: Any) -> None:
        self._settle(value=value)

    def set_exception(self, error: BaseException | type[BaseException]) -> None:
        self._settle(error=error() if isinstance(error, type) else error)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        self.when_done(lambda: callbacks.due.append((callback, self)))

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call back once this is done, at once if it is already."""
        if self._done:
            callback()
        else:
            self._callbacks.append(callback)  # type: ignore[arg-type]

    def __await__(self) -> Generator[Future, None, Any]:
        if not self._done:
            yield self
        return self.result()

    def _settle(self, *, value: Any = None, error: BaseException | None = None) -> bool:
        if self._done:
            return False
        self._done, self._value, self._error = True, value, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
        return True


Awaitable: TypeAlias = "Future | Coroutine[Any, Any, Any]"


class Work(Future):
    """What is cancelled with a task that awaits it, as no event is that others wait for too."""


class Task(Work, metaclass=Sealed):
    """A coroutine that runs beside others."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], loop: Loop, name: str | None = None) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._loop = loop
        self._name = name or f"Task-{next(loop.task_numbers)}"
        self._cancel_requested = False
        self._waiting_for: Future | None = None
        loop.ready.append(self)

    def get_name(self) -> str:
        return self._name

    def set_name(self, name: str) -> None:
        self._name = str(name)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - asyncio's signature
        if self._done:
            return False
        if self._waiting_for is not None:
            if isinstance(self._waiting_for, Work) and self._waiting_for.cancel():
                return True  # its end wakes this task, and raises there
            self._waiting_for = None
            self._loop.ready.append(self)
        self._cancel_requested = True
        return True

    def uncancel(self) -> None:
        """Take back a request to be cancelled that has not reached the task yet."""
        self._cancel_requested = False

    def __repr__(self) -> str:
        return f"<Task {self._name} {'done' if self._done else 'pending'}>"

    def step(self, error: BaseException | None = None) -> None:
        """Run until the next await of something unfinished, with `error` raised there. A stop passes through."""
        if self._done:
            return
        self._waiting_for = None
        before, self._loop.current = self._loop.current, self
        try:
            if error is None and self._cancel_requested:
                self._cancel_requested = False
                error = CancelledError()
            awaited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration as finished:
            self._settle(value=finished.value)
        except (Exception, CancelledError) as failed:  # noqa: BLE001 - it belongs to whoever awaits the task
            self._settle(error=failed)
        else:
            self._wait_for(awaited)
        finally:
            self._loop.current = before

    def _wait_for(self, awaited: object) -> None:
        if not isinstance(awaited, Future):
            self._loop.ready.append(self)  # a bare `yield` inside __await__: try again later
            return
        self._waiting_for = awaited
        awaited.when_done(lambda: self._wake(awaited))
        if self._cancel_requested and not awaited.done():  # while it ran: its first await is the place to be told
            self._cancel_requested = False
            self.cancel()

    def _wake(self, awaited: Future) -> None:
        if self._waiting_for is awaited:
            self._waiting_for = None
            self._loop.ready.append(self)

    def close(self) -> None:
        """Give up a task that nobody waits for any more."""
        with contextlib.suppress(Exception):  # the plan is over; a cleanup that fails has nobody to tell
            self._coroutine.close()


_STEPS = 256
"""After how many steps of tasks that do not wait the loop looks for answers."""

_MANY_TASKS = 1_000
"""From how many on those that are done are let go of."""


class Loop:
    """Runs tasks. `pump(seconds)` waits for frames at most that long; `expects_frames` says if any may come."""

    def __init__(self, *, pump: Callable[[float | None], None], expects_frames: Callable[[], bool]) -> None:
        self._pump = pump
        self._expects_frames = expects_frames
        self.ready: collections.deque[Task] = collections.deque()
        self.task_numbers = itertools.count(1)
        self.current: Task | None = None
        self._timers: list[tuple[float, int, Future]] = []
        self._timer_numbers = itertools.count()
        self._tasks: list[Task] = []
        self._many = _MANY_TASKS

    def start(self, awaitable: Any, name: str | None = None) -> Future:
        """Make a task of a coroutine. A future is one already; a plain value is finished at once."""
        if isinstance(awaitable, Future):
            return awaitable
        if inspect.iscoroutine(awaitable):
            return self._keep(sealed.make(Task, awaitable, self, name))
        if hasattr(awaitable, "__await__"):
            return self._keep(sealed.make(Task, _await(awaitable), self, name))
        finished = Future()
        finished.set_result(awaitable)
        return finished

    def run(self, awaitable: Any) -> Any:
        """Drive everything until this one is finished, and return its value."""
        future = self.start(awaitable)
        steps = 0
        while not future.done():
            if callbacks.due:
                callbacks.run()
                continue
            if self.ready:
                self.ready.popleft().step()
                steps += 1
                if steps % _STEPS == 0:
                    self._look()
                continue
            try:
                self._wait()
            except (Deadlock, PlanStopped) as error:
                if not isinstance(future, Task):
                    raise
                future.step(error)  # raised where the plan waits, so that the error has a line
        return future.result()

    def after(self, seconds: float) -> Future:
        """A future that is done after so many seconds."""
        timer = Future()
        heapq.heappush(self._timers, (time.monotonic() + max(0.0, seconds), next(self._timer_numbers), timer))
        return timer

    def reset(self) -> None:
        """Drop what an ended plan left behind."""
        for task in self._tasks:
            if not task.done():
                task.close()
        self._tasks.clear()
        self._many = _MANY_TASKS
        self.ready.clear()
        self._timers.clear()
        callbacks.due.clear()
        self.current = None

    def pending(self) -> Iterable[Task]:
        return (task for task in self._tasks if not task.done())

    def _keep(self, task: Task) -> Task:
        if len(self._tasks) > self._many:
            self._tasks = [known for known in self._tasks if not known.done()]
            self._many = max(_MANY_TASKS, 2 * len(self._tasks))  # looked through at each doubling, not at each task
        self._tasks.append(task)
        return task

    def _wait(self) -> None:
        self._timers = [timer for timer in self._timers if not timer[2].done()]
        heapq.heapify(self._timers)
        if not self._timers and not self._expects_frames():
            raise Deadlock("Deadlock: every task waits, and no tool call or timer is left that could wake one.")
        seconds = None
        if self._timers:
            seconds = max(0.0, self._timers[0][0] - time.monotonic())
        if self._expects_frames():
            self._pump(seconds)
        elif seconds:
            time.sleep(seconds)
        self._ring()

    def _look(self) -> None:
        """Take in what has come, while tasks wake each other without end."""
        if self._expects_frames():
            self._pump(0.0)
        self._ring()

    def _ring(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].set_result(None)


async def _await(awaitable: Any) -> Any:
    return await awaitable
