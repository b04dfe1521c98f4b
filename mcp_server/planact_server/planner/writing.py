"""Having one text written: watched for circles, within a time, with word of how far it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_quantized import BackendError
from planact_server.planner.repetition import Repetition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from planact_quantized import Backend, Completion, GenerateRequest, StopReason
    from planact_server.planner.options import PlannerOptions
    from planact_server.planner.spending import Spending

PLAN_PRIORITY = 0
HELP_PRIORITY = 10
"""Of what a running plan waits for: it holds a worker and has a deadline."""

REPORT_SECONDS = 1.0
"""Between two words of how far a text is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What was written."""

    text: str
    stop: StopReason
    circle: str | None = None
    """How it went round in circles, where it did; it was stopped then and is not whole."""


class Writer:
    """Has texts written for one task."""

    def __init__(
        self,
        backend: Backend,
        options: PlannerOptions,
        spending: Spending,
        report: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._backend = backend
        self._options = options
        self._spending = spending
        self._report = report

    async def write(self, request: GenerateRequest, *, doing: str = "writing") -> list[Text]:
        """Return the texts, one for each candidate. Raises BackendError.

        A process that ended in the middle is asked once more: it is a new one then.
        """
        try:
            return await self._write(request, doing)
        except BackendError as error:
            if error.fault != "crashed":
                raise
        return await self._write(request, doing)

    async def _write(self, request: GenerateRequest, doing: str) -> list[Text]:
        watch = _Watch(circles=self._options.repetition)
        if self._report is not None:
            await self._report(doing)
        reports = asyncio.create_task(self._report_often(watch, doing))
        try:
            async with asyncio.timeout(self._options.seconds):
                self._spending.ask(await self._backend.start())
                completion = await self._backend.generate(request, watch=watch)
        except TimeoutError:
            raise BackendError(
                f"The model wrote for {self._options.seconds:g} s without coming to an end."
                " Use a smaller model, or give it more time (`seconds` in [planner]).",
                fault="timeout",
            ) from None
        finally:
            reports.cancel()
            await asyncio.gather(reports, return_exceptions=True)
        self._spending.add(completion)
        return _texts(completion, watch)

    async def _report_often(self, watch: _Watch, doing: str) -> None:
        while self._report is not None:
            await asyncio.sleep(REPORT_SECONDS)
            await self._report(f"{doing} ({watch.pieces} tokens)")


def _texts(completion: Completion, watch: _Watch) -> list[Text]:
    return [
        Text(text=each.text, stop=each.stop, circle=watch.circle(index) or _said_so(each.stop))
        for index, each in enumerate(completion.candidates)
    ]


def _said_so(stop: StopReason) -> str | None:
    return "the same text comes again and again" if stop == "repetition" else None


class _Watch:
    """Looks at the pieces as they come."""

    def __init__(self, *, circles: bool) -> None:
        self.pieces = 0
        self._circles = circles
        self._texts: dict[int, Repetition] = {}

    def __call__(self, candidate: int, piece: str) -> bool:
        self.pieces += 1
        return self._circles and self._texts.setdefault(candidate, Repetition()).feed(piece)

    def circle(self, candidate: int) -> str | None:
        found = self._texts.get(candidate)
        return found.reason if found is not None else None
