"""JSON Schemas as grammars: what a model must keep to when a plan asks it for data. Pure.

The grammar is a little wider than the schema where GBNF cannot say it (patterns, bounds of numbers, properties that
depend on each other), so an answer is checked once more; it never excludes what a schema of ordinary size admits,
but for the order of properties, which is the schema's own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from planact_quantized import Grammar
from planact_server.catalog.alternatives import with_alternatives

if TYPE_CHECKING:
    from planact_server.catalog.schemas import CleanSchema, Schema
    from planact_tools import JSONObject, JSONValue

MOST_RULES = 1_000
"""Rules of one grammar. What a larger schema says beyond them is only checked afterwards."""

MOST_REPEATS = 256
"""Largest count that becomes part of a rule; llama.cpp writes each repetition out."""

# Bounded space: a model that may write any number of spaces sometimes writes nothing else.
_BASE = {
    "ws": r'" "? | "\n" [ ]{0,16}',
    "char": r'[^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})',
    "string": r'"\"" char* "\""',
    "whole": '"0" | [1-9] [0-9]{0,17}',
    "integer": '"-"? whole',
    "number": '"-"? whole ("." [0-9]{1,17})? ([eE] [-+]? [0-9]{1,3})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "any": "string | number | boolean | null | any-list | any-object",
    "any-list": '"[" ws (any (ws "," ws any)*)? ws "]"',
    "any-object": '"{" ws (string ws ":" ws any (ws "," ws string ws ":" ws any)*)? ws "}"',
}
_FORMATS = {
    "date": r'"\"" [0-9]{4} "-" [0-9]{2} "-" [0-9]{2} "\""',
    "time": r'"\"" [0-9]{2} ":" [0-9]{2} ":" [0-9]{2} ("." [0-9]{1,6})? ("Z" | [-+] [0-9]{2} ":" [0-9]{2})? "\""',
    "date-time": (
        r'"\"" [0-9]{4} "-" [0-9]{2} "-" [0-9]{2} "T" [0-9]{2} ":" [0-9]{2} ":" [0-9]{2}'
        r' ("." [0-9]{1,6})? ("Z" | [-+] [0-9]{2} ":" [0-9]{2})? "\""'
    ),
    "uuid": r'"\"" [0-9a-f]{8} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{12} "\""',
}


def json_grammar(schema: CleanSchema) -> Grammar:
    """Return the grammar of JSON texts for a schema."""
    writer = _Writer(schema)
    root = writer.rule(schema.root)
    rules = {"root": f"ws {root} ws", **writer.rules, **_BASE}
    return Grammar(text="".join(f"{name} ::= {body}\n" for name, body in rules.items()))


class _Writer:
    """Gives every part of a schema a rule; equal parts share one, so that types may hold themselves."""

    def __init__(self, schema: CleanSchema) -> None:
        self.rules: dict[str, str] = {}
        self._schema = schema
        self._names: dict[str, str] = {}

    def rule(self, schema: Schema) -> str:
        """Return the name of the rule for a part."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._names:
            if len(self.rules) >= MOST_RULES:
                return "any"
            self._names[key] = name = f"r{len(self._names)}"
            self.rules[name] = ""
            plain = enumerate(with_alternatives(schema, self._schema))
            options = [self._option(option, f"{name}-{index}") for index, option in plain]
            self.rules[name] = " | ".join(dict.fromkeys(option for option in options if option)) or "any"
        return self._names[key]

    def _option(self, schema: Schema, name: str) -> str:
        """Return what one plain schema admits, "" for nothing."""
        if isinstance(schema, bool):
            return "any" if schema else ""
        if "const" in schema:
            return _literal(schema["const"])
        if "enum" in schema:
            return " | ".join(map(_literal, cast("list[JSONValue]", schema["enum"])))
        words = _types(schema)
        return " | ".join(self._of_type(word, schema, f"{name}-{word}") for word in words) if words else "any"

    def _of_type(self, word: str, schema: JSONObject, name: str) -> str:
        match word:
            case "string":
                return _text(schema)
            case "integer" | "number":
                least = schema.get("minimum", schema.get("exclusiveMinimum", -1))
                positive = isinstance(least, int | float) and least >= 0
                return "whole" if positive and word == "integer" else word
            case "array":
                return self._list(schema)
            case "object":
                return self._object(schema, name)
            case _:
                return word

    def _list(self, schema: JSONObject) -> str:
        prefix = [self.rule(each) for each in cast("list[Schema]", schema.get("prefixItems", []))]
        least, most = min(_count(schema, "minItems", 0), MOST_REPEATS), _count(schema, "maxItems", -1)
        if prefix:
            items = ' ws "," ws '.join(prefix)
            rest = schema.get("items", True)
            more = "" if rest is False else f' (ws "," ws {self.rule(cast("Schema", rest))})*'
            return f'"[" ws {items}{more} ws "]"'
        if most == 0:
            return '"[" ws "]"'
        item = self.rule(cast("Schema", schema.get("items", True)))
        upper = _upper(least, most)
        several = f'{item} (ws "," ws {item}){{{max(least - 1, 0)},{"" if upper is None else upper - 1}}}'
        return f'"[" ws {several} ws "]"' if least else f'"[" ws ({several})? ws "]"'

    def _object(self, schema: JSONObject, name: str) -> str:
        properties = cast("dict[str, Schema]", schema.get("properties", {}))
        required = cast("list[str]", schema.get("required", []))
        other = cast("Schema", schema.get("additionalProperties", True))
        if not properties and not required:
            if other is False:
                return '"{" ws "}"'
            pair = f'string ws ":" ws {self.rule(other)}'
            return f'"{{" ws ({pair} (ws "," ws {pair})*)? ws "}}"'
        members = dict(properties) | {key: other for key in required if key not in properties}
        return f'"{{" ws {self._members(list(members.items()), set(required), name)} ws "}}"'

    def _members(self, members: list[tuple[str, Schema]], required: set[str], name: str) -> str:
        """Write two rules for every property: what may come from it on, with something before it or not."""
        following = {True: '""', False: '""'}
        for index in reversed(range(len(members))):
            key, schema = members[index]
            pair = f'{_literal(key)} ws ":" ws {self.rule(schema)}'
            here: dict[bool, str] = {}
            for started in (False, True):
                comma = 'ws "," ws ' if started else ""
                body = f"{comma}{pair} {following[True]}"
                here[started] = f"{name}-{index}{'-more' if started else ''}"
                self.rules[here[started]] = body if key in required else f"{body} | {following[started]}"
            following = here
        return following[False]


def _text(schema: JSONObject) -> str:
    if (known := _FORMATS.get(str(schema.get("format")))) is not None:
        return known
    least, most = _count(schema, "minLength", 0), _count(schema, "maxLength", -1)
    if not least and not 0 <= most <= MOST_REPEATS:
        return "string"
    upper = _upper(least, most)
    return rf'"\"" char{{{min(least, MOST_REPEATS)},{"" if upper is None else upper}}} "\""'


def _upper(least: int, most: int) -> int | None:
    """Return the largest count that a rule can say. A schema that contradicts itself is left to the check."""
    return most if least <= most <= MOST_REPEATS else None


def _types(schema: JSONObject) -> list[str]:
    said = schema.get("type")
    if said is None:
        objects = any(key in schema for key in ("properties", "required", "additionalProperties"))
        lists = any(key in schema for key in ("items", "prefixItems"))
        return ["object"] if objects else ["array"] if lists else []
    return [said] if isinstance(said, str) else cast("list[str]", said)


def _count(schema: JSONObject, keyword: str, otherwise: int) -> int:
    count = schema.get(keyword, otherwise)
    return count if isinstance(count, int) else otherwise


def _literal(value: JSONValue) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
