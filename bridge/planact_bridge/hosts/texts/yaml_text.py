"""YAML: an entry goes in behind its neighbours or out, in their indentation; the other lines stay.

Pure. A library says what the text means and where each part stands; it never writes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planact_bridge.hosts.errors import UneditableError
from planact_bridge.hosts.texts.syntax import BOM, LISTED, Keys, line_end, line_start, newline_of
from planact_bridge.hosts.texts.yaml_nodes import compose, load

if TYPE_CHECKING:
    from planact_bridge.hosts.texts.yaml_nodes import Node
    from planact_tools import JSONObject, JSONValue

_NAME = "name"
"""The key that names an entry of a list."""

_UNIT = "  "

_PLAIN = re.compile(r"[A-Za-z/.][\w./-]*(?: [\w./-]+)*")
_NO_TEXT = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"})


def parse(text: str) -> JSONValue:
    """Return the value. Raises SyntaxProblem."""
    value = load(text.removeprefix(BOM))
    return {} if value is None else value


def put(text: str, keys: Keys, name: str, entry: JSONObject) -> str:
    """Return the text with an entry at the end of the servers, which are made where they are missing."""
    mark, text = _without_mark(drop(text, keys, name))
    found = _Servers.find(text, keys)
    return mark + (_append(text, keys, name, entry) if found is None else found.insert(name, entry))


def drop(text: str, keys: Keys, name: str) -> str:
    """Return the text without an entry; without any keys, one of the whole file."""
    mark, text = _without_mark(text)
    while True:
        found = _Servers.find(text, keys)
        index = None if found is None else found.index(name)
        if found is None or index is None:
            return mark + text
        text = found.remove(index)


def show(keys: Keys, name: str, entry: JSONObject) -> str:
    """Return one entry with the key that it stands under."""
    return "\n".join([f"{_word(keys[0])}:", *_rows(name, entry, indent="  ", listed=LISTED in keys)]) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Servers:
    """The part of a text that holds the servers."""

    text: str
    listed: bool
    key: Node | None
    """What they stand under; None for the whole file."""
    node: Node

    @classmethod
    def find(cls, text: str, keys: Keys) -> _Servers | None:
        root = compose(text)
        if root is None:
            return None
        if not keys:
            return cls(text=text, listed=False, key=None, node=root)
        if root.kind != "mapping":
            raise UneditableError("it is no mapping")
        for key, value in root.parts:
            if key.text == keys[0]:
                return cls(text=text, listed=LISTED in keys, key=key, node=value)
        return None

    def index(self, name: str) -> int | None:
        if self.node.kind == "scalar":
            return None
        if self.node.kind != ("list" if self.listed else "mapping"):
            raise UneditableError(f"its servers are no {'list' if self.listed else 'mapping'}")
        return next((number for number, part in enumerate(self.node.parts) if self._name(part) == name), None)

    def insert(self, name: str, entry: JSONObject) -> str:
        text, node = self.text, self.node
        if node.kind == "scalar":
            return self._insert_into_nothing(name, entry)
        if node.flow:
            inside = json.dumps({_NAME: name, **entry} if self.listed else entry, ensure_ascii=False)
            member = inside if self.listed else f"{_word(name)}: {inside}"
            at = _part_end(text, node.parts[-1]) if node.parts else node.start + 1
            return f"{text[:at]}{', ' if node.parts else ''}{member}{text[at:]}"
        start = self._start(0)
        indent = text[line_start(text, start) : start]
        if indent.strip(" "):
            raise UneditableError("its servers do not stand on lines of their own")
        return self._insert_lines(_part_end(text, node.parts[-1]), name, entry, indent)

    def remove(self, index: int) -> str:
        text, parts = self.text, self.node.parts
        if self.node.flow:
            return self._remove_from_flow(index)
        start, end = line_start(text, self._start(index)), line_end(text, _part_end(text, parts[index]))
        if start:
            rest = text[:start].removesuffix("\n").removesuffix("\r") + text[end:]
        else:
            rest = text[end:].removeprefix("\r").removeprefix("\n")
        if len(parts) > 1 or self.key is None:
            return rest
        # What is left without entries would be null, which is no list of servers.
        colon = text.index(":", self.key.end) + 1
        return f"{rest[:colon]} {'[]' if self.listed else '{}'}{rest[colon:]}"

    def _insert_into_nothing(self, name: str, entry: JSONObject) -> str:
        node, key = self.node, self.key
        if key is None or load(f"x: {node.text}") != {"x": None}:
            raise UneditableError("there is a text where the servers belong")
        cleared = self.text[: node.start].rstrip(" ") + self.text[node.end :] if node.end > node.start else self.text
        again = _Servers(text=cleared, listed=self.listed, key=key, node=node)
        return again._insert_lines(key.end, name, entry, " " * (key.column + 2))

    def _insert_lines(self, behind: int, name: str, entry: JSONObject, indent: str) -> str:
        at, newline = line_end(self.text, behind), newline_of(self.text)
        rows = _rows(name, entry, indent=indent, unit=self._unit(), listed=self.listed)
        lines = "".join(f"{newline}{row}" for row in rows)
        return self.text[:at] + lines + self.text[at:]

    def _remove_from_flow(self, index: int) -> str:
        text, parts = self.text, self.node.parts
        start, end = parts[index][0].start, _part_end(text, parts[index])
        if index + 1 < len(parts):
            return text[:start] + text[parts[index + 1][0].start :]
        return text[: _part_end(text, parts[index - 1]) if index else start] + text[end:]

    def _name(self, part: tuple[Node, ...]) -> str | None:
        if not self.listed:
            return part[0].text
        (item,) = part
        return next((value.text for key, value in item.parts if key.text == _NAME), None) if item.parts else None

    def _unit(self) -> str:
        """Return by how much the first entry indents what is in it."""
        first = self.node.parts[0] if self.node.parts else ()
        if self.listed or len(first) < 2 or first[1].kind != "mapping" or first[1].flow:
            return _UNIT
        return " " * max(first[1].column - first[0].column, 1)

    def _start(self, index: int) -> int:
        """Return where an entry begins; in a list, with its dash."""
        start = self.node.parts[index][0].start
        return self.text.rindex("-", 0, start + 1) if self.listed else start


def _append(text: str, keys: Keys, name: str, entry: JSONObject) -> str:
    """Return a text that has no servers yet with them at its end."""
    root, newline = compose(text), newline_of(text)
    if root is not None and root.flow:
        inside: JSONValue = [{_NAME: name, **entry}] if LISTED in keys else {name: entry}
        member = f"{_word(keys[0])}: {json.dumps(inside, ensure_ascii=False)}"
        at = _part_end(text, root.parts[-1]) if root.parts else root.start + 1
        return f"{text[:at]}{', ' if root.parts else ''}{member}{text[at:]}"
    end = len(text.rstrip())
    if (root is not None and root.column) or text[:end].endswith("..."):
        raise UneditableError("its end cannot be told")
    lines = show(keys, name, entry).rstrip("\n").replace("\n", newline)
    return f"{text[:end]}{newline}{lines}{text[end:]}" if end else f"{text}{lines}{newline}"


def _content_end(text: str, node: Node) -> int:
    """Return where a node's own text ends."""
    if node.kind == "scalar" or node.flow or not node.parts:
        return len(text[: node.end].rstrip()) if node.end > node.start else node.end
    return _part_end(text, node.parts[-1])


def _part_end(text: str, part: tuple[Node, ...]) -> int:
    """Return where a key with its value, or an item of a list, ends."""
    value = part[-1]
    if value.end == value.start:
        return part[0].end  # null, which has no place of its own
    # An alias has the place of what it stands for, which is further up; it is in the line of its key.
    return max(part[0].end if len(part) > 1 else 0, _content_end(text, value))


def _rows(name: str, entry: JSONObject, *, indent: str, unit: str = _UNIT, listed: bool) -> list[str]:
    if listed:
        first, *rest = _mapping({_NAME: name, **entry}, indent=f"{indent}  ", unit=unit)
        return [f"{indent}- {first.lstrip(' ')}", *rest]
    return [f"{indent}{_word(name)}:", *_mapping(entry, indent=indent + unit, unit=unit)]


def _mapping(values: JSONObject, *, indent: str, unit: str) -> list[str]:
    rows: list[str] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            rows += [f"{indent}{_word(key)}:", *_mapping(value, indent=indent + unit, unit=unit)]
        elif isinstance(value, list) and value:
            rows += [f"{indent}{_word(key)}:", *(f"{indent}{unit}- {_scalar(item)}" for item in value)]
        else:
            rows.append(f"{indent}{_word(key)}: {_scalar(value)}")
    return rows


def _word(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.casefold() not in _NO_TEXT
    return text if plain else json.dumps(text, ensure_ascii=False)


def _scalar(value: JSONValue) -> str:
    return _word(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _without_mark(text: str) -> tuple[str, str]:
    return (BOM, text[1:]) if text.startswith(BOM) else ("", text)
