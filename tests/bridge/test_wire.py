"""Lines as servers really write them."""

import pytest
from mcp_types import ErrorData, JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from planact_bridge.errors import UNREADABLE
from planact_bridge.wire import read_messages


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{"a":1}}', JSONRPCResponse(jsonrpc="2.0", id=1, result={"a": 1})),
        (b'{"id":1.0,"result":{}}\r', JSONRPCResponse(jsonrpc="2.0", id=1, result={})),
        (b'{"jsonrpc":"2.0","method":"n"}', JSONRPCNotification(jsonrpc="2.0", method="n")),
        (b'{"jsonrpc":"2.0","method":"n","params":[1]}', JSONRPCNotification(jsonrpc="2.0", method="n")),
        (b'{"jsonrpc":"2.0","id":"x","method":"r","params":{"b":2}}',
         JSONRPCRequest(jsonrpc="2.0", id="x", method="r", params={"b": 2})),
        (b'{"id":1,"error":"boom"}', JSONRPCError(jsonrpc="2.0", id=1, error=ErrorData(code=-32603, message="boom"))),
        (b'{"id":null,"error":{"code":-1,"message":"m","data":[2]}}',
         JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=-1, message="m", data=[2]))),
        (b'{"id":1,"result":["a"]}', JSONRPCError(
            jsonrpc="2.0", id=1,
            error=ErrorData(code=-32603, message="the server's result is no object: ['a']", data=UNREADABLE))),
        (b'{"id":1,"result":{"a":"\xff"}}', JSONRPCResponse(jsonrpc="2.0", id=1, result={"a": "\ufffd"})),
        (b'{"id":1,"result":{"a":"\\ud83d!"}}', JSONRPCResponse(jsonrpc="2.0", id=1, result={"a": "\ufffd!"})),
    ],
)  # fmt: skip
def test_a_message_is_understood(line: bytes, message: object) -> None:
    [read] = read_messages(line)
    assert type(read) is type(message)
    assert read.model_dump(exclude_none=True) == message.model_dump(exclude_none=True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("result", "why"),
    [(b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "nested too deeply"), (b'{"a":' + b"9" * 5_000 + b"}", "digits")],
    ids=["deep", "number"],
)
def test_an_answer_that_cannot_be_read_is_an_error_for_its_request(result: bytes, why: str) -> None:
    [read] = read_messages(b'{"jsonrpc":"2.0","id":7,"result":' + result + b"}")

    assert isinstance(read, JSONRPCError)
    assert read.id == 7
    assert read.error.message.startswith("the server's answer cannot be read: ")
    assert why in read.error.message


@pytest.mark.parametrize(
    "line",
    [
        b'{"result":{"id":5,"a":[%s]},"jsonrpc":"2.0","id": 7 }',
        b'{"jsonrpc":"2.0","result":{"]\\"":"{\\\\","a":[%s]},"id":7}',
        b'{"id":7,"jsonrpc":"2.0","error":{"data":[%s]}}',
        b'{"jsonrpc":"2.0","id":7,"result":{"a":[%s]},"cut',
    ],
)
def test_which_request_an_unreadable_answer_is_for_does_not_depend_on_order(line: bytes) -> None:
    [read] = read_messages(line % (b"9" * 5_000))
    assert isinstance(read, JSONRPCError)
    assert read.id == 7


@pytest.mark.parametrize(
    "line",
    [
        b'{"result":{"id":5,"a":' + b"9" * 5_000,
        b'{"method":"m","id":5,"params":' + b"9" * 5_000,
        b'{"result":"' + b'\\"' * 200_000,
        b"[{" * 150_000,
    ],
    ids=["cut off", "no answer", "quotes", "brackets"],
)
def test_a_damaged_line_that_answers_nothing_for_certain_is_no_message(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_messages(line)


def test_a_batch_is_its_messages() -> None:
    assert [type(m) for m in read_messages(b'[{"method":"n"},{"id":1,"result":{}}]')] == [
        JSONRPCNotification,
        JSONRPCResponse,
    ]


def test_what_is_none_among_the_messages_of_a_batch_is_passed_over() -> None:
    [read] = read_messages(b'[5,{"id":1,"result":{}},{"id":true}]')
    assert isinstance(read, JSONRPCResponse)


@pytest.mark.parametrize("line", [b"hello", b"[1]", b"{}", b'{"id":true,"result":{}}', b"[" * 100_000, b"null"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_messages(line)
