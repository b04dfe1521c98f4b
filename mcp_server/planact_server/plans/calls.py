"""What a running plan may ask for: names, tool calls, helpers.

One `PlanCalls` serves one run of one plan. Every argument of its methods comes from the jail and is treated as
hostile: known tool, valid arguments, policy, then the toolset, then the record, then the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from planact_server.catalog.patience import Patience
from planact_server.catalog.validation import ArgumentsError, bind
from planact_server.content import ContentError, Contents
from planact_server.plans.call_log import CANCELLED, NOT_MADE, OUTCOME_UNKNOWN, CallLog, LoggedCall
from planact_server.plans.helpers import PlanHelpers
from planact_server.plans.plan_catalog import PlanCatalog
from planact_server.plans.resolving import resolve
from planact_server.plans.rights import PlanRights, facts_of
from planact_server.plans.substitutes import NoSubstitutes, Substitutes, UnknownOutcomeError
from planact_server.questions import Asked
from planact_server.sandbox import (
    Outcome,
    PlanFault,
    Resolution,
    ResolvedPlaceholder,
    ToolRequest,
    Unresolved,
)
from planact_tools import JSONValue, ToolError

if TYPE_CHECKING:
    from planact_server.answer import CallRecord
    from planact_server.catalog.catalog import Catalog, CatalogTool
    from planact_server.plans.model_help import GrowingPlan, ModelHelp
    from planact_server.policy import Decision
    from planact_server.questions import Questions

__all__ = ["PlanCalls", "PlanRights", "facts_of"]

Report = Callable[[str, float | None], Awaitable[None]]


_REPORTED_CHARS = 1_000


class PlanCalls:
    """The host side of one running plan: a `PlanHost`."""

    def __init__(
        self,
        rights: PlanRights,
        contents: Contents,
        report: Report,
        *,
        substitutes: Substitutes | None = None,
        model: ModelHelp | None = None,
        growing: GrowingPlan | None = None,
        catalog: Catalog | None = None,
        questions: Questions | None = None,
    ) -> None:
        """Options say who else answers, and which generation of the catalog the plan was written for.

        `growing` is a plan that may leave functions open; without it an undefined name is refused. `questions` takes
        what servers want to know of a person; without it they are told that nobody is there.
        """
        self.log = CallLog()
        self._rights = rights
        self._contents = contents
        self._report = report
        self._substitutes: Substitutes = substitutes or NoSubstitutes()
        self._model = model
        self._growing = growing
        self._questions = questions
        self._names = PlanCatalog(rights, catalog)
        self._helpers = PlanHelpers(rights, self._names, contents)
        self._patience = Patience()

    @property
    def catalog(self) -> Catalog:
        return self._names.current

    async def resolve(self, names: Sequence[str]) -> Mapping[str, Resolution]:
        """Look up names, first waiting for the servers that they may belong to."""
        await self._names.await_owners_of(name for name in names if not self._is_open(name))
        return {name: self._resolution(name) for name in names}

    async def call(self, request: ToolRequest) -> JSONValue:
        """Run one tool call."""
        if request.server is None and not request.raw:
            return await self._ask_model(request)
        tool = await self._names.find(request)
        decision = self._rights.policy.decide(facts_of(self._rights, tool))
        call = self._logged(request, tool, decision)
        self.log.add(call)
        return await self._answer(call, tool, decision)

    async def ask(self, helper: str, arguments: Mapping[str, JSONValue]) -> JSONValue:
        """Answer a helper function of the plan."""
        match helper:
            case "search_tools":
                return await self._helpers.search(arguments)
            case "describe":
                return await self._helpers.describe(arguments)
            case "progress":
                await self._report(
                    str(arguments.get("text", ""))[:_REPORTED_CHARS], _fraction(arguments.get("fraction"))
                )
                return None
            case "read_resource":
                return await self._helpers.read_resource(arguments)
            case "text":
                return self._helpers.slice(arguments)
            case "expand" if self._growing is not None:
                await self._report(f"writing {str(arguments.get('name', ''))[:100]}", None)
                return await self._growing.expand(arguments)
            case _:
                raise PlanFault(f"There is no helper {helper!r}.", type="NameError")

    def note_unmade(self, requests: Sequence[ToolRequest]) -> None:
        """Record calls that the plan gave up before they were made."""
        for request in requests:
            tool = self._names.known(request)
            if tool is None:
                continue
            with suppress(PlanFault):  # a call that could not have been made is none
                call = self._logged(request, tool, self._rights.policy.decide(facts_of(self._rights, tool)))
                call.ended, call.error = call.started, NOT_MADE
                self.log.add(call)

    def _logged(self, request: ToolRequest, tool: CatalogTool, decision: Decision) -> LoggedCall:
        return LoggedCall(
            number=request.call,
            function=tool.function,
            server=tool.server,
            arguments=self._bind(tool, request),
            tool=tool,
            decision=decision,
            line=request.line,
            started=time.perf_counter(),
        )

    def records(self, bindings: Mapping[int, tuple[str, ...]]) -> tuple[CallRecord, ...]:
        """Return what was called, in program order."""
        return self.log.records(bindings)

    def placed(self, outcome: Outcome) -> Outcome:
        """Return the outcome with errors that point at records instead of at the worker's own numbers."""
        errors = [replace(error, call=self.log.position(error.call)) for error in outcome.errors]
        return replace(outcome, errors=tuple(errors))

    async def _answer(self, call: LoggedCall, tool: CatalogTool, decision: Decision) -> JSONValue:
        try:
            substitute = self._substitutes.find(tool, call.arguments, decision)
        except UnknownOutcomeError as error:
            call.ended, call.error, call.origin = time.perf_counter(), str(error), "reused"
            raise self._fault(call, str(error)) from None
        if substitute is not None:
            call.origin = substitute.origin
            self.log.returned(call, substitute.value)
            return substitute.value
        if decision.verdict != "allow":
            raise self._held_back(call, tool, decision)
        try:
            await self._report(f"calling {tool.full_name}", None)
        except asyncio.CancelledError:
            call.ended, call.error = time.perf_counter(), CANCELLED  # before it was made
            raise
        return await self._carry_out(call, tool, decision)

    async def _carry_out(self, call: LoggedCall, tool: CatalogTool, decision: Decision) -> JSONValue:
        # Until it has answered: whoever is cut off in between does not know.
        call.unknown = True
        try:
            disclosed = self._contents.disclose(call.arguments)
            person = Asked(self._questions, tool.full_name, call.number) if self._questions is not None else None
            result = await self._rights.toolbox.call(tool, disclosed, progress=self._report, person=person)
        except ContentError as error:
            call.error, call.unknown = str(error), False
            raise self._fault(call, call.error) from None
        except ToolError as error:
            call.error, call.unknown = error.message, error.outcome_unknown
            raise self._fault(call, error.message) from None
        finally:
            call.ended = time.perf_counter()
            if call.error is None:
                call.error = CANCELLED if decision.read_only else f"{CANCELLED} {OUTCOME_UNKNOWN}"
        try:
            if self._rights.learned is not None:
                self._rights.learned.observe(tool, result.value)
            value = self._contents.enclose(result)
            self.log.returned(call, value)
        except RecursionError:
            # Made all the same: what it came to is what is not known.
            call.error = f"{tool.full_name} has answered, and its result is nested too deeply to be taken over."
            raise self._fault(call, call.error) from None
        call.unknown = False
        return value

    async def _ask_model(self, request: ToolRequest) -> JSONValue:
        """Answer `ask_model`: no tool, but recorded and counted like one."""
        if request.tool != "ask_model":
            raise PlanFault(f"There is no tool {request.tool!r}.", type="NameError", function=request.tool)
        if self._model is None:
            raise PlanFault(
                "ask_model needs the on-device planner, which is not set up here.",
                type="ToolError",
                hint="Work the data out in Python, or return it and let the caller's model read it.",
            )
        call = LoggedCall(
            number=request.call,
            function="ask_model",
            server="planact",
            arguments=dict(request.keywords),
            line=request.line,
            started=time.perf_counter(),
            error=CANCELLED,
        )
        self.log.add(call)
        call.origin = "emulated" if self._substitutes.model_answers else "stand_in"
        try:
            await self._report("asking the model", None)
            value = await self._model.answer(request.keywords, made_up=not self._substitutes.model_answers)
        except PlanFault as fault:
            call.error = fault.message
            raise
        finally:
            call.ended = time.perf_counter()
        self.log.returned(call, value)
        return value

    def _is_open(self, name: str) -> bool:
        return self._growing is not None and self._growing.leaves_open(name)

    def _resolution(self, name: str) -> Resolution:
        if (found := resolve(self.catalog, name, self._rights.returns)) is not None:
            return found
        return ResolvedPlaceholder() if self._is_open(name) else Unresolved(hint=self._names.meant(name))

    def _bind(self, tool: CatalogTool, request: ToolRequest) -> dict[str, JSONValue]:
        try:
            return bind(tool, request.positional, request.keywords, raw=request.raw, patience=self._patience)
        except ArgumentsError as error:
            raise PlanFault(
                error.message, type="TypeError", parameter=error.parameter, hint=error.hint, function=tool.function
            ) from None

    def _held_back(self, call: LoggedCall, tool: CatalogTool, decision: Decision) -> PlanFault:
        call.ended = time.perf_counter()
        if decision.verdict == "deny":
            call.error = f"{tool.full_name} is denied: {decision.reason}"
            return self._fault(call, call.error)
        call.error = f"{tool.full_name} needs your approval: {decision.reason}"
        return self._fault(call, call.error, hint=decision.hint)

    def _fault(self, call: LoggedCall, message: str, *, hint: str | None = None) -> PlanFault:
        return PlanFault(
            message,
            type="ToolError",
            hint=hint,
            server=call.server,
            tool=call.tool.definition.name if call.tool is not None else call.function,
            function=call.function,
            arguments=call.arguments,
        )


def _fraction(value: JSONValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(1, max(0, value)))
