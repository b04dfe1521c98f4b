"""`asyncio` as plans see it, on the trampoline.

One loop, always there: `asyncio.run` works wherever it is written. Signatures are those of asyncio.
"""

# ruff: noqa: ARG002 - arguments that make no difference here are accepted all the same

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import sealed, synchronization
from planact_server.sandbox.inside.facades import Module, make_module
from planact_server.sandbox.inside.sealed import Sealed
from planact_server.sandbox.inside.trampoline import CancelledError, Future, InvalidStateError, Loop, Task, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def make(loop: Loop, later: Callable[[Any], Any]) -> tuple[Module, frozenset[Any]]:
    """Build the module, and the functions whose direct arguments may be calls that start without waiting.

    `later(function)` gives the awaitable form of a tool, and every other function back as it is.
    """
    functions = _Functions(loop, later)
    names = {name: getattr(functions, name) for name in (*_SCHEDULING, *_OTHERS)}
    classes = synchronization.classes(loop)
    constants = {"FIRST_COMPLETED": "FIRST_COMPLETED", "FIRST_EXCEPTION": "FIRST_EXCEPTION"}
    constants["ALL_COMPLETED"] = "ALL_COMPLETED"
    errors = {
        "TimeoutError": TimeoutError,
        "CancelledError": CancelledError,
        "InvalidStateError": InvalidStateError,
        "QueueEmpty": synchronization.QueueEmpty,
        "QueueFull": synchronization.QueueFull,
        "Task": Task,
        "Future": Future,
    }
    schedulers: set[Any] = {names[name] for name in _SCHEDULING} | {vars(classes["TaskGroup"])["create_task"]}
    return make_module("asyncio", names | classes | constants | errors), frozenset(schedulers)


_SCHEDULING = str.split("gather create_task ensure_future wait_for wait as_completed shield run")
_OTHERS = str.split(
    "sleep timeout to_thread current_task all_tasks get_event_loop get_running_loop new_event_loop set_event_loop "
    "iscoroutine iscoroutinefunction isfuture"
)


class _Functions:
    """The functions of the module. Their bound methods are made once: `make` compares them by identity."""

    def __init__(self, loop: Loop, later: Callable[[Any], Any]) -> None:
        self._loop = loop
        self._later = later

    def gather(self, *coros_or_futures: Any, return_exceptions: bool = False) -> Future:
        once = {id(each): each for each in coros_or_futures}
        started = {number: self._loop.start(each) for number, each in once.items()}
        parts = [started[id(each)] for each in coros_or_futures]
        return sealed.make(_Gathered, parts, keep_errors=return_exceptions)

    def create_task(self, coro: Any, *, name: str | None = None, context: object = None) -> Future:
        return self._loop.start(coro, name)

    def ensure_future(self, coro_or_future: Any, *, loop: object = None) -> Future:
        return self._loop.start(coro_or_future)

    def shield(self, arg: Any) -> Future:
        inner, outer = self._loop.start(arg), Future()
        inner.when_done(lambda: _copy_outcome(inner, outer))
        return outer

    def run(self, main: Any, *, debug: object = None) -> Any:
        return self._loop.run(main)

    async def sleep(self, delay: float, result: Any = None) -> Any:
        await self._loop.after(delay)
        return result

    async def wait_for(self, fut: Any, timeout: float | None) -> Any:
        future = self._loop.start(fut)
        if timeout is None:
            return await future
        try:
            if timeout > 0:
                await self._first(future, self._loop.after(timeout))
        except CancelledError:
            future.cancel()
            raise
        if not future.done():
            future.cancel()
            await self._first(future)  # what it does to come to an end is over first
            if future.cancelled():
                raise TimeoutError
        return future.result()

    def timeout(self, delay: float | None) -> Any:
        return sealed.make(_Timeout, self._loop, delay)

    async def wait(
        self, fs: Iterable[Any], *, timeout: float | None = None, return_when: str = "ALL_COMPLETED"
    ) -> tuple[set[Future], set[Future]]:
        futures = [self._loop.start(awaitable) for awaitable in fs]
        deadline = None if timeout is None else self._loop.after(timeout)
        while not _enough(futures, return_when) and not (deadline and deadline.done()):
            unfinished = [future for future in futures if not future.done()]
            await self._first(*unfinished, *([deadline] if deadline else []))
        done = {future for future in futures if future.done()}
        return done, set(futures) - done

    def as_completed(self, fs: Iterable[Any], *, timeout: float | None = None) -> Iterator[Any]:
        waiting = [self._loop.start(awaitable) for awaitable in fs]
        deadline = None if timeout is None else self._loop.after(timeout)

        async def next_one() -> Any:
            while not any(future.done() for future in waiting):  # another one may have taken what woke this one
                if deadline is not None and deadline.done():
                    raise TimeoutError
                await self._first(*waiting, *([deadline] if deadline else []))
            ready = next(future for future in waiting if future.done())
            waiting.remove(ready)
            return ready.result()

        for _ in range(len(waiting)):
            yield next_one()

    async def to_thread(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        value = self._later(function)(*args, **kwargs)
        return await value if isinstance(value, Future) else value

    def current_task(self) -> Task | None:
        return self._loop.current

    def all_tasks(self) -> set[Task]:
        return set(self._loop.pending())

    def get_event_loop(self) -> Any:
        return sealed.make(_EventLoop, self)

    get_running_loop = new_event_loop = get_event_loop

    def set_event_loop(self, loop: object) -> None:
        """There is one loop; it stays."""

    def iscoroutine(self, value: object) -> bool:
        return inspect.iscoroutine(value)

    def iscoroutinefunction(self, value: object) -> bool:
        return inspect.iscoroutinefunction(value)

    def isfuture(self, value: object) -> bool:
        return isinstance(value, Future)

    async def _first(self, *futures: Future) -> None:
        woken = Future()
        for future in futures:
            future.when_done(lambda: woken.set_result(None))
        await woken


class _Gathered(Work, metaclass=Sealed):
    """What `gather` gives: the values of its parts. Cancelled, it cancels them."""

    def __init__(self, parts: list[Future], *, keep_errors: bool) -> None:
        super().__init__()
        self._parts = parts
        self._keep_errors = keep_errors
        self._left = len(parts)
        self._given_up = False
        for part in parts:
            part.when_done(lambda part=part: self._finished(part))
        if not parts:
            self.set_result([])

    def cancel(self, msg: object = None) -> bool:
        if self.done():
            return False
        self._given_up = True  # some parts come to their end at once
        given_up = [part.cancel(msg) for part in self._parts]  # each of them
        return any(given_up)

    def _finished(self, part: Future) -> None:
        self._left -= 1
        error = _error(part)
        if error is not None and not self._keep_errors:
            self.set_exception(error)
        elif not self._left and self._given_up:
            self.set_exception(CancelledError())
        elif not self._left:
            outcomes = [(_error(done), done) for done in self._parts]
            self.set_result([done.result() if error is None else error for error, done in outcomes])


class _EventLoop(metaclass=Sealed):
    """What `asyncio.get_event_loop()` gives: the few methods that plans use."""

    def __init__(self, functions: _Functions) -> None:
        self._functions = functions

    def create_task(self, coroutine: Any, *, name: str | None = None) -> Future:
        return self._functions.create_task(coroutine, name=name)

    def run_until_complete(self, awaitable: Any) -> Any:
        return self._functions.run(awaitable)

    def time(self) -> float:
        return time.monotonic()

    def is_running(self) -> bool:
        return True

    def close(self) -> None:
        """The loop goes on."""


class _Timeout(metaclass=Sealed):
    """`async with asyncio.timeout(seconds)`."""

    def __init__(self, loop: Loop, delay: float | None) -> None:
        self._loop = loop
        self._delay = delay
        self._expired = False

    def expired(self) -> bool:
        return self._expired

    async def __aenter__(self) -> _Timeout:
        task = self._loop.current
        self._task = task
        if self._delay is not None and task is not None:
            self._timer = self._loop.after(self._delay)
            self._timer.when_done(lambda: self._expire(task))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if self._delay is not None:
            delay, self._delay = self._delay, None
            if kind is CancelledError and self._expired:
                raise TimeoutError(f"Took longer than {delay:g} s.")
            self._timer.cancel()
            if self._expired and self._task is not None:
                self._task.uncancel()  # the block was left before it could be told

    def _expire(self, task: Task) -> None:
        if self._delay is not None and not self._timer.cancelled():
            self._expired = True
            task.cancel()


def _error(future: Future) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as cancelled:
        return cancelled


def _copy_outcome(source: Future, target: Future) -> None:
    error = _error(source)
    if error is None:
        target.set_result(source.result())
    else:
        target.set_exception(error)


def _enough(futures: list[Future], return_when: str) -> bool:
    done = [future for future in futures if future.done()]
    if return_when == "FIRST_COMPLETED" and done:
        return True
    if return_when == "FIRST_EXCEPTION" and any(not each.cancelled() and each.exception() for each in done):
        return True
    return len(done) == len(futures)
