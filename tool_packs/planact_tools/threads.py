"""Running blocking work beside the event loop."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, name: str) -> T:
    """Run `work` in a thread of its own and return what it returns.

    A cancelled await leaves the thread running: Python cannot stop one. `asyncio.to_thread` would do but for
    its threads being joined at exit, where one tool that hangs keeps the whole process.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from now on cancelling the await cannot cancel the future
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - nothing is swallowed: the awaiting side raises it
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
