"""Reading the pieces of a GGUF header from a file that nobody vouches for.

Nothing is read before it is known to lie within the file and within a bound; arrays are passed over, so that a
vocabulary of 150,000 texts costs no memory.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from typing import BinaryIO

LONGEST_TEXT: Final = 1 << 22
"""Bytes of a text that is kept; the longest in use are chat templates of some 20 kB."""

MOST_TEXT: Final = 1 << 25
"""Bytes of all texts that are kept together."""

LONGEST_ARRAY: Final = 1 << 24
"""Entries; the largest vocabularies have some 260,000, with twice as many merges."""

_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Of GGUF's value types that have one."""

_FORMATS: Final = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_FLOATS: Final = (6, 12)
_BOOL: Final = 7
_STRING: Final = 8
_ARRAY: Final = 9
_SHORT_ARRAY: Final = 4_096
"""Numbers per layer come as arrays of this kind; longer ones are passed over."""

Scalar: TypeAlias = str | int | float | bool
Array: TypeAlias = tuple[int, int | None]
"""Entries, and the largest of them where they are whole numbers and not many."""


class FormatError(Exception):
    """What is there is no GGUF we know; the message says where it stops being one, without the file's name."""

    def __init__(self, message: str, *, advice: str = "It was cut off or damaged; fetch it again") -> None:
        super().__init__(message)
        self.advice = advice


class Reader:
    """A file, read forwards, never beyond its end."""

    def __init__(self, file: BinaryIO, *, size: int) -> None:
        self._file = file
        self.size = size
        self.position = 0
        self._text = 0

    def peek(self, count: int) -> bytes:
        """Return up to so many of the next bytes, and stay where we are."""
        found = self._file.read(count)
        self._file.seek(self.position)
        return found

    def take(self, count: int) -> bytes:
        self._need(count)
        found = self._file.read(count)
        if len(found) != count:  # it became shorter while we read
            raise FormatError(f"it ends after {self.position + len(found)} bytes")
        self.position += count
        return found

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def count(self, what: str, *, most: int) -> int:
        count = self.unsigned(8)
        if count > most:
            raise FormatError(f"it announces {count} {what}; at most {most} are plausible")
        return count

    def string(self, *, most: int = LONGEST_TEXT) -> str:
        length = self.unsigned(8)
        if length > most:
            raise FormatError(f"it announces a text of {length} bytes where at most {most} are plausible")
        self._text += length
        if self._text > MOST_TEXT:
            raise FormatError(f"its texts come to more than {MOST_TEXT} bytes")
        # Undecodable names are no reason to refuse a model: llama.cpp takes bytes.
        return self.take(length).decode("utf-8", "replace")

    def value(self) -> Scalar | Array:
        kind = self.unsigned(4)
        if kind == _ARRAY:
            return self._array()
        if kind == _STRING:
            return self.string()
        return self._scalar(kind)

    def _scalar(self, kind: int) -> Scalar:
        if kind == _BOOL:  # any byte but 0 is true, whatever struct thinks of it
            return self.take(1) != b"\0"
        if kind not in _FORMATS:
            raise FormatError(f"it has a value of the unknown type {kind}")
        (value,) = struct.unpack(_FORMATS[kind], self.take(_SIZES[kind]))
        return value

    def _array(self) -> Array:
        kind, count = self.unsigned(4), self.count("entries of an array", most=LONGEST_ARRAY)
        if kind == _STRING:
            self._skip_strings(count)
            return count, None
        if kind not in _SIZES:
            raise FormatError(f"it has an array of the unknown type {kind}")
        if count == 0 or count > _SHORT_ARRAY or kind in (*_FLOATS, _BOOL):
            self._skip(count * _SIZES[kind])
            return count, None
        numbers = [self._scalar(kind) for _ in range(count)]
        return count, max(number for number in numbers if isinstance(number, int))

    def _skip_strings(self, count: int) -> None:
        self._need(8 * count)  # each has a length, so absurd counts end here
        read, seek, size, position = self._file.read, self._file.seek, self.size, self.position
        for _ in range(count):
            length = int.from_bytes(read(8), "little")
            position += 8 + length
            if position > size:
                raise FormatError(f"a text in an array goes beyond the end of its {size} bytes")
            if length > 512:
                seek(position)
            else:
                read(length)
        self.position = position

    def _skip(self, count: int) -> None:
        self._need(count)
        self.position += count
        self._file.seek(self.position)

    def _need(self, count: int) -> None:
        if count > self.size - self.position:
            raise FormatError(f"it ends after {self.size} bytes, within its header")
