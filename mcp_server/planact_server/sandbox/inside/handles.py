"""Values that stay with the host: images, sounds, files, and text too large to send."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import sealed
from planact_server.sandbox.inside.sealed import Sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 1 << 20


class Handle(metaclass=Sealed):
    """An image, a sound or a file. Pass it on as an argument, or make it the plan's result."""

    __slots__ = ("_wire", "kind", "mime", "size")

    def __init__(self, wire: dict[str, Any]) -> None:
        self._wire = wire
        self.kind: str = wire["$planact"]
        self.mime: str = wire["mime"]
        self.size: int = wire["size"]

    def __repr__(self) -> str:
        return f"<{self.kind} {self.mime}, {self.size} bytes>"


class LargeText(metaclass=Sealed):
    """Text that stays with the host; pieces of it are fetched when used. Sizes count characters."""

    __slots__ = ("_chunk", "_chunk_start", "_read", "_wire", "size")

    def __init__(self, wire: dict[str, Any], read: Callable[[int, int], str]) -> None:
        self._wire = wire
        self._read = read
        self._chunk = ""
        self._chunk_start = 0
        self.size: int = wire["size"]

    def text(self) -> str:
        """The whole text."""
        return "".join(self._chunks())

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int | slice) -> str:
        if isinstance(index, slice):
            places = range(self.size)[index]
            if not places:
                return ""
            ends = (places[0], places[-1])
            return self._slice(min(ends), max(ends) + 1)[:: places.step]
        number = operator.index(index)
        position = number + self.size if number < 0 else number
        if not 0 <= position < self.size:
            raise IndexError("text index out of range")
        return self._slice(position, position + 1)

    def __iter__(self) -> Iterator[str]:
        """Lines, each with its line break, as a file has them: only a line feed ends one."""
        begun: list[str] = []
        for chunk in self._chunks():
            *lines, rest = chunk.split("\n")
            for line in lines:
                yield "".join((*begun, line, "\n"))
                begun.clear()
            begun.append(rest)
        if last := "".join(begun):
            yield last

    def __contains__(self, words: str) -> bool:
        tail = ""
        for chunk in self._chunks():
            if words in tail + chunk:
                return True
            tail = (tail + chunk)[-len(words) :] if words else ""
        return not words

    def __repr__(self) -> str:
        return f"<LargeText of {self.size} characters: use slices, iterate over lines, or .text()>"

    def _chunks(self) -> Iterator[str]:
        for start in range(0, self.size, _CHUNK):
            yield self._fetch(start, min(start + _CHUNK, self.size))

    def _fetch(self, start: int, stop: int) -> str:
        """Read a piece; the host may give less than it is asked for at a time."""
        pieces: list[str] = []
        while start < stop:
            piece = self._read(start, stop)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
        return "".join(pieces)

    def _slice(self, start: int, stop: int) -> str:
        if stop <= start:
            return ""
        if stop - start > _CHUNK:
            return self._fetch(start, stop)
        end = self._chunk_start + len(self._chunk)
        if start < self._chunk_start or stop > end:
            self._chunk_start = start
            self._chunk = self._fetch(start, min(start + _CHUNK, self.size))
        return self._chunk[start - self._chunk_start : stop - self._chunk_start]


def to_wire(handle: Handle | LargeText) -> dict[str, Any]:
    """The object that travels back to the host, unchanged."""
    # Plans must not change it, so it is no public attribute.
    return handle._wire  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def from_wire(value: dict[str, Any], read: Callable[[str, int, int], str]) -> Any:
    """Turn a frame's handle object into what the plan sees; leave every other object alone.

    Data of plans and of tools come the same way and may bear the mark with anything beside it.
    """
    kind, name, size = value.get("$planact"), value.get("id"), value.get("size")
    if type(kind) is not str or type(name) is not str or type(size) is not int or size < 0:
        return value
    if kind == "text":
        return sealed.make(LargeText, value, functools.partial(read, name))
    if kind in {"image", "audio", "blob"} and type(value.get("mime")) is str:
        return sealed.make(Handle, value)
    return value
