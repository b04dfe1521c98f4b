"""Which of several plans to run: the one whose calls agree most with those of the others. Pure.

Plans that differ in every word may do the same; what they call when they are run shows it. The choice is the
medoid under that likeness, as in MBR-EXEC (https://arxiv.org/abs/2204.11454) and FunCoder
(https://arxiv.org/abs/2405.20092).
"""

from __future__ import annotations

import json
from collections import Counter
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planact_server.answer import CallRecord

Trace: TypeAlias = "tuple[str, ...]"
"""What a plan called, in order: each call as one text, function and arguments."""

NAME_SHARE = 0.25
"""How much two calls of one function are alike though their arguments differ."""


def trace(calls: Iterable[CallRecord]) -> Trace:
    """Return what was called. Equal arguments are equal texts, whatever order they came in."""
    in_order = sorted(calls, key=lambda record: record.call)
    return tuple(_text(record) for record in in_order)


def likeness(first: Trace, second: Trace) -> float:
    """Return how much two traces are alike, 0 to 1.

    Half of it is which calls were made, however often and in whatever order; half is their order.
    """
    if first == second:
        return 1.0
    if not first or not second:
        return 0.0
    return (_same_calls(first, second) + _same_order(first, second)) / 2


def medoid(traces: Sequence[Trace], *, among: Sequence[int] | None = None) -> int:
    """Return the index of the trace that is most like all the others; of equal ones the first.

    `among` are the indices that may be chosen; all of them count as others. Raises ValueError when there are none.
    """
    choice = range(len(traces)) if among is None else among
    return max(choice, key=lambda index: (_agreement(traces, index), -index))


def _agreement(traces: Sequence[Trace], index: int) -> float:
    total = sum(likeness(traces[index], other) for place, other in enumerate(traces) if place != index)
    return round(total, 9)  # sums of the same parts in another order are equal


def _same_calls(first: Trace, second: Trace) -> float:
    ours, theirs = Counter(first), Counter(second)
    common = ours & theirs
    left = Counter(map(_function, (ours - common).elements())) & Counter(map(_function, (theirs - common).elements()))
    return 2 * (common.total() + NAME_SHARE * left.total()) / (len(first) + len(second))


def _same_order(first: Trace, second: Trace) -> float:
    return SequenceMatcher(a=first, b=second, autojunk=False).ratio()


def _text(record: CallRecord) -> str:
    arguments = json.dumps(dict(record.arguments), sort_keys=True, ensure_ascii=False)
    return f"{record.server}.{record.function}({arguments}"


def _function(call: str) -> str:
    return call.partition("(")[0]
