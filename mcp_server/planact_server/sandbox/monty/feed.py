"""One plan in Monty, from its first suspension to its end: what it asks for, and within which budgets.

Monty runs until it needs something from outside and then hands over a snapshot; answering it goes on to the next. A
snapshot also says where in the source the plan stands, so that what was bound is observed, not guessed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio
from pydantic_monty import (
    AsyncFunctionSnapshot,
    AsyncFutureSnapshot,
    AsyncNameLookupSnapshot,
    ClassInstance,
    MontyComplete,
    MontyError,
)

from planact_server.sandbox import (
    LimitReached,
    Limits,
    PlanFault,
    PlanHost,
    ResolvedServer,
    ResolvedTool,
    ToolRequest,
    Unresolved,
)
from planact_server.sandbox.monty import language, values
from planact_server.sandbox.monty.asking import call_tool_request, helper_question, refuse_too_large, whole_texts
from planact_server.sandbox.monty.failures import Faults
from planact_server.sandbox.monty.outline import CAUGHT
from planact_server.sandbox.monty.standins import FailedCall, Server, function

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from anyio.abc import TaskGroup
    from pydantic_monty import AsyncMontySession, AsyncSnapshot, ExternalResult, ExternalSettledResult

    from planact_server.sandbox import Resolution
    from planact_server.sandbox.monty.outline import CallSite, Outline
    from planact_tools import JSONValue

logger = logging.getLogger(__name__)

Stop: TypeAlias = Literal["timeout", "limit", "cancelled"]

ASKS = 10_000
NAMES = 20_000
FAULT_CHARS = 10_000

_KINDS: dict[str, type[Exception]] = {
    "ToolError": language.TOOL_ERROR,
    "TypeError": TypeError,
    "ValueError": ValueError,
    "NameError": NameError,
    "AttributeError": AttributeError,
    "LookupError": LookupError,
}


class PlanFeed:
    """Runs one plan in a session. `stop` ends it at its next suspension; ending Monty itself is the worker's."""

    def __init__(
        self,
        session: AsyncMontySession,
        outline: Outline,
        *,
        host: PlanHost,
        limits: Limits,
        resolved: Mapping[str, Resolution],
        earlier: Mapping[str, Outline],
        servers: dict[object, str],
        told: Callable[[dict[str, Any]], object],
        stop: Callable[[Stop, str], None],
    ) -> None:
        self.faults = Faults()
        self.stopped: tuple[Stop, str] | None = None
        self.unsure: list[tuple[int, CallSite]] = []
        """Calls whose names are bound only if the rest of their statement works, in order."""

        self._session = session
        self._outline = outline
        self._outlines = {**earlier, outline.text.filename: outline}
        self._host = host
        self._limits = limits
        self._resolved = dict(resolved)
        self._servers = servers
        self._told = told
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._computed = 0.0
        """Seconds between suspensions: all of them the plan's, as its process has nothing else to do."""

        self._output_bytes = 0
        self._calls = self._asks = self._names = 0
        self._waits: set[anyio.CancelScope] = set()
        self._futures: dict[int, asyncio.Future[ExternalSettledResult]] = {}

    @property
    def filename(self) -> str:
        """What Monty calls the plan's source."""
        return self._outline.text.filename

    def stop(self, status: Stop, message: str) -> None:
        """End the plan where it next asks for something, and whatever it waits for now."""
        if self.stopped is None:
            self.stopped = status, message
        self.wake()

    def wake(self) -> None:
        """Wait for nothing any more: nobody is there to take an answer, or a plan that shall end."""
        for scope in self._waits:
            scope.cancel()

    async def run(self) -> None:
        """Run the plan to its end; the value of its last expression stays in the session. Raises MontyError."""
        failure: MontyError | None = None
        async with anyio.create_task_group() as tasks:
            try:
                await self._drive(tasks)
            except MontyError as error:  # kept out of the task group, which would wrap it
                failure = error
            finally:
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _drive(self, tasks: TaskGroup) -> None:
        started = self._session.feed_start(self._outline.code, print_callback=self._print)
        snapshot = await self._turn(started)
        while not isinstance(snapshot, MontyComplete):
            match snapshot:
                case AsyncFunctionSnapshot():
                    turn = snapshot.resume(await self._answer(snapshot, tasks))
                case AsyncNameLookupSnapshot():
                    turn = await self._look_up(snapshot)
                case AsyncFutureSnapshot():
                    turn = snapshot.resume(await self._settled(snapshot.pending_call_ids))
            snapshot = await self._turn(turn)

    async def _turn(self, turn: Awaitable[AsyncSnapshot]) -> AsyncSnapshot:
        """Let the plan compute until it asks for something, within what is left of its CPU time."""
        began = self._loop.time()
        message = f"The plan computed for longer than {self._limits.cpu_seconds:g} s of CPU time."
        left = max(0.0, self._limits.cpu_seconds - self._computed)
        clock = self._loop.call_later(left, self._stop, "limit", message)
        try:
            return await turn
        finally:
            clock.cancel()
            self._computed += self._loop.time() - began

    # ---- names -----------------------------------------------------------------------------------------------------

    async def _look_up(self, snapshot: AsyncNameLookupSnapshot) -> Awaitable[AsyncSnapshot]:
        name = snapshot.variable_name
        if snapshot.object_id is not None:
            base = self._servers.get(snapshot.object_id)
            found = await self._resolve(f"{base}.{name}") if base is not None else Unresolved()
            name = f"{base}.{name}"
        elif name in language.HELPERS:
            return snapshot.resume(value=function(name))
        else:
            found = await self._resolve(name)
        match found:
            case ResolvedTool():
                return snapshot.resume(value=function(name))
            case ResolvedServer():
                return snapshot.resume(value=self._namespace(name))
            case _:
                return snapshot.resume()

    def _namespace(self, name: str) -> ClassInstance:
        instance = ClassInstance(Server(), lazy_attrs="all", allowed_methods="all")
        self._servers[instance.id] = name
        return instance

    async def _resolve(self, name: str) -> Resolution:
        if name not in self._resolved:
            self._names += 1
            if self._names > NAMES:
                self.stop("limit", f"The plan has used up its {NAMES:,} names.")
                return Unresolved()
            try:
                self._resolved |= await self._host.resolve([name])
            except LimitReached as reached:
                self.stop("limit", str(reached))
        return self._resolved.get(name, Unresolved())

    # ---- calls -----------------------------------------------------------------------------------------------------

    async def _answer(self, snapshot: AsyncFunctionSnapshot, tasks: TaskGroup) -> ExternalResult:
        if self.stopped is not None:
            return self._stopped()
        name = snapshot.function_name
        given = values.taken(lambda: (snapshot.args, snapshot.kwargs))
        if isinstance(given, values.Unreadable):
            return {"exception": TypeError(f"{name}() was given something that cannot be sent: {given.why}")}
        positional, keywords = given
        site, current = self._site(snapshot)
        if snapshot.is_os_function:
            work = self._system(name, positional)
            later = name == "system.async_sleep"
        else:
            base = None if snapshot.object_id is None else self._servers.get(snapshot.object_id)
            name = name if base is None else f"{base}.{name}"
            line = site.line if site is not None and current else None
            work = self._call(name, positional, keywords, site, line)
            later = site is not None and site.awaited
        if not later:
            return await self._wait(work)
        settled: asyncio.Future[ExternalSettledResult] = asyncio.get_running_loop().create_future()
        self._futures[snapshot.call_id] = settled

        async def settle() -> None:
            settled.set_result(await self._wait(work))

        tasks.start_soon(settle)
        return {"future": ...}

    async def _settled(self, pending: list[int]) -> dict[int, ExternalSettledResult]:
        """Wait until one of the pending calls has its answer; return all that have."""
        waited = {number: self._futures[number] for number in pending}
        await asyncio.wait(waited.values(), return_when=asyncio.FIRST_COMPLETED)
        done = {number: future.result() for number, future in waited.items() if future.done()}
        for number in done:
            del self._futures[number]
        return done

    async def _wait(self, work: Awaitable[ExternalSettledResult]) -> ExternalSettledResult:
        """Wait for an answer from outside, or for the end of the plan."""
        with anyio.CancelScope() as scope:
            self._waits.add(scope)
            if self.stopped is not None:
                scope.cancel()
            try:
                answer = await work
            finally:
                self._waits.discard(scope)
            if self.stopped is None:
                return answer
        return self._stopped()

    async def _system(self, name: str, positional: tuple[Any, ...]) -> ExternalSettledResult:
        """What Python has from its system: time to sleep, and nothing else."""
        if name in ("system.sleep", "system.async_sleep"):
            await anyio.sleep(min(float(positional[0]), self._limits.seconds + 1))
            return {"return_value": None}
        if name == "import":
            missing = ModuleNotFoundError(f"No module named {str(positional[0])[:100]!r} in the engine 'monty'.")
            self.faults.add_hint(missing, f"It has {', '.join(sorted(language.MODULES))}.")
            return {"exception": missing}
        return {"exception": PermissionError(f"{name}() is not available in a plan.")}

    def _caught(self, error: object) -> ExternalSettledResult:
        """The facts of a ToolError, which Monty's exceptions cannot carry."""
        found = self.faults.find(type(error).__name__, str(error)) if isinstance(error, BaseException) else None
        fault = None if found is None else found.fault
        failed = FailedCall(
            message=str(error)[:FAULT_CHARS],
            server=None if fault is None else fault.server,
            tool=None if fault is None else fault.tool,
            arguments=None if fault is None or fault.arguments is None else dict(fault.arguments),
        )
        return {"return_value": ClassInstance(failed, eager_attrs="all")}

    async def _call(
        self, name: str, positional: tuple[Any, ...], keywords: dict[str, Any], site: CallSite | None, line: int | None
    ) -> ExternalSettledResult:
        call: int | None = None
        if name == CAUGHT and len(positional) == 1:
            return self._caught(positional[0])
        try:
            if name in language.HELPERS and name not in ("call_tool", "ask_model"):
                value = await whole_texts(await self._ask(name, positional, keywords), self._host)
            else:
                request = await self._request(name, positional, keywords)
                call = self._count_call()
                value = await self._tool(call, request, line)
                refuse_too_large(request, value, max_bytes=self._limits.frame_bytes)
                value = await whole_texts(value, self._host)
                self._bind(call, site)
        except PlanFault as fault:
            error = _KINDS[fault.type](values.text(fault.message[:FAULT_CHARS]))
            self.faults.add(error, fault, call)
            return {"exception": error}
        except LimitReached as reached:
            self.stop("limit", str(reached)[:FAULT_CHARS])
            return self._stopped()
        except (TypeError, ValueError) as error:
            return {"exception": error}
        except Exception:
            logger.exception("Answering %r for a plan failed", name)
            fault = PlanFault("internal error", type="ToolError", function=name)
            self.faults.add(language.TOOL_ERROR("internal error"), fault, call)
            return {"exception": language.TOOL_ERROR("internal error")}
        return {"return_value": values.sent(value)}

    async def _ask(self, helper: str, positional: tuple[Any, ...], keywords: dict[str, Any]) -> JSONValue:
        self._asks += 1
        if self._asks > ASKS:
            raise LimitReached(f"The plan has used up its {ASKS:,} questions to the host.")
        return await self._host.ask(helper, helper_question(helper, positional, keywords))

    async def _request(self, name: str, positional: tuple[Any, ...], keywords: dict[str, Any]) -> ToolRequest:
        if name in ("call_tool", "ask_model"):
            return call_tool_request(name, positional, keywords, max_bytes=self._limits.frame_bytes)
        found = await self._resolve(name)
        if not isinstance(found, ResolvedTool):
            hint = found.hint if isinstance(found, Unresolved) else ""
            raise PlanFault(f"name {name!r} is not defined", type="NameError", hint=hint or None)
        known = found.parameters
        arguments = [
            (known[index] if index < len(known) else f"argument {index + 1}", value)
            for index, value in enumerate(positional)
        ]
        return ToolRequest(
            call=0,
            server=found.server,
            tool=found.tool,
            raw=False,
            positional=[self._argument(found, key, value) for key, value in arguments],
            keywords={key: self._argument(found, key, value) for key, value in keywords.items()},
            line=None,
        )

    def _argument(self, tool: ResolvedTool, parameter: str, value: object) -> JSONValue:
        try:
            return values.argument(value, parameter, max_bytes=self._limits.frame_bytes)
        except (TypeError, ValueError) as error:
            kind: Literal["TypeError", "ValueError"] = "TypeError" if isinstance(error, TypeError) else "ValueError"
            raise PlanFault(str(error), type=kind, function=tool.tool, parameter=parameter) from None

    def _count_call(self) -> int:
        self._calls += 1
        if self._calls > self._limits.calls:
            raise LimitReached(f"The plan has used up its {self._limits.calls:,} tool calls.")
        return self._calls

    async def _tool(self, call: int, request: ToolRequest, line: int | None) -> JSONValue:
        made = ToolRequest(
            call=call,
            server=request.server,
            tool=request.tool,
            raw=request.raw,
            positional=request.positional,
            keywords=request.keywords,
            line=line,
        )
        return await self._host.call(made)

    # ---- what is observed ------------------------------------------------------------------------------------------

    def _site(self, snapshot: AsyncFunctionSnapshot) -> tuple[CallSite | None, bool]:
        """The call in the source that runs, and whether it is the plan's own rather than an earlier one's."""
        position = snapshot.position
        outline = self._outlines.get(position.filename)
        site = None if outline is None else outline.call(position.start, position.end)
        return site, outline is self._outline

    def _bind(self, call: int, site: CallSite | None) -> None:
        if site is None or not site.names:
            return
        if site.last_line is None:
            self._told({"type": "bound", "call": call, "names": list(site.names)})
        else:
            self.unsure.append((call, site))

    def settle_bindings(self, failed_lines: set[int]) -> None:
        """The plan is over: what stood in a statement that failed was not bound."""
        for call, site in self.unsure:
            if not any(site.line <= line <= (site.last_line or site.line) for line in failed_lines):
                self._told({"type": "bound", "call": call, "names": list(site.names)})
        self.unsure.clear()

    def _print(self, _stream: str, text: str) -> None:
        room = self._limits.output_bytes - self._output_bytes
        body = text.encode("utf-8", "replace")
        kept = text if len(body) <= room else body[: max(0, room)].decode("utf-8", "ignore")
        if kept:
            self._told({"type": "output", "text": kept})
        self._output_bytes += len(body)
        if len(body) > room:
            self.stopped = self.stopped or ("limit", f"The plan printed more than {self._limits.output_bytes:,} bytes.")
            self._loop.call_soon_threadsafe(self._stop, *self.stopped)  # a plan that only prints does not notice
            raise ValueError("too much output")

    def _stopped(self) -> ExternalSettledResult:
        return {"exception": KeyboardInterrupt(self.stopped[1] if self.stopped is not None else "")}
