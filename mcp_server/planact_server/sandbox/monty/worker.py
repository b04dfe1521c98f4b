"""The host's side of one Monty process: one session, one plan at a time."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import anyio
from pydantic_monty import (
    AsyncNameLookupSnapshot,
    ClassInstance,
    MontyComplete,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySyntaxError,
)

from planact_server.sandbox import (
    NO_DEFINITIONS,
    Checkpoint,
    EngineError,
    LimitReached,
    Limits,
    Outcome,
    PlanError,
    PlanHost,
    Resolution,
    ToolRequest,
    Unresolved,
)
from planact_server.sandbox.monty import failures, language, values
from planact_server.sandbox.monty.feed import PlanFeed, Stop
from planact_server.sandbox.monty.outline import Outline
from planact_server.sandbox.process import Loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_server.sandbox.monty.process import MontyProcess
    from planact_server.sandbox.worker import JailedWorker
    from planact_tools import JSONValue

GRACE_SECONDS = 2.0
"""Between asking a plan to stop and ending its process. Only a plan that asks for something notices the first."""

READ_SECONDS = 10.0
READ_BYTES = 8 * 1024 * 1024

CHECKPOINT_BYTES = 64 * 1024 * 1024

_STOP_TYPES = {"timeout": "TimeoutError", "limit": "LimitReached", "cancelled": "Cancelled"}
_CODE = ("function", "type", "module", "coroutine", "builtin_function_or_method", "method")


class _Unbound:
    """Stands for a name that has no value."""


_UNBOUND = _Unbound()


@dataclasses.dataclass(slots=True)
class _State:
    """What the host knows of the session besides what Monty holds."""

    names: dict[str, None] = dataclasses.field(default_factory=dict[str, None])
    """Names that plans may have bound."""

    present: frozenset[str] = frozenset()
    """Those that are bound."""

    functions: tuple[str, ...] = ()
    """Those that hold what is no data."""

    digests: dict[str, bytes] = dataclasses.field(default_factory=dict[str, bytes])
    outlines: dict[str, Outline] = dataclasses.field(default_factory=dict[str, Outline])
    feeds: int = 0

    def copy(self) -> _State:
        return dataclasses.replace(
            self, names=dict(self.names), digests=dict(self.digests), outlines=dict(self.outlines)
        )


class MontyWorker:
    """One session in a process of its own. Whoever started the process hands it over; `aclose` ends it."""

    def __init__(self, process: MontyProcess, reader: JailedWorker) -> None:
        """`reader` reads plans and runs none."""
        self.closed = False
        self._process = process
        self._reader = reader
        self._state = _State()
        self._checkpoint: tuple[bytes, _State] | None = None
        self._servers: dict[object, str] = {}
        self._run: PlanFeed | None = None
        self._task: asyncio.Task[Outcome] | None = None
        self._stopped: tuple[Stop, str] | None = None
        self._interrupting: asyncio.Task[None] | None = None
        self._lost: Loss | None = None
        process.when_ended(self._wake)

    @property
    def layers(self) -> Mapping[str, bool | str]:
        """Those of both processes: a layer that the reader lacks is lacking."""
        lacking = {name: f"of the reader: {why}" for name, why in self._reader.layers.items() if why is not True}
        own = self._process.layers
        return {**own, **{name: why for name, why in lacking.items() if own.get(name) is True}}

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._lost is None and not self.closed and self._process.alive and self._reader.alive

    async def start(self) -> None:
        """Give the session what every session has. Raises EngineError, with the worker closed."""
        try:
            await self._feed(language.PRELUDE)
        except BaseException:
            await self.aclose()
            raise

    async def run(self, source: str, *, host: PlanHost, limits: Limits) -> Outcome:
        """Run one plan. `limits.memory_bytes` was fixed when the worker started; the rest holds for this plan."""
        self._refuse_when_busy()
        if not self.alive:
            return self._gone(Outcome(status="error"))
        self._stopped = None
        task = self._task = asyncio.create_task(self._run_plan(source, host, limits))
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

    def so_far(self) -> Outcome:
        """Return what is known of the running plan."""
        return _observed(self._run) if self._run is not None else Outcome(status="ok")

    async def interrupt(self) -> None:
        """Stop the running plan soon; its `run` returns an Outcome with status `cancelled` and partial results."""
        self._stop("cancelled", "The plan was cancelled.")

    async def restore(
        self, variables: Mapping[str, JSONValue], definitions: Mapping[str, str] = NO_DEFINITIONS
    ) -> tuple[str, ...]:
        """Put data variables of an earlier worker into this one. Raises EngineError when the worker is lost.

        Returns the names of the definitions, none of which is made again here.
        """
        self._refuse_when_busy()
        given = {name: value for name, value in variables.items() if _is_ordinary(name)}
        await self._feed("None", inputs=given)
        self._state.names |= dict.fromkeys(given)
        kept, _ = await self._variables()
        self._state.present = frozenset(kept)
        self._state.digests = values.digests(values.exported(kept, max_bytes=values.ALL_BYTES).values)
        return tuple(definitions)

    async def checkpoint(self) -> Checkpoint:
        """Note the session as it is, for `rollback`. Raises EngineError when the worker is lost."""
        self._refuse_when_busy()
        self._checkpoint = None
        noted = await self._ask(self._process.session.dump(), "The session could not be noted.")
        if len(noted) > CHECKPOINT_BYTES:
            return Checkpoint(taken=False)
        self._checkpoint = noted, self._state.copy()
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
            await self._ask(self._process.session.load_session(noted), failed)
        except EngineError:
            self._lose(Loss(status="error", reason=failed))
            raise
        self._state = state.copy()
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
            await self._reader.aclose()
        self.closed = True

    # ---- a plan ----------------------------------------------------------------------------------------------------

    async def _run_plan(self, source: str, host: PlanHost, limits: Limits) -> Outcome:
        clock = asyncio.get_running_loop().call_later(
            limits.seconds, self._stop, "timeout", f"The plan ran longer than {limits.seconds:g} seconds."
        )
        try:
            read = await self._read(source, host, limits)
            if isinstance(read, Outcome):
                return read
            outline, resolved = read
            run = self._run = PlanFeed(
                self._process.session,
                outline,
                host=host,
                limits=limits,
                resolved=resolved,
                earlier=self._state.outlines,
                servers=self._servers,
                computed_too_long=lambda: self._stop(
                    "limit", f"The plan computed for longer than {limits.cpu_seconds:g} seconds of CPU time."
                ),
            )
            run.stopped = self._stopped  # maybe before it could begin
            return await self._outcome(run, outline, limits)
        finally:
            clock.cancel()

    async def _read(
        self, source: str, host: PlanHost, limits: Limits
    ) -> tuple[Outline, Mapping[str, Resolution]] | Outcome:
        """Have the plan read. Returns an outcome where it cannot be run."""
        plan = source.replace("\r\n", "\n").replace("\r", "\n")  # Monty counts bytes of what it is given
        names = Names(host)
        known: dict[str, JSONValue] = {"session": list(self._state.present), "python": list(language.KNOWN)}
        within = dataclasses.replace(limits, seconds=min(limits.seconds, READ_SECONDS), state_bytes=READ_BYTES)
        read = await self._reader.run(plan, host=names, limits=within, outline=known)
        if read.worker_lost is not None:
            self._lose(Loss(status="error", reason=read.worker_lost))
        if read.status != "ok":
            return dataclasses.replace(read, functions=self._state.functions)
        if read.truncated:
            large = PlanError(type="LimitReached", message="The plan has too many calls.", hint="Split it.")
            return Outcome(status="limit", errors=(large,), functions=self._state.functions)
        return Outline(plan, f"<python-input-{self._state.feeds}>", read.result), names.found

    async def _outcome(self, run: PlanFeed, outline: Outline, limits: Limits) -> Outcome:
        if run.stopped is not None:
            return Outcome(status=run.stopped[0], errors=_errors(run, None, self._state, {}))
        self._state.feeds += 1
        try:
            result = await run.run()
        except MontyCrashedError as crash:
            self._lose(self._why(run, crash, limits))
            return self._gone(_observed(run))
        except (MontySyntaxError, MontyRuntimeError) as error:
            if isinstance(error, MontySyntaxError) or failures.is_unknown_syntax(error):
                problem = failures.unknown_syntax(error, outline)
                return Outcome(status="refused", errors=(problem,), functions=self._state.functions)
            return await self._failed(run, error, outline, limits)
        run.settle_bindings(set())
        return await self._left(run, outline, limits, result=result)

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
        result: Any = None,
        failure: MontyRuntimeError | None = None,
        before: int | None = None,
    ) -> Outcome:
        """What the plan left in its session."""
        state = self._state
        state.outlines[outline.text.filename] = outline
        state.names |= dict.fromkeys(outline.bound)
        observed = _observed(run)
        try:
            kept, functions = await self._variables()
        except EngineError:
            return self._gone(dataclasses.replace(observed, errors=_errors(run, failure, state, {})))
        has_result = failure is None and outline.has_result
        given = {**kept, _RESULT: result} if has_result else kept
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
            truncated={
                ("result" if name == _RESULT else name): size
                for name, size in exported.truncated.items()
                if name == _RESULT or name in changed
            },
        )

    async def _variables(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the session's data, and the names of its functions, classes and modules. Raises EngineError."""
        names = [name for name in self._state.names if _is_ordinary(name)]
        if not names:
            return {}, ()
        kind = "''" if "type" in self._state.names else "type({0}).__name__"
        wanted = ", ".join(f"({kind.format(name)}, {name})" for name in names)
        found: list[tuple[str, Any]] = await self._feed(f"[{wanted}]")
        bound = {name: each for name, each in zip(names, found, strict=True) if each[1] is not _UNBOUND}
        functions = tuple(name for name, (kind, _) in bound.items() if kind in _CODE)
        return {name: value for name, (_, value) in bound.items() if name not in functions}, functions

    # ---- the process -----------------------------------------------------------------------------------------------

    async def _feed(self, code: str, *, inputs: dict[str, JSONValue] | None = None) -> Any:
        """Run code of our own. Raises EngineError, with the worker lost, when it fails."""
        self._state.feeds += 1
        return await self._ask(self._evaluate(code, inputs), "The session does not answer any more.")

    async def _evaluate(self, code: str, inputs: dict[str, JSONValue] | None) -> Any:
        snapshot = await self._process.session.feed_start(code, inputs=inputs, print_callback=_ignore)
        while not isinstance(snapshot, MontyComplete):
            if not isinstance(snapshot, AsyncNameLookupSnapshot):
                raise EngineError("The session asks for something while it is looked at.")
            snapshot = await snapshot.resume(value=ClassInstance(_UNBOUND))
        return snapshot.output

    async def _ask(self, work: Any, otherwise: str) -> Any:
        """Await an answer of the process. Raises EngineError, with the worker lost, when there is none."""
        try:
            with anyio.fail_after(self._process.reply_seconds):
                return await work
        except MontyError as error:
            status = "limit" if isinstance(error.exception(), MemoryError) else "error"
            self._lose(Loss(status=status, reason=f"{otherwise} {error}"))
            raise EngineError(f"{otherwise} {error}") from error
        except (TimeoutError, RuntimeError) as error:
            self._lose(Loss(status="error", reason=otherwise))
            raise EngineError(otherwise) from error
        except asyncio.CancelledError:
            self._lose(Loss(status="cancelled", reason=otherwise))  # it would answer something nobody waits for
            raise

    def _stop(self, status: Stop, message: str) -> None:
        if self._task is None or self._stopped is not None:
            return
        self._stopped = status, message
        run = self._run
        if run is None:
            self._interrupting = asyncio.create_task(self._reader.interrupt())
            return
        run.stop(status, message)
        asyncio.get_running_loop().call_later(GRACE_SECONDS if status == "cancelled" else 0.1, self._end, run)

    def _wake(self) -> None:
        """The process has ended: who waits for something outside would never notice."""
        if self._run is not None:
            self._run.wake()

    def _end(self, run: PlanFeed) -> None:
        if self._run is run:
            self._process.kill()

    def _why(self, run: PlanFeed, crash: MontyCrashedError, limits: Limits) -> Loss:
        if self._lost is not None:
            return self._lost
        match run.stopped:
            case ("timeout", _):
                what = f"The plan did not stop at its deadline of {limits.seconds:g} s"
                return Loss(status="timeout", reason=f"{what}; its worker was killed.")
            case ("limit", _):
                what = f"The plan did not stop after {limits.cpu_seconds:g} s of CPU time"
                return Loss(status="limit", reason=f"{what}; its worker was killed.")
            case ("cancelled", _):
                what = f"The plan did not stop within {GRACE_SECONDS:g} s of being cancelled"
                return Loss(status="cancelled", reason=f"{what}; its worker was killed.")
            case _:
                return self._process.loss(str(crash))

    def _lose(self, why: Loss) -> None:
        if self._lost is None:
            self._lost = why
        self._process.kill()

    def _gone(self, observed: Outcome) -> Outcome:
        lost = self._lost or Loss(status="error", reason="The worker is gone.")
        error = PlanError(
            type="WorkerLost", message=lost.reason, hint="Output and calls up to here are kept; variables are not."
        )
        return dataclasses.replace(
            observed, status=lost.status, errors=(*observed.errors, error), worker_lost=lost.reason
        )

    def _refuse_when_busy(self) -> None:
        if self._task is not None:
            raise RuntimeError("This worker is running a plan; a session runs one at a time.")


_RESULT = "result."


def _observed(run: PlanFeed) -> Outcome:
    bindings = {call: tuple(names) for call, names in run.bindings.items()}
    return Outcome(status="ok", output="".join(run.output), bindings=bindings)


def _errors(
    run: PlanFeed, failure: MontyRuntimeError | None, state: _State, kept: Mapping[str, Any]
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


def _ignore(_stream: str, _text: str) -> None:
    """Nothing of ours prints."""


class Names:
    """A host that is asked for names only, and remembers what it said."""

    def __init__(self, host: PlanHost) -> None:
        self.found: dict[str, Resolution] = {}
        self._host = host

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        answered = await self._host.resolve(names)
        self.found |= {name: answered.get(name, Unresolved()) for name in names}
        return self.found

    async def call(self, request: ToolRequest) -> JSONValue:
        raise LimitReached(f"A plan that is read called {request.tool!r}.")

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        del arguments
        raise LimitReached(f"A plan that is read asked for {helper!r}.")


def _is_ordinary(name: str) -> bool:
    return name.isidentifier() and not name.startswith("__") and name not in language.OWN_NAMES
