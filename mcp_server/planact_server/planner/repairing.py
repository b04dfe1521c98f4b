"""What a model is told about a plan that failed: where, why, and what had been reached by then. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_server.doubts import open_doubts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from planact_server.answer import CallRecord
    from planact_server.planner import Trial
    from planact_server.sandbox import PlanError
    from planact_tools import JSONValue

OUTPUT_CHARS = 1_000
DOUBTS = 3
DOUBT_CHARS = 300
"""Of what else may be wrong with a plan that failed: how many, and the length of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """How much a message tells."""

    chars: int
    """Of one value."""

    entries: int
    """Calls and variables, each."""


DETAILS = (Detail(chars=400, entries=30), Detail(chars=80, entries=12), Detail(chars=30, entries=0))
"""From generous to bare: the first that fits the model's context is taken."""


def shown(value: JSONValue, chars: int) -> str:
    """Return a value as JSON, cut to about so many characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= chars else f"{text[:chars]}… ({len(text):,} characters)"


def complaint(errors: Sequence[PlanError], detail: Detail, *, trial: Trial | None = None) -> str:
    """Return the message that asks for a better plan. Without a trial nothing was run."""
    lines = [part for error in errors for part in _error(error)] or ["The plan failed."]
    lines += _doubts(trial)
    if trial is None or trial.outcome.status == "refused":
        lines.append("Nothing of it was run.")
    else:
        lines += _reached(trial, detail)
    lines += ["", "Write the whole corrected plan in one ```python block."]
    return "\n".join(lines)


def _error(error: PlanError) -> Iterator[str]:
    place = f" at line {error.line}" if error.line is not None else ""
    yield f"The plan failed{place}: {error.type}: {error.message}"
    if error.code_line:
        yield f"    {error.code_line.strip()}"
    if error.hint:
        yield f"Hint: {error.hint}"


def _doubts(trial: Trial | None) -> Iterator[str]:
    """Say what may go wrong next: else every attempt finds one more of them."""
    for doubt in _open_doubts(trial)[:DOUBTS] if trial is not None else ():
        said = f"{doubt.message} {doubt.hint or ''}".rstrip()[:DOUBT_CHARS]
        yield f"Also doubtful, at line {doubt.line}: {said}"


def _open_doubts(trial: Trial) -> list[PlanError]:
    return open_doubts(trial.outcome, trial.calls, status=trial.outcome.status)


def _reached(trial: Trial, detail: Detail) -> Iterator[str]:
    done = [record for record in trial.calls if record.ok]
    reads = [record for record in done if record.read_only]
    writes = [record for record in done if not record.read_only]
    yield from _calls("Calls that had succeeded:", reads, detail)
    yield from _calls(
        "Calls that have already changed something. The same call gives the same result and is not made again:",
        writes,
        # What was changed must be known whatever else is left out.
        Detail(chars=detail.chars, entries=max(detail.entries, 10)),
    )
    yield from _variables(trial.outcome.variables, detail)
    if trial.outcome.output and detail.entries:
        yield f"Printed so far: {trial.outcome.output[-OUTPUT_CHARS:].strip()}"


def _calls(heading: str, records: Sequence[CallRecord], detail: Detail) -> Iterator[str]:
    if not records[: detail.entries]:
        return
    yield ""
    yield heading
    for record in records[-detail.entries :]:
        arguments = ", ".join(f"{name}={shown(value, detail.chars)}" for name, value in record.arguments.items())
        yield f"- {record.function}({arguments}) gave {shown(record.value, detail.chars)}"
    if len(records) > detail.entries:
        yield f"- and {len(records) - detail.entries} before these"


def _variables(variables: Mapping[str, JSONValue], detail: Detail) -> Iterator[str]:
    if not variables or not detail.entries:
        return
    yield ""
    yield "Variables at that point:"
    for name, value in list(variables.items())[: detail.entries]:
        yield f"- {name} = {shown(value, detail.chars)}"
