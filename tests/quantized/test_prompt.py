"""The prompt to the byte, and what is taken out of an answer."""

import hashlib

import pytest

from planact_quantized import Message
from planact_quantized.prompt import (
    TEMPLATES,
    BrokenPlan,
    FencedPlan,
    NoPlan,
    PromptVersion,
    extract,
    fenced,
    messages,
    system_prompt,
)


@pytest.mark.parametrize(
    ("version", "size", "sha256"),
    [
        ("evaluation", 676, "a5c61817d6b33d7163301da91a3277427b8d315e37506dc00aeeee8ea39b824d"),
        ("package", 800, "4f2df630eb2a6b68f2bd302d82e0d205eb12e74bcd79b9fca2ec53d3799add67"),
    ],
)
def test_the_published_texts_are_kept_to_the_byte(version: PromptVersion, size: int, sha256: str) -> None:
    text = TEMPLATES[version].encode()

    assert (len(text), hashlib.sha256(text).hexdigest()) == (size, sha256)


def test_the_models_were_measured_with_the_default() -> None:
    assert system_prompt("def f() -> int: ...") == TEMPLATES["evaluation"].replace(
        "{{functions_schema}}", "def f() -> int: ..."
    )
    assert system_prompt("").endswith("whenever possible. ")


def test_stubs_are_put_in_as_they_are() -> None:
    stubs = "def f(a: str = '{{functions_schema}} \\1 {x}') -> int: ..."

    assert stubs in system_prompt(stubs, version="package")
    assert system_prompt(stubs).count("{{functions_schema}}") == 1


def test_the_task_is_the_users_turn_and_nothing_else() -> None:
    assert messages("Book a {room}", "def f(): ...") == (
        Message(role="system", content=system_prompt("def f(): ...")),
        Message(role="user", content="Book a {room}"),
    )


PLAN = "x = f(1)\ny = g(x)"

ANSWERS = {
    "one block": (f"I will.\n\n```python\n{PLAN}\n```\nDone.", FencedPlan(PLAN)),
    "nothing but a block": (f"```python\n{PLAN}\n```", FencedPlan(PLAN)),
    "a short mark": (f"```py\n{PLAN}\n```", FencedPlan(PLAN)),
    "a mark in capitals": (f"```Python\n{PLAN}\n```", FencedPlan(PLAN)),
    "a newer mark": (f"```python3\n{PLAN}\n```", FencedPlan(PLAN)),
    "no mark": (f"Here:\n```\n{PLAN}\n```", FencedPlan(PLAN)),
    "two blocks": ("```python\nx = 1\n```\nand then\n```python\ny = x\n```", FencedPlan("x = 1\ny = x", blocks=2)),
    "a block of something else before": ('```json\n{"a": 1}\n```\n```python\nx = 1\n```', FencedPlan("x = 1")),
    "a block of something else alone": ('```json\n{"a": 1}\n```', NoPlan('```json\n{"a": 1}\n```')),
    "lines of Windows": ("```python\r\nx = 1\r\nif x:\r\n    y = 2\r\n```\r\n", FencedPlan("x = 1\nif x:\n    y = 2")),
    "indentation at the start": ("```python\n    x = 1\n```", FencedPlan("    x = 1")),
    "a fence in a text": ('```python\nx = "```"\ny = 2\n```', FencedPlan('x = "```"\ny = 2')),
    "a fence in a text of two blocks": (
        '```python\nx = "```"\n```\nand\n```python\ny = 2\n```',
        FencedPlan('x = "```"\ny = 2', blocks=2),
    ),
    "a fence behind the last line": ("```python\nx = 1```", FencedPlan("x = 1")),
    "words only": ("  No tool is needed: it is 4.\n", NoPlan("No tool is needed: it is 4.")),
    "nothing": ("", NoPlan("")),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_taken_out_of_an_answer(answer: str) -> None:
    text, expected = ANSWERS[answer]

    assert extract(text) == expected


@pytest.mark.parametrize(
    "text", ["```python\nx = 1\n", "```python\n", "```\nx = 1", "a\n```python\nx\n```\n```python\ny"]
)
def test_half_a_plan_is_no_plan(text: str) -> None:
    assert extract(text) == BrokenPlan("unterminated", text)


@pytest.mark.parametrize("text", ["```python\n```", "```python\n\n  \n```\nDone."])
def test_an_empty_block_is_no_plan(text: str) -> None:
    assert extract(text) == BrokenPlan("empty", text)


def test_a_plan_comes_back_as_it_was_fenced() -> None:
    assert extract(f"As before.\n{fenced(PLAN)}") == FencedPlan(PLAN)
