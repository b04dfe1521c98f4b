"""The loop: evaluate what is decided, for all candidates in one batch, and decide what is next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from planact_quantized.llama.context import Run
from planact_quantized.llama.drafting import DRAFTS
from planact_quantized.llama.sequences import common_length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planact_quantized.llama.context import Context
    from planact_quantized.llama.drafting import Policy
    from planact_quantized.llama.writing import Writing

MEASURED_STEPS = 2


def write(
    context: Context,
    writings: Sequence[Writing],
    *,
    shared: int,
    room: int,
    policy: Policy,
    between: Callable[[], None],
) -> None:
    """Write every candidate to its end.

    `shared` is how many tokens of the memory they have in common, `room` the most tokens that they may hold together.
    `between` is called between steps and may end candidates, or raise to end everything.
    """
    while True:
        between()
        free = _make_room(context, writings, shared, room)
        active = [each for each in writings if each.stop is None]
        if not active:
            return
        most = _most(policy, context, free) if len(active) == 1 else 0
        drafts = [each.draft(most) for each in active]
        _evaluate_early(context, active, drafts)
        context.decode(
            [
                Run(
                    sequence=each.sequence,
                    position=each.evaluated,
                    tokens=[*each.pending, *draft],
                    outputs=1 + len(draft),
                )
                for each, draft in zip(active, drafts, strict=True)
            ]
        )
        at = 0
        for each, draft in zip(active, drafts, strict=True):
            first = at + len(each.pending) - 1
            at = first + 1 + len(draft)
            each.evaluated = len(each.tokens)
            right = _settle(context, each, draft, first)
            if draft:
                policy.learn(right, most)
                context.trim(each.sequence, each.evaluated)


def _settle(context: Context, writing: Writing, draft: Sequence[int], first: int) -> int:
    """Decide tokens for as long as the draft agrees with them; return how many of its tokens were right."""
    right = 0
    while True:
        before = len(writing.tokens)
        writing.choose(context.logits(first + right))
        decided = writing.tokens[before:]
        same = common_length(decided, draft[right:])
        right += same
        writing.drafted += same
        writing.evaluated = before + same
        if writing.stop is not None or same < len(decided):
            return right


def _most(policy: Policy, context: Context, free: int) -> int:
    return min(policy.most(), free, context.outputs - 1, context.batch_tokens - 1)


def _make_room(context: Context, writings: Sequence[Writing], shared: int, room: int) -> int:
    """Return how many more tokens fit than are pending.

    Where not all fit: forget the ended candidates, then end the last ones. The first, greedy one goes on longest.
    """
    while True:
        held = shared + sum((len(each.tokens) if each.stop is None else each.evaluated) - shared for each in writings)
        if held <= room:
            return room - held
        ended = [each for each in writings if each.stop is not None and each.evaluated > shared]
        if ended:
            ended[-1].evaluated = shared
            context.trim(ended[-1].sequence, shared)
        else:
            [each for each in writings if each.stop is None][-1].end("length")


def _evaluate_early(context: Context, active: Sequence[Writing], drafts: Sequence[Sequence[int]]) -> None:
    """Leave one pending token each where all of them are more than one batch."""
    if sum(len(each.pending) for each in active) + sum(map(len, drafts)) <= context.batch_tokens:
        return
    for each in active:
        while len(each.pending) > 1:
            tokens = each.pending[:-1][: context.batch_tokens]
            context.decode([Run(sequence=each.sequence, position=each.evaluated, tokens=tokens, outputs=0)])
            each.evaluated += len(tokens)


def step_costs(context: Context, token: int) -> dict[int, float]:
    """Measure steps with as many guesses as drafts have, as multiples of one without. Leaves the memory empty."""
    context.forget()
    # The first of each kind sets things up; the best of some is what the device can do.
    single, *drafted = (
        min(_seconds(context, token, 1 + length) for _ in range(MEASURED_STEPS)) for length in (0, *DRAFTS)
    )
    context.forget()
    return {length: each / single for length, each in zip(DRAFTS, drafted, strict=True)}


def _seconds(context: Context, token: int, count: int) -> float:
    context.trim(0, 0)
    started = time.perf_counter()
    context.decode([Run(sequence=0, position=0, tokens=[token] * count, outputs=count)])
    context.synchronize()
    return time.perf_counter() - started
