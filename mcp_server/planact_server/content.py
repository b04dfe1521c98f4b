"""What is too big or too strange for JSON: images, sounds, files and very long texts.

They stay on this side. A plan holds small handles, `{"$planact": kind, "id": …}`, which become the content
again when they are passed to a tool or handed to the host.
"""

from __future__ import annotations

import base64
import secrets
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from planact_server.plain_json import levels_of

if TYPE_CHECKING:
    from planact_tools import Attachment, JSONObject, JSONValue, ToolResult

HANDLE_KEY = "$planact"
LARGE_TEXT_CHARS = 8 * 1024 * 1024
"""Texts longer than this cross into a plan slice by slice."""

SLICE_CHARS = 1024 * 1024
"""Longest slice that one question returns."""


KEPT_BYTES = 256 * 1024 * 1024
"""Most that one session's handles stand for together; the oldest contents go first, the newest always stay."""


DISCLOSED_CHARS = 384 * 1024 * 1024
"""Most that the handles in one call's arguments stand for: a little more than a session keeps."""


class ContentError(Exception):
    """A handle names nothing that this session holds."""


class Contents:
    """The content that one session's handles stand for."""

    def __init__(self, *, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._attachments: dict[str, Attachment] = {}
        self._texts: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        """Of everything that is held, oldest first."""

    @property
    def held_bytes(self) -> int:
        """What all handles stand for together."""
        return sum(self._sizes.values())

    def enclose(self, result: ToolResult) -> JSONValue:
        """Return the result's value with handles where content or long texts were."""
        if not result.attachments and not any(map(_has_long_text, levels_of(result.value))):
            return result.value
        return self._enclose(result.value, result.attachments)

    def disclose(self, arguments: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
        """Return arguments with every handle replaced by its content: text, or base64 for bytes.

        Raises ContentError for a handle that is not ours, and for more content than one call may carry: a plan can
        name the same one as often as it likes.
        """
        disclosing = _Disclosing(self)
        return {name: disclosing.disclose(value) for name, value in arguments.items()}

    def text(self, handle: str) -> str:
        """Raises ContentError."""
        try:
            return self._texts[handle]
        except KeyError:
            raise ContentError(f"No text {handle!r} in this session, or newer contents have taken its place.") from None

    def attachment(self, handle: str) -> Attachment:
        """Raises ContentError."""
        try:
            return self._attachments[handle]
        except KeyError:
            raise ContentError(
                f"No content {handle!r} in this session, or newer contents have taken its place."
            ) from None

    def handles_in(self, value: JSONValue) -> list[str]:
        """Return the ids of the attachments that a value refers to, in order, each once."""
        found: dict[str, None] = {}
        _collect(value, found)
        return [handle for handle in found if handle in self._attachments]

    def _enclose(self, value: JSONValue, attachments: tuple[Attachment, ...]) -> JSONValue:
        if isinstance(value, str):
            return value if len(value) <= LARGE_TEXT_CHARS else self._keep_text(value)
        if isinstance(value, list):
            return [self._enclose(item, attachments) for item in value]
        if isinstance(value, dict):
            index = value.get("$attachment")
            if attachments and isinstance(index, int) and len(value) == 1 and 0 <= index < len(attachments):
                return self._keep(attachments[index])
            return {key: self._enclose(item, attachments) for key, item in value.items()}
        return value

    def _keep(self, attachment: Attachment) -> JSONObject:
        handle = secrets.token_hex(8)
        self._attachments[handle] = attachment
        self._make_room(handle, len(attachment.data))
        return {HANDLE_KEY: attachment.kind, "id": handle, "mime": attachment.mime, "size": len(attachment.data)}

    def _keep_text(self, text: str) -> JSONObject:
        handle = secrets.token_hex(8)
        self._texts[handle] = text
        self._make_room(handle, sys.getsizeof(text))
        return {HANDLE_KEY: "text", "id": handle, "size": len(text)}

    def _make_room(self, newest: str, size: int) -> None:
        self._sizes[newest] = size
        excess = self.held_bytes - self._most_bytes
        for handle in list(self._sizes)[:-1]:
            if excess <= 0:
                return
            excess -= self._sizes.pop(handle)
            self._attachments.pop(handle, None)
            self._texts.pop(handle, None)


class _Disclosing:
    """The handles of one call being replaced."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._room = DISCLOSED_CHARS

    def disclose(self, value: JSONValue) -> JSONValue:
        if isinstance(value, list):
            return [self.disclose(item) for item in value]
        if not isinstance(value, dict):
            return value
        if HANDLE_KEY not in value:
            return {key: self.disclose(item) for key, item in value.items()}
        handle = str(value.get("id"))
        if value[HANDLE_KEY] == "text":
            text = self._contents.text(handle)
            self._take(len(text))
            return text
        data = self._contents.attachment(handle).data
        self._take(len(data) * 4 // 3)
        return base64.b64encode(data).decode("ascii")

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise ContentError(
                f"The contents that the arguments name have more than {DISCLOSED_CHARS:,} characters."
                " Pass each once, and less at a time."
            )


def _has_long_text(level: list[object]) -> bool:
    return str in set(map(type, level)) and any(len(each) > LARGE_TEXT_CHARS for each in level if isinstance(each, str))


def holds_handle(value: JSONValue) -> bool:
    """Say whether some part of a value is a handle."""
    found: dict[str, None] = {}
    _collect(value, found)
    return bool(found)


def _collect(value: JSONValue, found: dict[str, None]) -> None:
    if isinstance(value, list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, Mapping):
        if HANDLE_KEY in value:
            found[str(value.get("id"))] = None
        for item in value.values():
            _collect(item, found)
