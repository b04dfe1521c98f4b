"""Bodies of HTTP answers, brought to what the SDK reads: it is strict, and a pipe's lenient reader stands before it.

What the SDK understands is left as it is; everything else becomes a stream of events, which holds any number of
messages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx2
from mcp_types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter
from pydantic import ValidationError

from planact_bridge.wire import read_messages

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

    from mcp_types import JSONRPCMessage

_LINE_END = re.compile(rb"\r\n|\r|\n")
_OF_THE_OLD_BODY = ("content-length", "content-encoding", "transfer-encoding", "content-type")


def whole(response: httpx2.Response) -> httpx2.Response:
    """Return an answer, whose body has been read, as the SDK reads it. Raises ValueError where it is no message."""
    if _is_strict(response.content):
        return response
    body = b"".join(b"data: %s\n\n" % each for each in _rewritten(response.content))
    return httpx2.Response(
        response.status_code, headers=_headers(response), content=body, extensions=response.extensions
    )


def streamed(response: httpx2.Response) -> httpx2.Response:
    """Return a stream of events as the SDK reads it: what is no message is passed over."""
    return httpx2.Response(
        response.status_code, headers=_headers(response), stream=_Events(response), extensions=response.extensions
    )


class _Events(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        event: list[bytes] = []
        async for line in _lines(self._response.aiter_bytes()):
            event.append(line)
            if not line:
                yield _readable(event)
                event = []
        yield b"\n".join(event)

    async def aclose(self) -> None:
        await self._response.aclose()


async def _lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    rest: list[bytes] = []
    half_ended = False
    async for chunk in chunks:
        new = chunk.removeprefix(b"\n") if half_ended else chunk
        half_ended = new.endswith(b"\r")
        first, *others = _LINE_END.split(new)
        rest.append(first)
        for line in others:
            yield b"".join(rest)
            rest = [line]
    if last := b"".join(rest):
        yield last


def _readable(event: list[bytes]) -> bytes:
    """Return an event, its lines up to the empty one, with the messages in its data as the SDK reads them."""
    data = b"\n".join(_value(line) for line in event if _is_field(line, b"data"))
    kind = next((_value(line) for line in reversed(event) if _is_field(line, b"event")), b"message")
    if not data or kind != b"message" or _is_strict(data):
        return b"\n".join([*event, b""])
    others = [line for line in event if line and not _is_field(line, b"data")]
    try:
        messages = _rewritten(data)
    except ValueError:
        return b"\n".join([*others, b"", b""])
    return b"".join(b"\n".join([*others, b"data: " + each, b"", b""]) for each in messages)


def _rewritten(body: bytes) -> list[bytes]:
    """Return its messages, the answer among them last: the SDK reads no further. Raises ValueError."""
    messages = sorted(read_messages(body), key=_is_answer)
    return [message.model_dump_json(by_alias=True, exclude_unset=True).encode() for message in messages]


def _is_answer(message: JSONRPCMessage) -> bool:
    return isinstance(message, JSONRPCResponse | JSONRPCError)


def _is_strict(body: bytes) -> bool:
    try:
        jsonrpc_message_adapter.validate_json(body, by_name=False)
    except ValidationError:
        return False
    return True


def _is_field(line: bytes, name: bytes) -> bool:
    return line == name or line.startswith(name + b":")


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].removeprefix(b" ")


def _headers(response: httpx2.Response) -> list[tuple[str, str]]:
    # One by one: several cookies are several headers.
    kept = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _OF_THE_OLD_BODY]
    return [*kept, ("content-type", "text/event-stream")]
