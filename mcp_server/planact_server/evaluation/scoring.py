"""The score of DPAB as its authors published it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from planact_server.evaluation.dpab import Checklist
    from planact_tools import JSONValue

TOLERANCE = 1e-6
"""Between two floats. Only whole values are compared so; floats inside of lists and dicts have to be equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How much of a checklist was found."""

    values: float
    """Share, 0 to 1; of an empty list everything was found."""

    functions: float

    @property
    def total(self) -> float:
        return 0.5 * self.values + 0.5 * self.functions

    @property
    def strict(self) -> int:
        """1 where all was found, else 0: what the published tables count."""
        return 1 if 0.99 <= self.total < 1.01 else 0


def score(checklist: Checklist, *, values_found: Sequence[bool], functions: Collection[str]) -> Score:
    """Return the score: which of the checklist's values were found, and which functions gave a result."""
    return Score(
        values=_share(values_found),
        functions=_share([name in functions for name in checklist.functions]),
    )


def nothing_found(checklist: Checklist) -> Score:
    """Return the score of a plan that left nothing behind."""
    return score(checklist, values_found=[False] * len(checklist.values), functions=())


def accuracy(scores: Iterable[float]) -> float:
    """Return the mean in percent, as published: two decimals."""
    listed = list(scores)
    return round(100 * sum(listed) / len(listed), 2) if listed else 0.0


def is_found(wanted: JSONValue, variables: Iterable[JSONValue]) -> bool:
    """Say whether a value is among those of some variables. As in Python, True is 1 and 1 is 1.0."""
    return any(_matches(wanted, value) for value in variables)


def _matches(wanted: JSONValue, value: JSONValue) -> bool:
    if isinstance(wanted, float) and isinstance(value, float):
        return abs(wanted - value) <= TOLERANCE
    return wanted == value


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found) if found else 1.0
