"""JSON-RPC messages out of what servers really write.

Pure: one line in, messages out. Whatever can be understood is: a batch, a missing `jsonrpc`, an id
written as a float, an error that is a bare text, broken UTF-8, half a surrogate pair.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, cast

from mcp_types import (
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)
from pydantic_core import from_json

from planact_bridge.errors import UNREADABLE

if TYPE_CHECKING:
    from planact_tools import JSONObject, JSONValue


_TOKEN = re.compile(rb'[{}\[\]]|"((?:[^"\\]|\\.)*+)"?(\s*:\s*(\d{1,15}(?=\s*[,}]))?)?', re.DOTALL)
"""A bracket, or a text; behind a text the colon that makes it a key, and the whole number that is its value."""

MOST_TOKENS = 200_000
"""How much of a line that cannot be read is looked through for what it answers."""


def read_messages(line: bytes) -> list[JSONRPCMessage]:
    """Return the messages of one line; more than one where the server sent a batch. Raises ValueError."""
    try:
        value = _decode(line)
    except ValueError as error:
        answered = _answered(line)
        if answered is None:
            raise
        # Whoever asked would wait for its whole patience for an answer that has come.
        return [_unreadable(answered, f"the server's answer cannot be read: {str(error)[:200]}")]
    if not isinstance(value, list):
        return [_message(value)]
    messages: list[JSONRPCMessage] = []
    for item in value:
        with suppress(ValueError):  # the others of a batch are messages all the same
            messages.append(_message(item))
    if not messages:
        raise ValueError("not a JSON-RPC message")
    return messages


def _answered(line: bytes) -> int | None:
    """Return which of our requests, whose ids are numbers, a line answers that cannot be read."""
    depth = 0
    found: dict[bytes, bytes | None] = {}
    for token in islice(_TOKEN.finditer(line), MOST_TOKENS):
        if token[1] is None:
            depth += 1 if token[0] in b"{[" else -1
        elif depth == 1 and token[2] is not None:
            found[token[1]] = token[3]
        if found.get(b"id") and (b"result" in found or b"error" in found):
            return int(found[b"id"] or 0)
    return None


def _decode(line: bytes) -> JSONValue:
    try:
        return from_json(line)
    except ValueError:
        # The strict and fast reader first; text cut in the middle of a character is worth a second look.
        pass
    try:
        return _without_lone_surrogates(cast("JSONValue", json.loads(line.decode("utf-8", "replace"))))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _without_lone_surrogates(value: JSONValue) -> JSONValue:
    # Half a pair cannot be written as UTF-8 again, so it must not travel further.
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {str(_without_lone_surrogates(key)): _without_lone_surrogates(item) for key, item in value.items()}
    return value


def _message(value: JSONValue) -> JSONRPCMessage:
    # model_construct: the fields are checked here, and checking 40 MB twice would double its time.
    if not isinstance(value, dict):
        raise ValueError("not a JSON-RPC message")
    request_id = _id(value.get("id"))
    method = value.get("method")
    if isinstance(method, str):
        params = value.get("params")
        params = params if isinstance(params, dict) else None
        if request_id is None:
            return JSONRPCNotification.model_construct(jsonrpc="2.0", method=method, params=params)
        return JSONRPCRequest.model_construct(jsonrpc="2.0", id=request_id, method=method, params=params)
    error = value.get("error")
    if error is not None:
        return JSONRPCError.model_construct(jsonrpc="2.0", id=request_id, error=_error(error))
    if "result" in value and request_id is not None:
        return _response(request_id, value["result"])
    raise ValueError("not a JSON-RPC message")


def _response(request_id: int | str, result: JSONValue) -> JSONRPCMessage:
    if isinstance(result, dict):
        return JSONRPCResponse.model_construct(jsonrpc="2.0", id=request_id, result=result)
    return _unreadable(request_id, f"the server's result is no object: {str(result)[:200]}")


def _unreadable(request_id: int | str, why: str) -> JSONRPCMessage:
    problem = ErrorData(code=INTERNAL_ERROR, message=why, data=UNREADABLE)
    return JSONRPCError.model_construct(jsonrpc="2.0", id=request_id, error=problem)


def _error(error: JSONValue) -> ErrorData:
    details: JSONObject = error if isinstance(error, dict) else {"message": error}
    code, message = details.get("code"), details.get("message")
    return ErrorData(
        code=code if isinstance(code, int) else INTERNAL_ERROR,
        message=message if isinstance(message, str) else json.dumps(message),
        data=details.get("data"),
    )


def _id(value: JSONValue) -> int | str | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
