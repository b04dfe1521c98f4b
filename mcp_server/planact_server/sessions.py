"""REPL sessions: who owns one, which worker holds it, its last exported state, when it expires.

A session outlives its worker. When the worker is gone (killed, idle too long, another process), the next plan gets a
new one with the data variables put back and the functions, classes and imports defined again from their source, and
its answer says what was kept and what was lost.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from planact_server.content import Contents, holds_handle
from planact_server.database import StoreError
from planact_server.sandbox import EngineError
from planact_tools import JSONValue

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from planact_server.sandbox import Engine, Outcome, Worker

logger = logging.getLogger(__name__)


MOST_RESTING = 64
RESTING_BYTES = 256 * 2**20
"""Sessions without a worker that stay in memory, and their data together; the store has the others."""

MOST_BUSY = 256
"""Plans that run at the same time."""

KEPT_BYTES = 32 * 2**20
"""What is kept of one session's variables, as large as they are in this process: a new worker can take that over
within its memory. Those that were set longest ago go first."""

MOST_NAMES = 10_000
"""Names that one session remembers of functions, and of what a new worker will not have."""


class SessionError(Exception):
    """The session cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSession:
    """What is left of a session without its worker."""

    session: str
    client: str
    variables: Mapping[str, JSONValue]
    definitions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name → source of functions, classes and imports, in the order in which they were defined."""

    unsaved: tuple[str, ...] = ()
    """Functions without a source, objects and values too large to keep: what a new worker will not have."""


class SessionStore(Protocol):
    """Where sessions are kept between processes."""

    def save_session(self, saved: SavedSession) -> None: ...

    def load_session(self, session: str) -> SavedSession | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a session had to give up with its worker."""

    kept: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One client's REPL."""

    handle: str
    client: str
    worker: Worker | None = None
    begun: bool = False
    """It has had a worker before: a new one has lost something, if only what a plan made last."""

    variables: dict[str, JSONValue] = field(default_factory=dict[str, JSONValue])
    definitions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name → source: what a new worker defines again."""

    unsaved: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    """The functions, classes and modules of the worker, with a source and without."""

    contents: Contents = field(default_factory=Contents)
    busy_with: str | None = None
    """Handle of the run that is using the session now."""

    stored: bool = False
    """Its data are in the store as they are here."""

    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the data are written: what was written last is what is newest."""

    used: float = field(default_factory=time.monotonic)
    _sizes: dict[str, int] = field(default_factory=dict[str, int])
    """Of the variables, in the order in which they were set."""

    def __post_init__(self) -> None:
        self._sizes = {name: _held_bytes(value) or 0 for name, value in self.variables.items()}
        self.unsaved = (*self.unsaved, *self._make_room())

    @property
    def resting(self) -> bool:
        """Whether the store alone could hold it."""
        return self.stored and not self.saving.locked() and self.worker is None and self.busy_with is None

    @property
    def kept_bytes(self) -> int:
        """What the variables take in this process."""
        return sum(self._sizes.values())

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions, classes and modules that the next plan can use."""
        return self.code if self.worker is not None and self.worker.alive else tuple(self.definitions)

    def absorb(self, outcome: Outcome) -> tuple[str, ...]:
        """Take over what a plan left behind. Return the names of data for which no room is left here."""
        self.stored = False
        sizes = {name: _held_bytes(value) for name, value in outcome.variables.items()}
        lossy = {*outcome.truncated, *outcome.inexact}
        partial = [name for name, size in sizes.items() if name in lossy or size is None]
        for name in (*outcome.deleted, *outcome.variables, *outcome.functions):
            self.variables.pop(name, None)
            self._sizes.pop(name, None)
        for name, value in outcome.variables.items():
            size = sizes[name]
            if size is not None and name not in lossy:
                self.variables[name], self._sizes[name] = value, size
        left_out = self._make_room()
        if outcome.definitions is not None:
            self.definitions = outcome.definitions
        # What a function has returned may be data, whatever its source says.
        self.definitions = {name: text for name, text in self.definitions.items() if name not in self.variables}
        gone = {*outcome.deleted, *self.variables, *self.definitions}
        held = dict.fromkeys((*self.unsaved, *self.code, *outcome.functions, *partial, *left_out))
        self.unsaved = tuple(name for name in held if name not in gone)[-MOST_NAMES:]
        named = dict.fromkeys((*self.code, *outcome.functions))
        no_code = {*outcome.deleted, *self.variables, *partial, *left_out}
        self.code = tuple(name for name in named if name not in no_code)[-MOST_NAMES:]
        self.used = time.monotonic()
        return left_out

    def _make_room(self) -> tuple[str, ...]:
        """Let go of what was set longest ago, where the data have outgrown what is kept; return its names."""
        excess = self.kept_bytes - KEPT_BYTES
        left_out: list[str] = []
        for name in [*self._sizes]:
            if excess <= 0:
                break
            excess -= self._sizes.pop(name)
            del self.variables[name]
            left_out.append(name)
        return tuple(left_out)

    def saved(self) -> SavedSession:
        """Return what another process can go on with. Contents stay here, so their handles would lead nowhere."""
        variables = {name: value for name, value in self.variables.items() if not holds_handle(value)}
        unsaved = (*self.unsaved, *(name for name in self.variables if name not in variables))
        return SavedSession(
            session=self.handle,
            client=self.client,
            variables=variables,
            definitions=self.definitions,
            unsaved=unsaved,
        )

    def put_back(self, lost: Collection[str]) -> Recovered:
        """Note what a new worker has, where `lost` could not be put back or defined again."""
        self.variables = {name: value for name, value in self.variables.items() if name not in lost}
        self._sizes = {name: size for name, size in self._sizes.items() if name not in lost}
        self.definitions = {name: text for name, text in self.definitions.items() if name not in lost}
        recovered = Recovered(
            kept=tuple(dict.fromkeys((*self.variables, *self.definitions))), lost=(*self.unsaved, *lost)
        )
        self.unsaved, self.code = (), tuple(self.definitions)
        return recovered

    def ever_less(self) -> Iterator[tuple[Mapping[str, JSONValue], Mapping[str, str]]]:
        """Say what to put into one new worker after the other until one bears it."""
        # A failure may be chance (its zygote was killed). Then it is a definition that does not let go of the worker,
        # or more data than fit into it.
        yield self.variables, self.definitions
        yield self.variables, self.definitions
        if self.definitions:
            yield self.variables, {}
        if self.variables:
            yield {}, self.definitions
        yield {}, {}


_DESCRIPTION = {"$type", "repr"}


def _held_bytes(value: JSONValue) -> int | None:
    """Return what a value takes in memory; None where a part of it was exported only as a description of itself."""
    size = 0
    parts: list[JSONValue] = [value]
    while parts:
        part = parts.pop()
        size += sys.getsizeof(part)
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            if part.keys() == _DESCRIPTION:  # and not data of somebody's that have a "$type" among their keys
                return None
            parts += part
            parts += part.values()
    return size


class Sessions:
    """All sessions of this process; an async context manager that ends their workers."""

    def __init__(self, engine: Engine, *, store: SessionStore | None, idle_seconds: float, most_workers: int) -> None:
        self._engine = engine
        self._store = store
        self._starting = 0
        self._idle_seconds = idle_seconds
        self._most_workers = most_workers
        self._sessions: dict[str, Session] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What every answer has to say about where plans run here."""
        return (self._engine.warning,) if self._engine.warning is not None else ()

    def create(self, client: str) -> Session:
        """Begin a session. Raises SessionError while more plans run than may."""
        self.refuse_more()
        session = Session(handle=f"s_{secrets.token_hex(16)}", client=client)
        self._add(session)
        return session

    def get(self, handle: str, client: str) -> Session:
        """Return a session of this client. Raises SessionError when it is unknown or belongs to another."""
        session = self._sessions.get(handle) or self._load(handle)
        # The same words for both cases: a stranger must not learn which handles exist.
        if session is None or session.client != client:
            raise SessionError(
                f"Unknown session {handle!r}: it has expired or never existed. Leave `session` out to start a new one."
            )
        return session

    def refuse_more(self) -> None:
        """Raise SessionError while as many plans run as may: each has a worker of its own."""
        busy = sum(session.busy_with is not None for session in self._sessions.values())
        if busy >= MOST_BUSY:
            raise SessionError(f"{busy} plans are running, and no more may at once. Send this one again later.")

    def find(self, handle: str) -> Session | None:
        """Return a session that lives in this process."""
        return self._sessions.get(handle)

    async def worker(self, session: Session) -> tuple[Worker, Recovered | None]:
        """Return the session's worker, a new one where it has none. Raises EngineError."""
        if session.worker is not None and session.worker.alive:
            return session.worker, None
        await self.drop_worker(session)  # it died between two plans
        self._starting += 1
        try:
            await self._make_room(self._starting)
            session.worker = await self._engine.worker()
        finally:
            self._starting -= 1
        if not session.begun:
            session.begun = True
            return session.worker, None
        lost = await self._restore(session, session.worker)
        return session.worker, session.put_back(lost)

    async def keep(self, session: Session) -> None:
        """A plan has ended: write the session's data to the store, and let go of workers that there are too many of."""
        if self._store is None:
            await self._make_room(self._starting)
            return
        async with session.saving:
            session.stored = True  # unless the next plan ends meanwhile
            try:
                await asyncio.to_thread(self._store.save_session, session.saved())
            except StoreError as error:  # a full disk: the session goes on in this process
                session.stored = False
                logger.warning("session %s is not kept: %s", session.handle, error)
        await self._make_room(self._starting)

    async def drop_worker(self, session: Session) -> None:
        await self._drop_workers([session])

    async def _drop_workers(self, sessions: Iterable[Session]) -> None:
        """Take the workers away at once: while one of them ends, a plan may begin in another session."""
        workers: list[Worker] = []
        for session in sessions:
            if session.worker is not None:
                workers.append(session.worker)
                session.worker = None
        await asyncio.gather(*(worker.aclose() for worker in workers))

    async def reap(self) -> None:
        """Let go of workers that nobody has used for a while; their sessions stay."""
        now = time.monotonic()
        await self._drop_workers(s for s in self._idle() if now - s.used > self._idle_seconds)

    async def __aenter__(self) -> Self:
        self._reaper = asyncio.create_task(self._reap_forever(), name="idle sessions")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reaper.cancel()
        await asyncio.gather(self._reaper, return_exceptions=True)
        await self._drop_workers(self._sessions.values())

    async def _reap_forever(self) -> None:
        while True:
            await asyncio.sleep(min(60.0, self._idle_seconds / 4))
            await self.reap()

    async def _restore(self, session: Session, worker: Worker) -> Collection[str]:
        """Return the names of what could not be put back or defined again. Raises EngineError."""
        for variables, definitions in session.ever_less():
            if not worker.alive:
                worker = await self._another_worker(session)
            try:
                undefined = await worker.restore(variables, definitions)
            except EngineError as error:
                logger.info("session %s could not be put back: %s", session.handle, error)
            else:
                left_out = [name for name in session.variables if name not in variables]
                left_out += [name for name in session.definitions if name not in definitions]
                return (*left_out, *undefined)
        raise EngineError("No new worker takes the session over, not even without its data.")

    async def _another_worker(self, session: Session) -> Worker:
        await self.drop_worker(session)
        session.worker = await self._engine.worker()
        return session.worker

    async def _make_room(self, more: int) -> None:
        """Take workers away from sessions that are idle, the least used first, where with `more` there are too many."""
        idle = sorted(self._idle(), key=lambda session: session.used)
        alive = sum(session.worker is not None for session in self._sessions.values())
        await self._drop_workers(idle[: max(0, alive + more - self._most_workers)])

    def _add(self, session: Session) -> None:
        """Hold a session; leave all but the latest without a worker to the store."""
        resting = [s for s in self._sessions.values() if s.resting]
        resting.sort(key=lambda session: session.used, reverse=True)
        size = 0
        for number, other in enumerate(resting):
            size += other.kept_bytes + other.contents.held_bytes
            if number >= MOST_RESTING or size > RESTING_BYTES:
                del self._sessions[other.handle]
        self._sessions[session.handle] = session

    def _idle(self) -> list[Session]:
        return [s for s in self._sessions.values() if s.worker is not None and s.busy_with is None]

    def _load(self, handle: str) -> Session | None:
        try:
            saved = self._store.load_session(handle) if self._store is not None else None
        except StoreError as error:
            raise SessionError(f"Session {handle!r} cannot be looked up: {error}") from error
        if saved is None:
            return None
        session = Session(
            handle=handle,
            client=saved.client,
            begun=True,
            variables=dict(saved.variables),
            definitions=saved.definitions,
            unsaved=saved.unsaved,
        )
        self._add(session)
        return session
