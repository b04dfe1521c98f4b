"""From a task to a plan that has run: write, try, repair; when that fails, several at once, and the one they agree on.

What is asked of the model is decided here, when to stop too; the pieces are in the files beside this one. Nothing
that a model or a plan does raises: it becomes the error of the answer.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from planact_quantized import BackendError, GenerateRequest, Message
from planact_server.answer import Attempt
from planact_server.planner import Ground, Planned, PlanningError, Trial
from planact_server.planner.answering import Answering
from planact_server.planner.candidates import best_plan
from planact_server.planner.expansion import Expansion
from planact_server.planner.prompting import Prompt, prompt_for
from planact_server.planner.reading import PlanText, Prose, no_plan, read
from planact_server.planner.repairing import DETAILS, complaint
from planact_server.planner.spending import abroad
from planact_server.planner.writing import PLAN_PRIORITY, Text, Writer
from planact_server.sandbox import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planact_quantized import Backend, BackendInfo
    from planact_server.catalog.ranking import Ranker
    from planact_server.planner.options import PlannerOptions
    from planact_server.planner.spending import Spending
    from planact_tools import JSONObject, JSONValue

logger = logging.getLogger(__name__)


class Planner:
    """A `TaskPlanner` over any backend. One may serve several tasks at once."""

    def __init__(self, backend: Backend, options: PlannerOptions, *, ranker: Ranker | None = None) -> None:
        """`ranker` chooses the tools that are shown where not all fit; none: the one by words."""
        self._backend = backend
        self._options = options
        self._ranker = ranker
        self._asked: dict[Spending, Prompt] = {}
        """Account of a task that is being carried out → its prompt. Plans of two tasks may be the same text."""

    async def carry_out(self, task: str, ground: Ground) -> Planned:
        """Write a plan, try it, repair it."""
        return await _Task(self._backend, self._options, self._ranker, self._asked, task, ground).carry_out()

    async def expand(
        self, name: str, arguments: Mapping[str, JSONValue], *, plan: str, depth: int, spending: Spending
    ) -> str:
        """Return the source of a function that a plan called and did not define. Raises PlanningError."""
        expansion = Expansion(self._backend, self._options, spending)
        return await expansion.write(name, arguments, plan=plan, depth=depth, prompt=self._asked.get(spending))

    async def ask_model(
        self, instruction: str, *, data: JSONValue, schema: JSONObject | None, spending: Spending
    ) -> JSONValue:
        """Return the model's answer about some data, held to a JSON schema. Raises PlanningError."""
        return await Answering(self._backend, self._options, spending).answer(instruction, data=data, schema=schema)

    async def aclose(self) -> None:
        """Let go of the model."""
        await self._backend.aclose()


@dataclass(slots=True)
class _Task:
    """One task being carried out."""

    backend: Backend
    options: PlannerOptions
    ranker: Ranker | None
    asked: dict[Spending, Prompt]
    task: str
    ground: Ground
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    warnings: list[str] = field(default_factory=list[str])
    info: BackendInfo | None = None
    plan: str | None = None
    trial: Trial | None = None
    """What the plan that ran last came to."""

    async def carry_out(self) -> Planned:
        try:
            return await self._carry_out()
        except (BackendError, PlanningError) as error:
            logger.info("planning ended: %s", error)
            return self._without_text(error)
        finally:
            self.asked.pop(self.ground.spending, None)

    async def _carry_out(self) -> Planned:
        await self.ground.report("reading tools")
        self.info = await self.backend.start()
        if (warning := abroad(self.info)) is not None:
            self.warnings.append(warning)
        prompt = await prompt_for(self.backend, self.info, self.options, self.task, self.ground, ranker=self.ranker)
        self.warnings += prompt.warnings
        # For functions that a plan lacks: they are written in the same conversation while it runs.
        self.asked[self.ground.spending] = prompt
        answer = await self._one_by_one(prompt)
        if answer is not None:
            return self._ended(text=answer)
        if not self._is_over() and self.options.candidates > 1:
            await self._side_by_side(prompt)
        return self._ended()

    async def _one_by_one(self, prompt: Prompt) -> str | None:
        """Write, try and repair; return the model's answer where it needs no tool."""
        messages = prompt.messages
        for number in range(1, self.options.attempts + 1):
            doing = "writing plan" if number == 1 else f"repairing (attempt {number} of {self.options.attempts})"
            text = (await self._write(prompt, messages, doing=doing))[0]
            reading = read(text)
            if isinstance(reading, Prose) and self.trial is None:
                return reading.text
            trial = None
            if isinstance(reading, PlanText):
                trial = await self._try(reading.source)
            else:
                error = no_plan(reading.text) if isinstance(reading, Prose) else reading.error
                self.attempts.append(Attempt(plan=text.text, errors=(error,)))
            if self._is_over():
                return None
            if number < self.options.attempts:
                messages = await self._with_complaint(prompt, text, trial)
        return None

    async def _side_by_side(self, prompt: Prompt) -> None:
        """Write several plans over the same prompt and run the one that agrees most with the others."""
        plans = [
            reading.source for text in await self._candidates(prompt) if isinstance(reading := read(text), PlanText)
        ]
        await self.ground.report(f"comparing {len(plans)} plans")
        failed = {attempt.plan for attempt in self.attempts}
        chosen = await best_plan(plans, self.ground, without=failed)
        if chosen is not None:
            await self._try(chosen)

    async def _candidates(self, prompt: Prompt) -> list[Text]:
        """Write the candidates, as many at once as the backend can."""
        texts: list[Text] = []
        wanted = self.options.candidates
        while len(texts) < wanted:
            together = min(wanted - len(texts), max(1, self.info.candidates if self.info is not None else 1))
            texts += await self._write(
                prompt, prompt.messages, doing=f"writing {wanted} plans", candidates=together, seed=len(texts) + 1
            )
        return texts

    async def _write(
        self, prompt: Prompt, messages: Sequence[Message], *, doing: str, candidates: int = 1, seed: int = 0
    ) -> list[Text]:
        """Have texts written; with a seed they are sampled."""
        writer = Writer(self.backend, self.options, self.ground.spending, self.ground.report)
        request = GenerateRequest(
            messages=messages,
            stable_messages=prompt.stable,
            grammar=prompt.grammar,
            max_tokens=prompt.longest,
            temperature=self.options.temperature if seed else 0.0,
            seed=seed,
            candidates=candidates,
            priority=PLAN_PRIORITY,
        )
        return await writer.write(request, doing=doing)

    async def _try(self, plan: str) -> Trial | None:
        """Run a plan in earnest. One that has failed already is not run again: it would fail again."""
        if any(attempt.plan == plan for attempt in self.attempts):
            self.attempts.append(Attempt(plan=plan, errors=(_SAME,)))
            return None
        await self.ground.report("running plan")
        trial = await self.ground.attempt(plan)
        self.plan, self.trial = plan, trial
        self.attempts.append(Attempt(plan=plan, errors=trial.outcome.errors))
        return trial

    def _is_over(self) -> bool:
        """Say whether trying on is needless or useless: done, forbidden, or out of time."""
        trial = self.trial
        return trial is not None and (trial.final or trial.outcome.status in ("ok", "cancelled", "timeout"))

    async def _with_complaint(self, prompt: Prompt, text: Text, trial: Trial | None) -> Sequence[Message]:
        """Return the conversation with the last text and what was wrong with it, as detailed as there is room for."""
        errors = self.attempts[-1].errors
        messages: Sequence[Message] = prompt.messages
        for detail in DETAILS:
            said = complaint(errors, detail, trial=trial)
            messages = [
                *prompt.messages,
                Message(role="assistant", content=text.text),
                Message(role="user", content=said),
            ]
            if await self.backend.count_tokens(messages) <= prompt.room:
                break
        return messages

    def _without_text(self, error: BackendError | PlanningError) -> Planned:
        """End because no text can be had: with the error, or with what an earlier plan came to."""
        if self.trial is not None:
            self.warnings.append(f"The plan could not be repaired: {error.message}")
            return self._ended()
        hint = error.hint if isinstance(error, PlanningError) else None
        return self._ended(error=PlanError(type="PlanningError", message=error.message, hint=hint))

    def _ended(self, *, text: str | None = None, error: PlanError | None = None) -> Planned:
        if text is None and error is None and self.trial is None:
            error = self._last_error()
        return Planned(
            plan=self.plan,
            trial=self.trial if text is None and error is None else None,
            text=text,
            error=error,
            attempts=tuple(self.attempts),
            warnings=tuple(self.warnings),
        )

    def _last_error(self) -> PlanError:
        tries = len(self.attempts)
        last = self.attempts[-1].errors[0]
        return replace(last, message=f"No plan came of {tries} {'try' if tries == 1 else 'tries'}. {last.message}")


_SAME = PlanError(
    type="SamePlanError",
    message="This plan is the same as one that failed before, so it was not run again.",
    hint="Change the part that failed.",
)
