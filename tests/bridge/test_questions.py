"""A server that asks in the middle of a call, in the era where the question is the result."""

import pytest

from planact_tools import JSONObject, ToolCall, ToolError

CALL = ToolCall(name="ok", arguments={})


class Yes:
    """Answers everything, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, JSONObject]] = []

    @property
    def capabilities(self) -> JSONObject:
        return {"elicitation": {"form": {}}}

    async def ask(self, server: str, method: str, params: JSONObject) -> JSONObject:
        self.asked.append((server, method, params))
        return {"action": "accept", "content": {}}


async def test_a_question_that_nobody_answers_fails_the_call_and_says_why(connect) -> None:
    with pytest.raises(ToolError) as caught:
        await connect("raw.py", "asks_stateless").call(CALL)
    assert caught.value.message == (
        "Server 'asks_stateless' asked something in the middle of the call. "
        "Planact does not offer questions to the user."
    )


async def test_an_answer_is_sent_back_with_the_servers_own_state(connect) -> None:
    person = Yes()
    result = await connect("raw.py", "asks_stateless", questions=person).call(CALL)
    assert result.value == [{"q": {"action": "accept", "content": {}}}, "sealed"]
    assert person.asked == [("asks_stateless", "elicitation/create", {"message": "Sure?"})]
