"""Cutting an answer to a budget of characters without breaking its structure.

Room is shared like water: every value may fill up to one level, so small values stay whole and the largest
are cut first. Whatever is cut says so where it was cut, and in `truncated` with its full size and where the
whole value can be read. Sizes are characters of JSON text, as it is sent.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast
from urllib.parse import quote, unquote

from planact_server.plain_json import plain_text, text_in_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized

    from planact_tools import JSONObject, JSONValue

LEAST_CHARS = 220
"""The smallest budget: room for the status, the handles, and a word about the first error."""

MARKER = "…"
"""Begins, or is the key of, whatever stands in the place of what was left out."""

_ESSENTIAL = ("status", "session", "run")
_URGENT = ("errors", "pending")
_BY_IMPORTANCE = ("result", "function_results", "variables", "output", "calls")
"""What is dropped last when there is not even room for markers; other keys come after these."""

_INDEX = re.compile("[0-9]{1,15}")
_LONGEST_ESSENTIAL = 64
_LONGEST_KEY = 80
_LEAST_NOTE = 52
_VALUE_LEVELS = 2
"""Room for the shortest `truncated`, its key included."""

_FEW_NOTES = 300
"""Room for two or three exact entries of `truncated`."""

_LEAST_CONTAINER = 26
"""A list or object cut down to nothing but its marker is at most this long."""

_LEAST_TEXT = 12
_MOST_LEVELS = 12
"""Deeper down a value is kept whole or summed up: every level measures everything below it once more."""

Path: TypeAlias = "tuple[str | int, ...]"


def shrink(answer: JSONObject, max_chars: int, link: Callable[[str], str]) -> JSONObject:
    """Return `answer` in at most `max_chars` characters of JSON text; less than LEAST_CHARS counts as that.

    `link` turns a path such as `variables/rows` into the address of the whole value. A path's parts are
    percent-encoded, so it can stand in a URI as it is; `value_at` follows it.
    """
    budget = max(max_chars, LEAST_CHARS)
    sound, text = plain_text(answer)
    whole = cast("JSONObject", sound)
    if len(text) <= budget:
        return whole
    ruler = _Ruler()
    notes = _Notes(
        whole=whole,
        ruler=ruler,
        link=link if isinstance(whole.get("run"), str) else None,
        earlier={str(entry["path"]): entry for entry in cast("list[JSONObject]", whole.get("truncated", []))},
    )
    room = max(budget // 3 if budget < _FEW_NOTES * 3 else _FEW_NOTES, min(budget // 5, 4_000))
    parts = [part for part in _entries(whole, ruler) if part.key != "truncated"]
    body: JSONObject = {}
    entries: list[JSONObject] = []
    # The first pass shows how much room `truncated` needs; the second gives the rest to the values.
    for _ in range(2):
        cutter = _Cutter(ruler, _missing(whole))
        body = _body(parts, budget - room, cutter)
        entries = notes.within(cutter.cut_paths, room, body)
        room = max(_LEAST_NOTE, _noted_size(entries))
    return {**body, "truncated": [*entries]}


def _missing(answer: JSONObject) -> dict[Path, int]:
    """Return where the worker had left out something already, and how much."""
    entries = cast("list[JSONObject]", answer.get("truncated", []))
    return {
        _path(answer, str(entry["path"])): cast("int", entry["size"]) - cast("int", entry["kept"])
        for entry in entries
        if "kept" in entry
    }


def _path(answer: JSONValue, written: str) -> Path:
    """Return a path of `truncated` with places in lists as numbers."""
    path: list[str | int] = []
    value = answer
    for part in written.split("/"):
        path.append(int(part) if isinstance(value, list) else unquote(part))
        value = value_at(value, part)
    return tuple(path)


def value_at(answer: JSONValue, path: str) -> JSONValue:
    """Return the part of an answer that a path from `truncated` names. Raises LookupError."""
    value = answer
    for part in path.split("/") if path else ():
        key = unquote(part)
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            raise LookupError(f"There is nothing at {path!r}.")
    return value


@dataclass(slots=True)
class _Part:
    """An element of a list or object, measured."""

    key: str | int
    """Where it is in the whole value."""

    label: str
    """Its key as it will be sent; empty in a list."""

    value: JSONValue
    overhead: int
    """Its key, colon and comma. The first one's missing comma makes up for the brackets."""

    size: int

    def least(self, floor: int = 0) -> int:
        """Return the room that is enough to show the value at all, or `floor` of it."""
        shortest = _LEAST_TEXT if isinstance(self.value, str) else _LEAST_CONTAINER
        return min(self.size, max(shortest, floor))


class _Ruler:
    """Measures the parts of one value, each once. They stay where they are as long as this is used."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

    def size(self, value: JSONValue) -> int:
        if not isinstance(value, list | dict | str):
            return _size(value)
        if id(value) not in self._sizes:
            self._sizes[id(value)] = _size(value)
        return self._sizes[id(value)]

    def note(self, value: JSONValue, size: int) -> None:
        """Take in a size that follows from another one."""
        self._sizes[id(value)] = size


@dataclass(slots=True)
class _Cutter:
    """Cuts values and remembers where."""

    ruler: _Ruler
    missing: Mapping[Path, int] = field(default_factory=dict[Path, int])
    """Lists and objects that were cut before and say so at their end → how much was left out then."""

    cut_paths: dict[Path, int] = field(default_factory=dict[Path, int])
    """Where something was left out → the full size of what was there."""

    def cut(self, value: JSONValue, size: int, room: int, path: Path, *, level: int = 0) -> JSONValue:
        """Return `value`, which is `size` long, in at most `room`; that is no less than its part's `least`."""
        if size <= room:
            return value
        match value:
            case list() if level < _MOST_LEVELS:
                return self._cut_list(value, size, room, path, level)
            case dict() if level < _MOST_LEVELS:
                return self._cut_dict(value, size, room, path, level)
            case _:
                self.cut_paths[path] = size
                return _cut_text(value, room) if isinstance(value, str) else _summary(value, size)

    def _cut_list(self, items: list[JSONValue], size: int, room: int, path: Path, level: int) -> JSONValue:
        marker = f"{MARKER} {len(items)} more"
        if len(items) == 1:
            self.ruler.note(items[0], size - 2)
        # A tenth of the room for each: better a few records that can be read than many that cannot.
        kept = _fill(_items(items, self.ruler), len(items), room, marker=_size(marker) + 2, floor=room // 10)
        short = [self.cut(p.value, p.size, share, (*path, p.key), level=level + 1) for p, share in kept]
        if len(kept) < len(items):
            self.cut_paths[path] = size
            short.append(f"{MARKER} {self._left(items, kept, path)} more")
        return short

    def _cut_dict(self, table: dict[str, JSONValue], size: int, room: int, path: Path, level: int) -> JSONValue:
        marker = f"{len(table)} more"
        overhead = _size(MARKER) + _size(marker) + 4
        if len(table) == 1:
            [(key, value)] = table.items()
            self.ruler.note(value, size - 4 - _size(key))
        # Names are worth more than values: a variable that is not even named is lost to the reader.
        kept = _fill(_entries(table, self.ruler), len(table), room, marker=overhead, floor=room // 80)
        short: JSONObject = {}
        for part, share in kept:
            short[part.label] = self.cut(part.value, part.size, share, (*path, part.key), level=level + 1)
        if any(part.label != part.key for part, _ in kept):
            self.cut_paths[path] = size
        if len(kept) < len(table):
            self.cut_paths[path] = size
            short[MARKER] = f"{self._left(table, kept, path)} more"
        return short

    def _left(self, whole: Sized, kept: Sized, path: Path) -> int:
        # The mark at the end of what was cut before counts as one.
        before = self.missing[path] - 1 if path in self.missing else 0
        return len(whole) - len(kept) + before


def _body(parts: Sequence[_Part], room: int, cutter: _Cutter) -> JSONObject:
    """Return the answer's parts in at most `room`, cut or left out as that takes."""
    waiting = {part.key: part for part in parts}
    shares = [(waiting.pop(key), _LONGEST_ESSENTIAL) for key in _ESSENTIAL if key in waiting]
    room -= 2 + sum(part.overhead + min(part.size, share) for part, share in shares)

    urgent = [waiting.pop(key) for key in _URGENT if key in waiting]
    shares += _fill(urgent, len(urgent), max(room // 2, min(room, 160)))
    room -= sum(part.overhead + min(part.size, share) for part, share in shares if part.key in _URGENT)

    rest = [waiting.pop(key) for key in _BY_IMPORTANCE if key in waiting]
    rest += waiting.values()
    shares += _fill(rest, len(rest), room)

    room_of = {part.key: share for part, share in shares}
    body: JSONObject = {}
    for part in parts:
        if part.key in room_of:
            body[part.label] = cutter.cut(part.value, part.size, room_of[part.key], (part.key,))
        else:
            cutter.cut_paths[(part.key,)] = part.size
    return body


def _fill(parts: Iterable[_Part], count: int, room: int, *, marker: int = 0, floor: int = 0) -> list[tuple[_Part, int]]:
    """Share `room` among as many of the first parts as can be shown; return those with their shares.

    `marker` is kept free unless all `count` parts are shown. No share is below the part's `least`.
    """
    kept: list[_Part] = []
    used = 0
    for part in parts:
        needed = part.overhead + part.least(floor)
        if used + needed > room:
            break
        kept.append(part)
        used += needed
    if len(kept) < count:
        room -= marker
        while kept and used > room:
            last = kept.pop()
            used -= last.overhead + last.least(floor)
    level = _level(kept, room - sum(part.overhead for part in kept))
    return [(part, min(part.size, max(part.least(), level))) for part in kept]


def _level(parts: Sequence[_Part], room: int) -> int:
    """Return the highest level to which all parts can fill up within `room`."""
    low, high = 0, max((part.size for part in parts), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(part.size, max(part.least(), middle)) for part in parts) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _items(items: Sequence[JSONValue], ruler: _Ruler) -> Iterator[_Part]:
    for index, item in enumerate(items):
        yield _Part(key=index, label="", value=item, overhead=2, size=ruler.size(item))


def _entries(table: JSONObject, ruler: _Ruler) -> Iterator[_Part]:
    for index, (key, value) in enumerate(table.items()):
        label = key
        if len(key) > _LONGEST_KEY or _size(key) > _LONGEST_KEY:
            label = f"{_prefix(key, _LONGEST_KEY - 20)}{MARKER} key {index}"
        # The marker's own key is taken; a value that has it counts as left out.
        if key != MARKER:
            yield _Part(key=key, label=label, value=value, overhead=_size(label) + 4, size=ruler.size(value))


def _cut_text(text: str, room: int) -> str:
    marker = f"{MARKER} {len(text)} characters left out {MARKER}"
    free = room - 2 - len(marker)
    if free < len(marker):
        return _prefix(text, room - 3) + MARKER
    # The end of an output says how it ended.
    head = _prefix(text, free * 2 // 3)
    tail = _prefix(text[::-1], free // 3)[::-1]
    return f"{head}{MARKER} {len(text) - len(head) - len(tail)} characters left out {MARKER}{tail}"


def _prefix(text: str, room: int) -> str:
    """Return the longest beginning of `text` that is at most `room` long inside a JSON string."""
    low, high = 0, min(room, len(text))
    if _size(text[:high]) - 2 <= room:
        return text[:high]
    while low < high:
        middle = (low + high + 1) // 2
        if _size(text[:middle]) - 2 <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def _summary(value: JSONValue, size: int) -> str:
    match value:
        case list():
            return f"{MARKER} {len(value)} items"
        case dict():
            return f"{MARKER} {len(value)} keys"
        case _:
            return f"{MARKER} {size} digits"


def _size(value: JSONValue) -> int:
    if isinstance(value, list | dict):
        return sum(map(len, text_in_pieces(value)))
    return len(json.dumps(value, ensure_ascii=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notes:
    """Writes `truncated`: as many paths as there is room for, else the larger wholes that they are in."""

    whole: JSONObject
    ruler: _Ruler
    link: Callable[[str], str] | None
    earlier: Mapping[str, JSONObject]
    """What was too large already when the answer was made, by path."""

    def within(self, cut: dict[Path, int], room: int, body: JSONObject) -> list[JSONObject]:
        """Return the most exact entries that fit, the key `truncated` included."""
        whole_values = {path for path in self.earlier if _levels(path) <= _VALUE_LEVELS}
        earlier = {path: entry for path, entry in self.earlier.items() if path in whole_values or _is_there(body, path)}
        return next(entries for entries in self._attempts(cut, room, earlier) if entries is not None)

    def _attempts(
        self, cut: dict[Path, int], room: int, earlier: Mapping[str, JSONObject]
    ) -> Iterator[list[JSONObject] | None]:
        deepest = max((_levels(path) for path in earlier), default=1)
        for levels in range(max(deepest, *map(len, cut), 1), 0, -1):
            wholes = dict.fromkeys(path[:levels] for path in cut)
            if len(wholes) * _LEAST_CONTAINER < room:
                kept = {path: entry for path, entry in earlier.items() if _levels(path) <= levels}
                entries = _with_earlier([self._entry(path, cut, self.link) for path in wholes], kept)
                yield entries if _noted_size(entries) <= room else None
        everything = [self._entry((), cut, self.link)]
        yield everything if _noted_size(everything) <= room else None
        yield [self._entry((), cut, None)]

    def _entry(self, path: Path, cut: dict[Path, int], link: Callable[[str], str] | None) -> JSONObject:
        written = "/".join(quote(str(part), safe="") for part in path)
        value: JSONValue = self.whole
        for part in path:
            value = cast("dict[str | int, JSONValue]", value)[part]
        entry: JSONObject = {"path": written, "size": cut.get(path) or self.ruler.size(value)}
        if link is not None:
            entry["resource"] = link(written)
        return entry


def _with_earlier(entries: list[JSONObject], earlier: Mapping[str, JSONObject]) -> list[JSONObject]:
    """Return one entry for each path; what was cut twice has the size that it had at first."""
    again = {str(entry["path"]): entry for entry in entries}
    merged = {path: {**again.get(path, {}), **entry} for path, entry in earlier.items()}
    return [*merged.values(), *(entry for path, entry in again.items() if path not in merged)]


def _is_there(body: JSONObject, path: str) -> bool:
    try:
        value_at(body, path)
    except LookupError:
        return False
    return True


def _levels(path: str) -> int:
    return path.count("/") + 1


def _noted_size(entries: list[JSONObject]) -> int:
    return _size([*entries]) + len(', "truncated": ')
