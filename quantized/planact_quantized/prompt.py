"""The prompt that Dria's models were made for, byte for byte, and how a plan is taken out of what they answer.

Two texts were published. The scores were measured with the one of the evaluation; the other came with the package.
They are data: a changed character is another prompt than the models know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from planact_quantized.backend import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

PromptVersion: TypeAlias = Literal["evaluation", "package"]

FENCE_OPEN = "```python\n"
"""What a plan begins behind. From here on a plan grammar holds."""

FENCE_CLOSE = "```"

_STUBS = "{{functions_schema}}"
_TASK = (
    "You are an expert AI assistant that specializes in providing Python code to solve the task/problem at hand"
    " provided by the user.\n"
    "\n"
    "You can use Python code freely, including the following available functions:\n"
    "\n"
    "<|functions_schema|>\n"
    "{{functions_schema}}\n"
    "<|end_functions_schema|>\n"
    "\n"
)
_RESTRICTED = (
    "The following dangerous builtins are restricted for security:\n"
    "- exec\n"
    "- eval\n"
    "- execfile\n"
    "- compile\n"
    "- importlib\n"
    "- input\n"
    "- exit\n"
    "\n"
)
_FORM = (
    "Think step by step and provide your reasoning, outside of the function calls.\n"
    "You can write Python code and use the available functions. Provide all your python code in a SINGLE markdown"
    " code block like the following:\n"
    "\n"
    "```python\n"
    'result = example_function(arg1, "string")\n'
    "result2 = example_function2(result, arg2)\n"
    "```\n"
    "\n"
    "DO NOT use print() statements AT ALL. Avoid mutating variables whenever possible."
)

TEMPLATES: Mapping[PromptVersion, str] = MappingProxyType(
    {
        # It ends with a space.
        "evaluation": f"{_TASK}{_FORM} ",
        "package": f"{_TASK}{_RESTRICTED}{_FORM}",
    }
)
"""The published texts, with the place for the stubs still open."""

DEFAULT_VERSION: PromptVersion = "evaluation"


def system_prompt(stubs: str, *, version: PromptVersion = DEFAULT_VERSION) -> str:
    """Return the system message for functions given as stubs.

    The stubs are put in as they are: whoever renders them keeps what others wrote in them harmless.
    """
    return TEMPLATES[version].replace(_STUBS, stubs)


def messages(task: str, stubs: str, *, version: PromptVersion = DEFAULT_VERSION) -> tuple[Message, ...]:
    """Return the conversation that asks for a plan. Its first message depends on the stubs alone."""
    return (
        Message(role="system", content=system_prompt(stubs, version=version)),
        Message(role="user", content=task),
    )


def fenced(plan: str) -> str:
    """Return a plan as a model would have written it, for the assistant's turn of a conversation that goes on."""
    return f"{FENCE_OPEN}{plan.rstrip()}\n{FENCE_CLOSE}"


@dataclass(frozen=True, slots=True)
class FencedPlan:
    """The code of an answer. More than one block is joined with a line break, as published."""

    source: str
    blocks: int = 1


@dataclass(frozen=True, slots=True)
class NoPlan:
    """An answer without any code: the model may have found that no tool is needed."""

    text: str


@dataclass(frozen=True, slots=True)
class BrokenPlan:
    """An answer that was meant to hold code and does not hold all of it."""

    reason: Literal["unterminated", "empty"]
    text: str


Extracted: TypeAlias = FencedPlan | NoPlan | BrokenPlan

_PYTHON_FENCE = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*\n(?P<code>.*?)(?P<end>```|\Z)", re.DOTALL | re.IGNORECASE)
_BARE_FENCE = re.compile(r"^```[ \t]*\n(?P<code>.*?)(?P<end>^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_OWN_LINE = re.compile(r"^[ \t]*```[ \t]*$", re.MULTILINE)


def extract(completion: str) -> Extracted:
    """Take the plan out of an answer.

    Blocks marked as Python count; where there are none, blocks without a mark do. A fence inside a string literal
    does not end a block if a fence on a line of its own follows before the next block. Half a plan is never returned.
    """
    text = completion.replace("\r\n", "\n")
    blocks = _blocks(text, _PYTHON_FENCE) or _blocks(text, _BARE_FENCE)
    if not blocks:
        return NoPlan(text.strip())
    if any(code is None for code in blocks):
        return BrokenPlan("unterminated", text)
    source = "\n".join(code.strip("\n") for code in blocks if code is not None).strip("\n")
    return FencedPlan(source, blocks=len(blocks)) if source.strip() else BrokenPlan("empty", text)


def _blocks(text: str, fence: re.Pattern[str]) -> list[str | None]:
    """Return the code of every block; None for one without an end."""
    found: list[str | None] = []
    position = 0
    while match := fence.search(text, position):
        position = match.end()
        code = match["code"]
        if not match["end"]:
            found.append(None)
            break
        if code and not code.endswith("\n"):
            code, position = _past_literals(text, match.start("code"), code, position, fence)
        found.append(code)
    return found


def _past_literals(text: str, start: int, code: str, position: int, fence: re.Pattern[str]) -> tuple[str, int]:
    """Read on where a block seems to end in the middle of a line: that may be a fence in a string of the plan."""
    following = fence.search(text, position)
    limit = following.start() if following else len(text)
    closing = _OWN_LINE.search(text, position, limit)
    return (code, position) if closing is None else (text[start : closing.start()], closing.end())
