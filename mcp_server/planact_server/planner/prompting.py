"""The conversation that asks for a plan: Dria's prompt with the tools that fit, and the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_quantized import plan_grammar
from planact_quantized.prompt import messages as dria_messages
from planact_server.planner import PlanningError
from planact_server.planner.repairing import shown
from planact_server.planner.retrieve import choose
from planact_server.planner.stubs import function_stubs, plan_functions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planact_quantized import Backend, BackendInfo, Grammar, Message
    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.ranking import Ranker
    from planact_server.planner import Ground
    from planact_server.planner.options import PlannerOptions

CONTEXT_TOKENS = 8_192
"""Of a backend that does not say what it can take."""

COMPLAINT_TOKENS = 512
"""Kept free for what is said about a plan that failed, beside the plan itself."""

STABLE_MESSAGES = 1
"""The first message depends on the tools alone."""

VARIABLES = 20
FUNCTIONS = 40
VALUE_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a model is asked, before it has said anything."""

    messages: tuple[Message, ...]
    tools: tuple[CatalogTool, ...]
    callables: tuple[str, ...]
    """What else plans may call: functions of the session."""

    grammar: Grammar | None
    longest: int
    """Most tokens of an answer."""

    room: int
    """Most tokens of a prompt that leave room for an answer of the greatest length."""

    warnings: tuple[str, ...] = ()
    stable: int = STABLE_MESSAGES


async def prompt_for(
    backend: Backend,
    info: BackendInfo,
    options: PlannerOptions,
    task: str,
    ground: Ground,
    *,
    ranker: Ranker | None = None,
) -> Prompt:
    """Choose tools and write the prompt. Raises BackendError, and PlanningError where the task leaves no room."""
    longest = longest_text(info, options)
    room = context_of(info) - longest
    asked = _with_session(task, ground)

    def conversation(tools: Sequence[CatalogTool]) -> tuple[Message, ...]:
        return dria_messages(asked, function_stubs(tools), version=options.prompt)

    async def count(tools: Sequence[CatalogTool]) -> int:
        return await backend.count_tokens(conversation(tools))

    # A plan and what was wrong with it come on top when it is repaired.
    spare = longest + min(COMPLAINT_TOKENS, context_of(info) // 16) if options.attempts > 1 else 0
    choice = await choose(ground.catalog, task, count=count, room=room - spare, most=options.tools, ranker=ranker)
    if not choice.tools and (taken := await count(())) > room:
        raise PlanningError(
            f"The task takes {taken:,} tokens and {room:,} fit.",
            hint="Shorten the task, put the data into a file or a session variable, or raise `n_ctx` in [model].",
        )
    return Prompt(
        messages=conversation(choice.tools),
        tools=choice.tools,
        callables=tuple(ground.functions),
        grammar=_grammar(choice.tools, ground.functions, options),
        longest=longest,
        room=room,
        warnings=(choice.warning,) if choice.warning else (),
    )


def context_of(info: BackendInfo) -> int:
    """Return how many tokens a prompt and its answer may take together."""
    return info.context_tokens or CONTEXT_TOKENS


def longest_text(info: BackendInfo, options: PlannerOptions) -> int:
    """Return how long an answer may be: in a short context a quarter of it, or nothing could be asked."""
    return min(options.max_tokens, context_of(info) // 4)


def _grammar(tools: Sequence[CatalogTool], callables: Sequence[str], options: PlannerOptions) -> Grammar | None:
    if not options.grammar:
        return None
    return plan_grammar(plan_functions(tools), expansion=options.expansion, callables=callables)


def _with_session(task: str, ground: Ground) -> str:
    """Return the task, and beneath it what the session already holds. A new session adds nothing."""
    lines = [task]
    if ground.variables:
        held = list(ground.variables.items())[-VARIABLES:]
        lines += ["", "These variables exist already:"]
        lines += [f"- {name} = {shown(value, VALUE_CHARS)}" for name, value in held]
    if ground.functions:
        lines += ["", f"These functions, classes and modules exist already: {', '.join(ground.functions[-FUNCTIONS:])}"]
    return "\n".join(lines)
