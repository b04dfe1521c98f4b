"""`asyncio`'s task groups, locks, events and queues, on the trampoline."""

# ruff: noqa: ARG002 - arguments that make no difference here are accepted all the same

from __future__ import annotations

import collections
import heapq
from typing import Any

from planact_server.sandbox.inside.sealed import Bound
from planact_server.sandbox.inside.trampoline import CancelledError, Future, Loop, Task


class QueueEmpty(Exception):
    """Nothing is in the queue now."""


class QueueFull(Exception):
    """The queue has no room now."""


def classes(loop: Loop) -> dict[str, Any]:
    """The classes, each bound to the loop."""

    class TaskGroup(metaclass=Bound):
        def __init__(self) -> None:
            self._parent: Task | None = None
            self._tasks: list[Future] = []
            self._errors: list[Exception] = []
            self._is_left = False
            self._has_failed = False
            self._has_cancelled_parent = False

        def create_task(self, coro: Any, *, name: str | None = None, context: object = None) -> Future:
            if self._is_left and all(task.done() for task in self._tasks):
                raise RuntimeError("The TaskGroup has ended.")
            task = loop.start(coro, name)
            self._tasks.append(task)
            task.when_done(lambda: self._ended(task))
            return task

        async def __aenter__(self) -> TaskGroup:
            self._parent = loop.current
            return self

        async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
            self._is_left = True
            if self._has_cancelled_parent and self._parent is not None:
                self._parent.uncancel()  # where the body was left before it could be told
            # A parent that the group itself has cancelled ends with the errors of its tasks instead.
            is_cancelled = kind is not None and issubclass(kind, CancelledError) and not self._has_failed
            if kind is not None:
                self._cancel()
            for task in self._tasks:  # grows while tasks make tasks
                while not task.done():
                    try:
                        await _end_of(task)
                    except CancelledError:
                        is_cancelled = True
                        self._cancel()
            if isinstance(error, Exception):
                self._errors.append(error)
            if is_cancelled and not self._errors:
                raise CancelledError
            if self._errors and (kind is None or issubclass(kind, CancelledError | Exception)):
                raise ExceptionGroup("unhandled errors in a TaskGroup", self._errors) from None

        def _ended(self, task: Future) -> None:
            error = None if task.cancelled() else task.exception()
            if not isinstance(error, Exception):
                return
            self._errors.append(error)
            if not self._has_failed:
                self._has_failed = True
                self._cancel()
                if not self._is_left and self._parent is not None:
                    self._has_cancelled_parent = self._parent.cancel()

        def _cancel(self) -> None:
            for task in self._tasks:
                task.cancel()

    class Event(metaclass=Bound):
        def __init__(self) -> None:
            self._set = Future()

        def is_set(self) -> bool:
            return self._set.done()

        def set(self) -> None:
            self._set.set_result(None)

        def clear(self) -> None:
            if self._set.done():
                self._set = Future()

        async def wait(self) -> bool:
            await self._set
            return True

    class Semaphore(metaclass=Bound):
        def __init__(self, value: int = 1) -> None:
            if value < 0:
                raise ValueError("Semaphore initial value must be >= 0")
            self._value = value
            self._waiting: collections.deque[Future] = collections.deque()

        def locked(self) -> bool:
            return self._value == 0

        async def acquire(self) -> bool:
            while self._value == 0:
                turn = Future()
                self._waiting.append(turn)
                try:
                    await turn
                except CancelledError:
                    if turn.done():
                        self._wake_next()  # the turn that came too late is somebody else's
                    turn.cancel()
                    raise
            self._value -= 1
            return True

        def release(self) -> None:
            self._value += 1
            self._wake_next()

        def _wake_next(self) -> None:
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    break

        async def __aenter__(self) -> None:
            await self.acquire()

        async def __aexit__(self, *_: object) -> None:
            self.release()

    class BoundedSemaphore(Semaphore):
        def __init__(self, value: int = 1) -> None:
            super().__init__(value)
            self._most = value

        def release(self) -> None:
            if self._value >= self._most:
                raise ValueError("BoundedSemaphore released too many times")
            super().release()

    class Lock(Semaphore):
        def __init__(self) -> None:
            super().__init__(1)

        def release(self) -> None:
            if self._value:
                raise RuntimeError("Lock is not acquired.")
            super().release()

    return {
        "TaskGroup": TaskGroup,
        "Event": Event,
        "Semaphore": Semaphore,
        "BoundedSemaphore": BoundedSemaphore,
        "Lock": Lock,
        "Queue": Queue,
        "LifoQueue": LifoQueue,
        "PriorityQueue": PriorityQueue,
    }


def _end_of(task: Future) -> Future:
    """Return what is done when the task is: cancelled waiting for it, the task goes on."""
    ended = Future()
    task.when_done(lambda: ended.set_result(None))
    return ended


class Queue(metaclass=Bound):
    """`asyncio.Queue`."""

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self._items: Any = collections.deque()
        self._changed = Future()
        self._unfinished = 0

    def qsize(self) -> int:
        return len(self._items)

    def empty(self) -> bool:
        return not self._items

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self._items)

    async def put(self, item: Any) -> None:
        while self.full():
            await self._changed
        self.put_nowait(item)

    def put_nowait(self, item: Any) -> None:
        if self.full():
            raise QueueFull
        self._put(item)
        self._unfinished += 1
        self._wake()

    async def get(self) -> Any:
        while not self._items:
            await self._changed
        return self.get_nowait()

    def get_nowait(self) -> Any:
        if not self._items:
            raise QueueEmpty
        item = self._get()
        self._wake()
        return item

    def task_done(self) -> None:
        if not self._unfinished:
            raise ValueError("task_done() called too many times")
        self._unfinished -= 1
        self._wake()

    async def join(self) -> None:
        while self._unfinished:
            await self._changed

    def _put(self, item: Any) -> None:
        self._items.append(item)

    def _get(self) -> Any:
        return self._items.popleft()

    def _wake(self) -> None:
        changed, self._changed = self._changed, Future()
        changed.set_result(None)


class LifoQueue(Queue):
    """Last in, first out."""

    def _get(self) -> Any:
        return self._items.pop()


class PriorityQueue(Queue):
    """Smallest first."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._items = []

    def _put(self, item: Any) -> None:
        heapq.heappush(self._items, item)

    def _get(self) -> Any:
        return heapq.heappop(self._items)
