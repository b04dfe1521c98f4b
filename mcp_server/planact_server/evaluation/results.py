"""What came of the items, and the file that an interrupted evaluation goes on with.

The file is JSON lines: first what was evaluated, then one line an item, written as soon as it is known. Half a line
at its end, from a process that was killed, is taken away again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Self, cast

from planact_server.evaluation.dpab import lines_of
from planact_server.evaluation.scoring import Score, accuracy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from planact_tools import JSONObject


class ResultsError(Exception):
    """A results file cannot be gone on with; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """How one item went."""

    row: int
    item: str
    """Digest of the row."""

    published: Score
    observed: Score
    status: str
    """Of the plan as Planact runs it; `no_plan` where there was none."""

    plan: str | None
    errors: tuple[str, ...] = ()
    attempts: int = 1
    seconds: float = 0.0
    """For writing the plan, with all runs of it that belong to that."""

    usage: JSONObject | None = None

    def as_json(self) -> JSONObject:
        scores = {"published": self.published, "observed": self.observed}
        return {
            "row": self.row,
            "item": self.item,
            **{name: _score(each) for name, each in scores.items()},
            "status": self.status,
            "plan": self.plan,
            "errors": list(self.errors),
            "attempts": self.attempts,
            "seconds": round(self.seconds, 3),
            "usage": self.usage,
        }


def summary(results: Sequence[ItemResult], *, what: JSONObject) -> JSONObject:
    """Return the figures over all items, in percent as they are published."""
    return {
        **what,
        "items": len(results),
        "published": _accuracies([each.published for each in results]),
        "observed": _accuracies([each.observed for each in results]),
        "without_error": accuracy(float(each.status == "ok") for each in results),
        "attempts": round(sum(each.attempts for each in results) / len(results), 2) if results else 0,
        "seconds": round(sum(each.seconds for each in results), 3),
    }


class ResultFile:
    """The results of one evaluation, kept as they come. A context manager; without a path it keeps nothing."""

    def __init__(self, path: Path | None, *, what: JSONObject) -> None:
        self._path = path
        self._what = what
        self._file: IO[str] | None = None
        self.known: dict[str, ItemResult] = {}
        """Results that were there already, by digest of the row."""

    def __enter__(self) -> Self:
        """Open the file, or go on with it. Raises ResultsError when it belongs to another evaluation."""
        if self._path is None:
            return self
        try:
            size, kept = self._read(self._path)
            # Not emptied and written again: hours of work would be lost with a process that dies in between.
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
            if kept < size:
                self._file.truncate(kept)
            if not kept:
                self._write(json.dumps(self._what) + "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ResultsError(f"Cannot keep results in {str(self._path)!r}: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, result: ItemResult) -> None:
        self._write(json.dumps(result.as_json(), ensure_ascii=False) + "\n")

    def _write(self, text: str) -> None:
        if self._file is not None:
            self._file.write(text)
            self._file.flush()

    def _read(self, path: Path) -> tuple[int, int]:
        """Take over what the file holds; return how many bytes that are, and how many of them are whole lines."""
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            return 0, 0
        whole = found[: found.rfind(b"\n") + 1]
        first, *lines = lines_of(whole.decode().removesuffix("\n"))
        if not first:
            return len(found), 0
        if _parsed(first) != self._what:
            raise ResultsError(
                f"{path.name!r} holds the results of another evaluation: {first[:200]}. Give another --out."
            )
        for number, line in enumerate(lines, start=2):
            result = _result(_parsed(line))
            if result is None:
                raise ResultsError(f"{path.name!r}, line {number} is no result. Give another --out.")
            self.known[result.item] = result
        return len(found), len(whole)


def _score(score: Score) -> JSONObject:
    return {"score": round(score.total, 4), "strict": score.strict, **asdict(score)}


def _accuracies(scores: Sequence[Score]) -> JSONObject:
    return {
        "strict": accuracy(float(each.strict) for each in scores),
        "mean": accuracy(each.total for each in scores),
    }


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _result(value: object) -> ItemResult | None:
    """Read a line that `ItemResult.as_json` wrote; None for any other."""
    if not isinstance(value, dict):
        return None
    held = cast("dict[str, object]", value)
    match held:
        case {
            "row": int() as row,
            "item": str() as item,
            "published": {"values": int() | float() as p_values, "functions": int() | float() as p_functions},
            "observed": {"values": int() | float() as o_values, "functions": int() | float() as o_functions},
            "status": str() as status,
            "plan": str() | None as plan,
            "errors": list(),
            "attempts": int() as attempts,
            "seconds": int() | float() as seconds,
        }:
            usage = held.get("usage")
            return ItemResult(
                row=row,
                item=item,
                published=Score(values=p_values, functions=p_functions),
                observed=Score(values=o_values, functions=o_functions),
                status=status,
                plan=plan,
                errors=tuple(str(error) for error in cast("list[object]", held["errors"])),
                attempts=attempts,
                seconds=seconds,
                usage=cast("JSONObject", usage) if isinstance(usage, dict) else None,
            )
        case _:
            return None
