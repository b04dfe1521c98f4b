"""`ask_model`: the planner's model answers about data, held to a schema and checked."""

from __future__ import annotations

from typing import Any

import pytest

from planact_quantized import BackendError, BackendInfo
from planact_server.planner import PlanningError
from planact_server.planner.options import PlannerOptions
from planact_server.planner.planner import Planner
from planact_server.planner.spending import Spending
from planner.scripted import Said, ScriptedBackend

SCHEMA = {"type": "object", "properties": {"complaint": {"type": "boolean"}}, "required": ["complaint"]}
LOCAL = BackendInfo(kind="local", model="scripted", context_tokens=2_048, grammar=True)


async def ask(*script: Said, data: Any = "late again!", schema: Any = SCHEMA, **options: Any) -> tuple[Any, list[Any]]:
    backend = ScriptedBackend(list(script), info=LOCAL)
    planner = Planner(backend, PlannerOptions(**options))
    answer = await planner.ask_model("Is it a complaint?", data=data, schema=schema, spending=Spending())
    return answer, backend.requests


async def test_the_answer_is_the_value_written_under_the_schemas_grammar() -> None:
    answer, requests = await ask('{"complaint": true}')

    assert answer == {"complaint": True}
    (request,) = requests
    assert request.grammar is not None
    assert '"\\"complaint\\""' in request.grammar.text
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.messages[1].content.startswith('Is it a complaint?\n\nData:\n"late again!"\n')


async def test_without_a_schema_the_answer_is_text() -> None:
    answer, requests = await ask(" Yes, it is.\n", schema=None)
    assert answer == "Yes, it is."
    assert requests[0].grammar is None


async def test_a_fence_around_json_is_taken_off_where_no_grammar_kept_it_away() -> None:
    assert (await ask('```json\n{"complaint": false}\n```'))[0] == {"complaint": False}


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        ("certainly!", "it is not JSON"),
        ('{"complaint": "yes"}', "complaint must be bool, not 'yes' (str). Answer again"),
        ("{}", "complaint"),
        ('{"complaint": NaN}', "NaN is no JSON"),
        ('{"complaint": true, "why": "' + "".join(f"{n} " for n in range(700)), "cut off at its greatest length"),
        ("x = f(1)\n" * 20, "it went round in circles"),
    ],
)
async def test_an_answer_that_does_not_fit_is_asked_for_once_more(first: str, problem: str) -> None:
    answer, requests = await ask(first, '{"complaint": true}', max_tokens=256)

    assert answer == {"complaint": True}
    assert problem in requests[1].messages[-1].content


async def test_two_unusable_answers_are_an_error() -> None:
    with pytest.raises(PlanningError, match="ask_model has no usable answer: it is not JSON"):
        await ask("no", "no")


async def test_data_that_does_not_fit_is_refused_whole() -> None:
    with pytest.raises(PlanningError, match=r"the data takes 2,\d+ tokens and 1,536 fit") as caught:
        await ask(data="x" * 10_000)
    assert caught.value.hint == "Pass only what the question is about, or ask about a part at a time."


async def test_a_fault_of_the_backend_is_passed_on_in_its_words() -> None:
    with pytest.raises(PlanningError, match="ask_model: It is gone"):
        await ask(BackendError("It is gone.", fault="unavailable"))


async def test_it_can_be_switched_off() -> None:
    with pytest.raises(PlanningError, match="switched off"):
        await ask('{"complaint": true}', ask_model=False)
