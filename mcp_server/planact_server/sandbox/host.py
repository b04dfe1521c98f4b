"""Where workers come from: a source that starts them, and a few that are started before anybody asks."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import anyio

from planact_server.sandbox import EngineError, Limits, WeakJailError, requirements
from planact_server.sandbox.job_object import JobObject
from planact_server.sandbox.launching import command
from planact_server.sandbox.monty.source import MontySource, is_installed
from planact_server.sandbox.spawn_source import SpawnSource
from planact_server.sandbox.worker import INTERPRETER_BYTES

if sys.platform != "win32":
    from planact_server.sandbox.zygote_source import ZygoteSource

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from planact_server.sandbox.worker import JailedWorker
    from planact_tools import JSONObject

logger = logging.getLogger(__name__)

EngineChoice: TypeAlias = Literal["auto", "fork", "spawn", "monty"]

POOL_IDLE_SECONDS = 600.0
REST_FACTOR = 3

_CLOSED = "The engine is closed."

CPU_SECONDS = 3600
"""A worker's CPU time over its whole life. A session that used it up goes on in a new worker."""


class WorkerSource(Protocol):
    """Starts workers; knows nothing of pools."""

    @property
    def name(self) -> str: ...

    async def start(self) -> JailedWorker:
        """Return a worker that serves. Raises EngineError."""
        ...

    async def rest(self) -> None:
        """Nobody has asked for a worker for a while: keep only what the living workers need."""
        ...

    async def aclose(self) -> None: ...


class PooledEngine:
    """Gives out workers, each to one session only, and keeps `warm` of them ready while there is something to do."""

    def __init__(
        self,
        source: WorkerSource,
        *,
        warm: int,
        idle_seconds: float = POOL_IDLE_SECONDS,
        allow_weaker: bool = False,
    ) -> None:
        """`allow_weaker`: give out workers also where the jail lacks what it has to have.

        When nobody has asked for a worker for `idle_seconds`, those that are ready go; after `REST_FACTOR` times as
        long, so does what they come from.
        """
        self._source = source
        self._warm = warm
        self._allow_weaker = allow_weaker
        self._ready: deque[JailedWorker] = deque()
        self._given: list[JailedWorker] = []
        self._layers: JSONObject = {}
        self._missing: dict[str, str] = {}
        self._filling: asyncio.Task[None] | None = None
        self._idle_seconds = idle_seconds
        self._timers: list[asyncio.TimerHandle] = []
        self._letting_go: asyncio.Task[None] | None = None
        self._closed = False
        self._starting = 0
        self._none_starting = asyncio.Event()
        self._none_starting.set()

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def layers(self) -> JSONObject:
        return dict(self._layers)

    @property
    def warning(self) -> str | None:
        return requirements.warning(self._missing) if self._missing and self._allow_weaker else None

    async def worker(self) -> JailedWorker:
        """Return a fresh worker. Raises EngineError when none can be started, or the jail is too weak."""
        if self._closed:
            raise EngineError(_CLOSED)
        worker = await self._ready_worker() or await self._start()
        self._given = [*(given for given in self._given if not given.closed), worker]
        self.warm_up()
        return worker

    def warm_up(self) -> None:
        """Fill the pool in the background. Worth a call early on: the first worker is the slow one."""
        if self._closed:
            return
        self._begin_to_idle()
        if self._warm > len(self._ready) and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._fill(), name="warm workers")

    async def aclose(self) -> None:
        """End every worker and whatever they came from. May be called twice."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            self._stop_idling()
            for task in (self._filling, self._letting_go):
                if task is not None:
                    task.cancel()
                    await asyncio.wait([task])
            # Each may take its time to end, where what it was forked from does not answer any more.
            await asyncio.gather(*(worker.aclose() for worker in (*self._ready, *self._given)))
            self._ready.clear()
            await self._source.aclose()
            await self._none_starting.wait()

    async def _start(self) -> JailedWorker:
        with self._counted():
            worker = await self._source.start()
            if self._closed:  # meanwhile, and nobody else would end it
                await worker.aclose()
                raise EngineError(_CLOSED)
        self._layers = dict(worker.layers)
        self._missing = requirements.missing(worker.layers)
        if self._missing and not self._allow_weaker:
            await worker.aclose()
            raise WeakJailError(requirements.refusal(self._missing))
        return worker

    @contextmanager
    def _counted(self) -> Generator[None]:
        """Have `aclose` wait for this start."""
        self._starting += 1
        self._none_starting.clear()
        try:
            yield
        finally:
            self._starting -= 1
            if not self._starting:
                self._none_starting.set()

    async def _ready_worker(self) -> JailedWorker | None:
        while self._ready:
            worker = self._ready.popleft()
            if worker.alive:
                return worker
            await worker.aclose()
        return None

    def _begin_to_idle(self) -> None:
        self._stop_idling()
        later = asyncio.get_running_loop().call_later
        self._timers = [
            later(self._idle_seconds, self._let_go, self._drop_ready),
            later(REST_FACTOR * self._idle_seconds, self._let_go, self._rest),
        ]

    def _stop_idling(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _let_go(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._letting_go = asyncio.create_task(work(), name="idle workers")

    async def _drop_ready(self) -> None:
        while self._ready:
            await self._ready.popleft().aclose()

    async def _rest(self) -> None:
        await self._drop_ready()
        await self._source.rest()

    async def _fill(self) -> None:
        while len(self._ready) < self._warm:
            try:
                self._ready.append(await self._start())
            except EngineError:
                # Whoever needs a worker next tries again, and is told.
                logger.warning("No worker could be started ahead of need", exc_info=True)
                return
        self._begin_to_idle()  # a slow machine may have let that time pass before there was a worker to let go


def open_engine(
    choice: EngineChoice = "auto",
    *,
    limits: Limits,
    warm_workers: int = 1,
    idle_seconds: float = POOL_IDLE_SECONDS,
    cpu_seconds: int = CPU_SECONDS,
    allow_weaker: bool = False,
) -> PooledEngine:
    """Return an engine that starts nothing before it is asked to; `aclose` ends all of its workers.

    "auto" is fork where the system has it, elsewhere monty where that is installed, else spawn. `limits.memory_bytes`
    holds for every worker; the other limits are given with each plan. `warm_workers` are kept ready, so that a new
    session costs nothing, until nobody has asked for one for `idle_seconds`. `allow_weaker` runs plans also where the
    system lacks a layer that the jail has to have.
    """
    return PooledEngine(
        _source(choice, limits.memory_bytes, cpu_seconds),
        warm=warm_workers,
        idle_seconds=idle_seconds,
        allow_weaker=allow_weaker,
    )


def _source(choice: EngineChoice, memory_bytes: int, cpu_seconds: int) -> WorkerSource:
    if choice == "monty" or (choice == "auto" and sys.platform == "win32" and is_installed()):
        return MontySource(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)
    rights: JSONObject = {"memory_bytes": memory_bytes, "cpu_seconds": cpu_seconds}
    if choice == "spawn" or (choice == "auto" and sys.platform == "win32"):
        return SpawnSource(
            partial(command, "spawned", rights=rights),
            memory_bytes=memory_bytes,
            enclose=_enclosure(memory_bytes, cpu_seconds),
        )
    if sys.platform != "win32":
        return ZygoteSource(rights=rights, memory_bytes=memory_bytes)
    raise EngineError("The engine 'fork' needs fork, which Windows does not have; use 'monty' or 'spawn'.")


def _enclosure(memory_bytes: int, cpu_seconds: int) -> Callable[[int], JobObject] | None:
    """Return what puts limits around a process that can put none on itself."""
    if sys.platform != "win32":
        return None
    return partial(JobObject, memory_bytes=memory_bytes + INTERPRETER_BYTES, cpu_seconds=cpu_seconds)
