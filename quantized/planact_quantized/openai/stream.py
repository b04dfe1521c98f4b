"""A streamed answer, byte by byte: server-sent events, and what the chunks in them say.

Pure. Servers differ, so this reads leniently: comments, events of several lines, events without an empty line
between them, any line ending, chunks that end in the middle of a character, a last event that nothing follows,
one JSON object in place of a stream.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from planact_quantized.openai.foreign_json import at, list_at, number_at, text_at

Ending: TypeAlias = Literal["end", "length"]

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer. What is longer is no text of a model."""

_DONE = "[DONE]"


class UnreadableError(Exception):
    """What arrived is not what the protocol has; the message says what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one event said."""

    text: str = ""
    thinking: bool = False
    """It carried text of the model that is no part of the answer; the server is at work."""

    ending: Ending | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    error: object = None
    """The server's own words about what went wrong, as JSON."""


class EventReader:
    """Takes bytes, gives the objects in them. `finish` says what was left over."""

    def __init__(self) -> None:
        self.done = False
        """Whether the server said that this was all."""

        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._line: list[str] = []
        """The pieces of a line that has no end yet; joined once, for it may be long and come in many."""

        self._data: list[str] = []
        self._other: list[str] = []
        self._size = 0
        self._events = 0

    def feed(self, data: bytes) -> list[object]:
        """Return the objects that are complete now. Raises UnreadableError."""
        self._size += len(data)
        if self._size > MOST_BYTES:
            raise UnreadableError(f"more than {MOST_BYTES // 2**20} MB")
        return self._take(self._decoder.decode(data))

    def finish(self) -> list[object]:
        """Return what the end of the stream completes. Raises UnreadableError when nothing was ever readable."""
        found = self._take(self._decoder.decode(b"", final=True))
        line, self._line = "".join(self._line), []
        found += self._end_of_line(line) if line else []
        found += self._end_of_event()
        if self._events or self.done:
            return found
        # No event at all: the server may have answered with one object, as if it had not been asked to stream.
        found = [_parsed("\n".join(self._other))]
        self.done = True
        return found

    def _take(self, text: str) -> list[object]:
        found: list[object] = []
        if not text:
            return found
        held = bool(self._line) and self._line[-1].endswith("\r")
        self._line.append(text.removeprefix("\ufeff") if not self._events and not self._line else text)
        if not held and "\n" not in text and "\r" not in text:
            return found
        whole = "".join(self._line)
        # A "\r" at the very end may be half of a "\r\n".
        end = "\r" if whole.endswith("\r") else ""
        body = whole.removesuffix(end) if end else whole
        *lines, rest = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._line = [rest + end] if rest or end else []
        for line in lines:
            found += self._end_of_line(line)
        return found

    def _end_of_line(self, line: str) -> list[object]:
        line = line.rstrip("\r")
        if not line.strip():
            return self._end_of_event()
        field, colon, value = line.partition(":")
        if colon and field == "data":
            self._data.append(value.removeprefix(" "))
        elif colon and field == "error":  # llama-server used to send them so
            self._data.append(f'{{"error":{value}}}')
        elif not (line.startswith(":") or (colon and field in ("event", "id", "retry"))):
            self._other.append(line)
        return []

    def _end_of_event(self) -> list[object]:
        lines, self._data = self._data, []
        if not lines:
            return []
        self._events += 1
        whole = "\n".join(lines)
        texts = [whole] if _is_json(whole) else lines
        self.done = self.done or any(text.strip() == _DONE for text in texts)
        return [_parsed(text) for text in texts if text.strip() and text.strip() != _DONE]


def read_chunk(event: object) -> Chunk:
    """Return what an event says, in any of the shapes that servers have for it. Raises UnreadableError."""
    error = at(event, "error")
    if error:
        return Chunk(error=error)
    if at(event, "object") == "error":  # vLLM puts the error itself at the top
        return Chunk(error=event)
    usage = at(event, "usage")
    cost = Chunk(
        prompt_tokens=number_at(usage, "prompt_tokens") or number_at(event, "tokens_evaluated"),
        cached_tokens=number_at(usage, "prompt_tokens_details", "cached_tokens")
        or number_at(event, "timings", "cache_n"),
        generated_tokens=number_at(usage, "completion_tokens") or number_at(event, "tokens_predicted"),
    )
    choices = at(event, "choices")
    if isinstance(choices, list):
        choice = at(event, "choices", 0)
        said = at(choice, "delta") or at(choice, "message")
        return replace(
            cost,
            text=_content(at(said, "content")) or text_at(choice, "text"),
            thinking=bool(at(said, "reasoning_content") or at(said, "reasoning") or at(said, "tool_calls")),
            ending=_ending(at(choice, "finish_reason")),
        )
    if isinstance(at(event, "content"), str):  # llama-server's own `/completion`
        stopped = at(event, "stop") is True
        ending: Ending = "length" if at(event, "stop_type") == "limit" else "end"
        return replace(cost, text=text_at(event, "content"), ending=ending if stopped else None)
    if usage is not None:
        return cost
    raise UnreadableError(f"an object without `choices`: {_cut(json.dumps(event))}")


def _content(value: object) -> str:
    """Return a content's text; some servers send it in parts."""
    if isinstance(value, str):
        return value
    return "".join(text_at(part, "text") for part in list_at(value))


def _ending(reason: object) -> Ending | None:
    if not isinstance(reason, str) or not reason:
        return None
    return "length" if reason in ("length", "max_tokens") else "end"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(text: str) -> object:
    if not text.strip():
        raise UnreadableError("nothing")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        what = "a web page" if text.lstrip()[:1] == "<" else f"no JSON: {_cut(text.strip())}"
        raise UnreadableError(what) from None


def _cut(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:119]}…")
