"""A backend that says what a test wants, and the ground on which plans really run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from planact_quantized import (
    BackendError,
    BackendInfo,
    Candidate,
    Completion,
    GenerateRequest,
    Message,
    Usage,
    Watcher,
)
from planact_server.answer import CallRecord
from planact_server.catalog.catalog import Catalog, CatalogTool
from planact_server.catalog.validation import ArgumentsError, bind
from planact_server.planner import Trial
from planact_server.planner.spending import Spending
from planact_server.plans.resolving import resolve
from planact_server.sandbox import (
    Limits,
    PlanFault,
    Resolution,
    ToolRequest,
    Unresolved,
)
from planact_server.standins.making import stand_in
from planact_tools import JSONValue, Pack, ToolCall, ToolError

if TYPE_CHECKING:
    from planact_server.sandbox import Engine

Said = str | BackendError | Sequence[str]
"""A text, several candidates, or a fault."""


@dataclass
class ScriptedBackend:
    """Says the next of its texts at every request, in pieces of five characters, and remembers what it was asked.

    A function among the texts gets the request and returns what to say.
    """

    script: list[Said | Callable[[GenerateRequest], Said]]
    info: BackendInfo = field(
        default_factory=lambda: BackendInfo(kind="local", model="scripted", context_tokens=8_192, candidates=4)
    )
    requests: list[GenerateRequest] = field(default_factory=list)
    chars_per_token: int = 4
    closed: int = 0

    async def start(self) -> BackendInfo:
        if self.script and isinstance(self.script[0], BackendError) and self.script[0].fault == "unavailable":
            raise self.script[0]
        return self.info

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content) // self.chars_per_token + 4 for message in messages)

    async def generate(self, request: GenerateRequest, *, watch: Watcher | None = None) -> Completion:
        self.requests.append(request)
        said = self.script.pop(0)
        said = said(request) if callable(said) else said
        if isinstance(said, BackendError):
            raise said
        texts = [said] if isinstance(said, str) else said
        written = tuple(_written(number, text, request, watch) for number, text in enumerate(texts))
        taken = await self.count_tokens(request.messages)
        return Completion(candidates=written, usage=Usage(prompt_tokens=taken, evaluated_tokens=taken, seconds=0.5))

    async def aclose(self) -> None:
        self.closed += 1


def _written(number: int, text: str, request: GenerateRequest, watch: Watcher | None) -> Candidate:
    longest = request.max_tokens * 5
    done = ""
    for start in range(0, len(text), 5):
        piece = text[start : start + 5]
        if start >= longest:
            return Candidate(text=done, stop="length", tokens=request.max_tokens)
        done += piece
        if watch is not None and watch(number, piece):
            return Candidate(text=done, stop="watched", tokens=len(done) // 5)
    return Candidate(text=text, stop="end", tokens=-(-len(text) // 5))


@dataclass
class RealGround:
    """A `Ground` over the real sandbox and a pack, every plan in a worker of its own. No write is made twice."""

    engine: Engine
    pack: Pack
    catalog: Catalog
    variables: Mapping[str, JSONValue] = field(default_factory=dict)
    functions: Sequence[str] = ()
    spending: Spending = field(default_factory=Spending)
    reports: list[str] = field(default_factory=list)
    rehearsed: list[str] = field(default_factory=list)
    attempted: list[str] = field(default_factory=list)
    final: bool = False
    written: list[CallRecord] = field(default_factory=list)

    @classmethod
    async def over(cls, engine: Engine, pack: Pack) -> RealGround:
        catalog = Catalog.build({pack.name: list(await pack.definitions())})
        return cls(engine=engine, pack=pack, catalog=catalog)

    async def forget(self) -> None:
        """Empty the calendar, as if nothing had been tried yet."""
        self.written.clear()
        for booked in (await self.pack.call(ToolCall(name="list_appointments", arguments={}))).value:
            await self.pack.call(ToolCall(name="cancel_appointment", arguments={"id": booked["id"]}))

    async def rehearse(self, plan: str) -> Trial:
        self.rehearsed.append(plan)

        async def answer(tool: CatalogTool, arguments: Mapping[str, JSONValue]) -> JSONValue:
            return stand_in(tool, arguments)

        return await self._run(plan, answer)

    async def attempt(self, plan: str) -> Trial:
        self.attempted.append(plan)
        before = list(self.written)

        async def answer(tool: CatalogTool, arguments: Mapping[str, JSONValue]) -> JSONValue:
            for record in before:
                if (record.function, record.arguments) == (tool.function, arguments):
                    before.remove(record)
                    return record.value
            return (await self.pack.call(ToolCall(name=tool.definition.name, arguments=arguments))).value

        trial = await self._run(plan, answer)
        self.written += [record for record in trial.calls if record.ok and not record.read_only]
        return replace(trial, final=self.final)

    async def report(self, text: str, fraction: float | None = None) -> None:
        self.reports.append(text)

    async def _run(self, plan: str, answer: Callable) -> Trial:
        host = _Host(self.catalog, answer)
        worker = await self.engine.worker()
        try:
            outcome = await worker.run(plan, host=host, limits=Limits(seconds=10))
        finally:
            await worker.aclose()
        return Trial(outcome=outcome, calls=tuple(host.records))


@dataclass
class _Host:
    catalog: Catalog
    answer: Callable
    records: list[CallRecord] = field(default_factory=list)

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        return {name: self._resolution(name) for name in names}

    def _resolution(self, name: str) -> Resolution:
        if (found := resolve(self.catalog, name)) is not None:
            return found
        closest = self.catalog.closest(name)
        return Unresolved(hint=f"Did you mean {closest!r}?" if closest else "")

    async def call(self, request: ToolRequest) -> JSONValue:
        tool = self.catalog.resolve(f"{request.server}.{request.tool}")
        assert isinstance(tool, CatalogTool)
        try:
            arguments = bind(tool, request.positional, request.keywords)
        except ArgumentsError as error:
            raise PlanFault(error.message, type="TypeError", hint=error.hint) from None
        value, failed = None, None
        try:
            value = await self.answer(tool, arguments)
        except ToolError as error:
            failed = error.message
        self.records.append(
            CallRecord(
                call=len(self.records) + 1,
                function=tool.function,
                server=tool.server,
                arguments=arguments,
                line=request.line,
                ok=failed is None,
                value=value,
                error=failed,
                ms=1.0,
                read_only=bool(tool.definition.read_only),
            )
        )
        if failed is not None:
            raise PlanFault(failed, type="ToolError", server=tool.server, tool=tool.name)
        return value

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        return None
