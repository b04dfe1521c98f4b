"""JSON as editors keep it: an entry goes in or out, comments, trailing commas, order and white space stay.

Pure. A small scanner finds the members of the objects on the way to the entry; values are skipped by the parser of the
standard library, on a copy of the text in which comments and trailing commas are blanks.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_bridge import jsonc
from planact_bridge.hosts.errors import SyntaxProblem, UneditableError
from planact_bridge.hosts.texts.syntax import BOM, Keys, indentation, newline_of

if TYPE_CHECKING:
    from planact_tools import JSONObject, JSONValue

_DECODER = json.JSONDecoder()
_BLANKS = " \t\r\n"
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def parse(text: str) -> JSONValue:
    """Return the value. Raises SyntaxProblem."""
    if not text.strip(BOM + _BLANKS):
        return {}  # some hosts make an empty file before there is anything to keep
    try:
        return jsonc.parse(text)[0]
    except json.JSONDecodeError as error:
        raise SyntaxProblem(error.msg, line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise SyntaxProblem("it is nested too deeply") from None


def put(text: str, keys: Keys, name: str, entry: JSONObject) -> str:
    """Return the text with an entry in the object at `keys`, which is made where it is missing."""
    if not text.strip(BOM + _BLANKS):
        return f"{BOM if text.startswith(BOM) else ''}{show(keys, name, entry)}"
    mark, text = _without_mark(text)
    scanned = _Scanned.of(text)
    place = scanned.root
    way = [*keys, name]
    for depth, key in enumerate(way):
        value = _nested(way[depth + 1 :], entry)
        member = place.last(key)
        if member is None:
            return mark + scanned.insert(place, key, value)
        if depth == len(keys) or text[member.value : member.end] == "null":
            return mark + scanned.replace(place, member, value)
        place = scanned.object_of(member)
    raise AssertionError("the loop ends at the entry")


def drop(text: str, keys: Keys, name: str) -> str:
    """Return the text without an entry, however often it is there."""
    mark, text = _without_mark(text)
    while True:
        scanned = _Scanned.of(text)
        place = scanned.root
        for key in keys:
            member = place.last(key)
            if member is None:
                return mark + text
            place = scanned.object_of(member)
        found = place.last(name)
        if found is None:
            return mark + text
        text = scanned.remove(place, found)


def show(keys: Keys, name: str, entry: JSONObject) -> str:
    """Return one entry as a whole file."""
    return f"{_written(_nested([*keys, name], entry), '', '  ', chr(10))}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    name: str
    start: int
    """Where its key begins."""
    value: int
    end: int
    """Where its value ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    start: int
    """Where its opening brace is."""
    end: int
    """Where its closing brace is."""
    members: tuple[_Member, ...]

    def last(self, name: str) -> _Member | None:
        """Return the member of this name; of several, the one that counts."""
        return next((member for member in reversed(self.members) if member.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scanned:
    text: str
    bare: str
    """The text with blanks for comments."""
    plain: str
    """The text with blanks for comments and for trailing commas."""
    root: _Object

    @classmethod
    def of(cls, text: str) -> _Scanned:
        bare = text if _is_strict(text) else jsonc.without_comments(text)
        plain = text if bare is text else jsonc.without_trailing_commas(bare)
        root = _object_at(plain, _skip(plain, 0))
        return cls(text=text, bare=bare, plain=plain, root=root)

    def object_of(self, member: _Member) -> _Object:
        return _object_at(self.plain, member.value)

    def replace(self, place: _Object, member: _Member, value: JSONValue) -> str:
        written = self._value(place, value, self._indent(place))
        return self.text[: member.value] + written + self.text[member.end :]

    def insert(self, place: _Object, name: str, value: JSONValue) -> str:
        """Return the text with a member at the end of an object, in the style of the members that it has."""
        text, indent = self.text, self._indent(place)
        member = f"{json.dumps(name, ensure_ascii=False)}: {self._value(place, value, indent)}"
        if not place.members:
            return self._insert_first(place, member, indent)
        end = place.members[-1].end
        comma = self.bare.find(",", end, place.end)
        if not self._spread(place):
            at, written = (end, f", {member}") if comma < 0 else (comma + 1, f" {member},")
            return text[:at] + written + text[at:]
        at = len(text[: place.end].rstrip(_BLANKS))  # behind the comments that end the object
        line = f"{newline_of(text)}{indent}{member}"
        if comma >= 0:
            return f"{text[:at]}{line},{text[at:]}"
        return f"{text[:end]},{text[end:at]}{line}{text[at:]}"

    def _insert_first(self, place: _Object, member: str, indent: str) -> str:
        inside = self.text[place.start + 1 : place.end]
        newline = newline_of(self.text)
        if inside.strip(_BLANKS):  # a comment, which stays above
            at = len(self.text[: place.end].rstrip(_BLANKS))
            rest = self.text[at:] if "\n" in self.text[at : place.end] else f"{newline}{self.text[place.end :]}"
            return f"{self.text[:at]}{newline}{indent}{member}{rest}"
        closing = inside if "\n" in inside else f"{newline}{indentation(self.text, place.start)}"
        return f"{self.text[: place.start + 1]}{newline}{indent}{member}{closing}{self.text[place.end :]}"

    def remove(self, place: _Object, member: _Member) -> str:
        text, bare, members = self.text, self.bare, place.members
        index = members.index(member)
        after = members[index + 1].start if index + 1 < len(members) else place.end
        comma = bare.find(",", member.end, after)
        end = member.end if comma < 0 else comma + 1
        start = self._start_of_removal(member, end)
        if comma < 0 and index:  # it was the last one: the comma before it goes, too
            before = bare.index(",", members[index - 1].end, member.start)
            return text[:before] + text[before + 1 : start] + text[end:]
        if len(members) == 1 and not (text[place.start + 1 : start] + text[end : place.end]).strip(_BLANKS):
            return text[: place.start + 1] + text[place.end :]
        return text[:start] + text[end:]

    def _start_of_removal(self, member: _Member, end: int) -> int:
        """Return where the white space before a member begins, if it can go without a comment swallowing the rest."""
        start = len(self.text[: member.start].rstrip(_BLANKS))
        comments = _COMMENT.findall(self.text, len(self.bare[:start].rstrip(_BLANKS)), start)
        rest = self.text[end:].lstrip(" \t")
        swallows = bool(comments) and comments[-1].startswith("//") and not rest.startswith(("\n", "\r"))
        return member.start if swallows else start

    def _spread(self, place: _Object) -> bool:
        """Return whether the members of an object stand on lines of their own."""
        return "\n" in self.text[place.start : place.members[0].start]

    def _indent(self, place: _Object) -> str:
        if place.members and self._spread(place):
            return indentation(self.text, place.members[0].start)
        return indentation(self.text, place.start) + self._unit()

    def _unit(self) -> str:
        """Return by how much the file indents."""
        if self.root.members and self._spread(self.root):
            return indentation(self.text, self.root.members[0].start)
        return "  "

    def _value(self, place: _Object, value: JSONValue, indent: str) -> str:
        if place.members and not self._spread(place):
            return json.dumps(value, ensure_ascii=False)
        return _written(value, indent, self._unit(), newline_of(self.text))


def _is_strict(text: str) -> bool:
    """Return whether there are no comments and trailing commas: looking is quick, and the text may have megabytes."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def _object_at(plain: str, start: int) -> _Object:
    if plain[start] != "{":
        raise UneditableError("there is no object where the servers belong")
    members: list[_Member] = []
    position = _skip(plain, start + 1)
    while plain[position] != "}":
        name, after = _DECODER.raw_decode(plain, position)
        value = _skip(plain, _skip(plain, after) + 1)
        _, end = _DECODER.raw_decode(plain, value)
        members.append(_Member(name=name, start=position, value=value, end=end))
        position = _skip(plain, end)
        if plain[position] == ",":
            position = _skip(plain, position + 1)
    return _Object(start=start, end=position, members=tuple(members))


def _skip(plain: str, position: int) -> int:
    while plain[position] in _BLANKS:
        position += 1
    return position


def _nested(keys: Keys, entry: JSONObject) -> JSONObject:
    for key in reversed(keys):
        entry = {key: entry}
    return entry


def _written(value: JSONValue, indent: str, unit: str, newline: str) -> str:
    """Return a value as people write it: objects over several lines, lists on one."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + unit
    rows = [
        f"{inner}{json.dumps(key, ensure_ascii=False)}: {_written(item, inner, unit, newline)}"
        for key, item in value.items()
    ]
    return f"{{{newline}{f',{newline}'.join(rows)}{newline}{indent}}}"


def _without_mark(text: str) -> tuple[str, str]:
    return (BOM, text[1:]) if text.startswith(BOM) else ("", text)
