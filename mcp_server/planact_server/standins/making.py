"""What a tool might have answered, made from its output schema: for rehearsals and dry runs.

Pure and deterministic: the same tool, arguments and seed give the same value, different arguments a different one.
A value fits its schema wherever one of a reasonable size does. It is made up and says nothing about the world.
"""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING, cast

from planact_server.catalog.alternatives import merged, with_alternatives
from planact_server.catalog.schemas import CleanSchema
from planact_server.catalog.signatures import unwrapped
from planact_server.plain_json import size_of
from planact_server.standins.values import any_values, integers, numbers, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from planact_server.catalog.catalog import CatalogTool
    from planact_server.catalog.checker import Checker
    from planact_server.catalog.schemas import Schema
    from planact_server.catalog.signatures import Learned
    from planact_tools import JSONObject, JSONValue

LENGTH = 2
"""Items of a list that may have so many."""

OPTIONAL = 4
"""Properties of an object beyond those that it must have."""

LEAN_DEPTH = 5
"""Levels below which a value has only what it must have."""

MOST_DEPTH = 24
MOST_NODES = 2_000
"""Parts of one value. A schema that demands more gets less."""

MOST_TRIES = 60
"""Values tried for one part of a schema that refuses the obvious ones."""

MOST_CHECKS = 2_000
"""Checks for one value, a fraction of a second: a schema that nothing satisfies would have every try of every part
checked, while the server answers nobody."""

ECHO_CHARS = 2_000
"""Longest argument that comes back in the answer."""


def stand_in(
    tool: CatalogTool, arguments: Mapping[str, JSONValue], *, seed: int = 0, learned: Learned | None = None
) -> JSONValue:
    """Return a value as the plan would see one from this tool, after its own schema or what was learned of it.

    Declared examples and defaults come first; a property with an argument's name holds the argument where it fits;
    flags are true. Other seeds give other values, flags and choices included. A tool of which nobody knows what it
    returns answers `{"ok": true}` and its own arguments.
    """
    said = json.dumps([tool.full_name, dict(arguments), seed], sort_keys=True)
    if tool.returns is not None:
        return _Maker(tool.returns, arguments, said, seed).value(unwrapped(tool.returns))
    if learned is not None:
        return _Maker(learned.schema, arguments, said, seed).value(learned.schema.root)
    return {"ok": True, **_echoes(arguments)}


def _echoes(arguments: Mapping[str, JSONValue]) -> JSONObject:
    return {name: value for name, value in arguments.items() if size_of(value) <= ECHO_CHARS}


class _Nothing:
    """No value fits."""


_NOTHING = _Nothing()


class _Maker:
    """Makes one value."""

    def __init__(self, schema: CleanSchema, arguments: Mapping[str, JSONValue], said: str, seed: int) -> None:
        self._schema = schema
        self._arguments = _echoes(arguments)
        self._said = said.encode(errors="backslashreplace")
        self._seed = seed
        self._careful = False
        self._nodes = self._checks = 0

    def value(self, schema: Schema) -> JSONValue:
        """Return the obvious value where it fits; else look for one, checking every part."""
        made = self._make(schema, "", "", 0)
        if isinstance(made, _Nothing) or not self._fits(schema, made):
            self._careful, self._nodes = True, 0
            found = self._make(schema, "", "", 0)
            made = made if isinstance(found, _Nothing) else found
        return None if isinstance(made, _Nothing) else made

    def _make(
        self, schema: Schema, name: str, path: str, depth: int, *, unlike: Sequence[JSONValue] = ()
    ) -> JSONValue | _Nothing:
        """Return the first value for one part of the schema that can be used and is none of `unlike`."""
        self._nodes += 1
        if depth > MOST_DEPTH or self._nodes > MOST_NODES or self._checks > MOST_CHECKS:
            return _NOTHING
        tries = MOST_TRIES if self._careful or unlike else 1
        for value in islice(self._candidates(schema, name, path, depth), tries):
            if value not in unlike and (not self._careful or self._fits(schema, value)):
                return value
        return _NOTHING

    def _candidates(self, schema: Schema, name: str, path: str, depth: int) -> Iterator[JSONValue]:
        echo = self._arguments.get(name) if name in self._arguments else _NOTHING
        if not isinstance(echo, _Nothing) and isinstance(schema, dict) and self._fits(schema, echo):
            yield echo
        for option in with_alternatives(schema, self._schema):
            yield from self._of_option(option, name, path, depth)
        if self._careful:
            yield from any_values()

    def _of_option(self, schema: Schema, name: str, path: str, depth: int) -> Iterator[JSONValue]:
        if isinstance(schema, bool):
            yield from texts({}, name, self._number(path)) if schema else ()
            return
        if "const" in schema:
            yield schema["const"]
            return
        if "enum" in schema:
            choices = cast("list[JSONValue]", schema["enum"])
            first = self._number(path) % len(choices) if self._seed else 0
            yield from choices[first:] + choices[:first]
            return
        declared = [*cast("list[JSONValue]", schema.get("examples", [])), *_default(schema)]
        yield from (value for value in declared if self._fits(schema, value))
        for word in _types(schema):
            yield from self._of_type(word, schema, name, path, depth)

    def _of_type(self, word: str, schema: JSONObject, name: str, path: str, depth: int) -> Iterator[JSONValue]:
        dice = self._number(path)
        match word:
            case "string":
                yield from texts(schema, name, dice)
            case "integer":
                yield from integers(schema, dice)
            case "number":
                yield from numbers(schema, dice)
            case "boolean":
                yield from (False, True) if self._seed and dice % 2 else (True, False)
            case "array":
                yield from self._lists(schema, name, path, depth)
            case "object":
                yield from self._objects(schema, path, depth)
            case _:
                yield None

    def _lists(self, schema: JSONObject, name: str, path: str, depth: int) -> Iterator[JSONValue]:
        prefix = cast("list[Schema]", schema.get("prefixItems", []))
        least = int(cast(int, schema.get("minItems", 0)))
        most = min(int(cast(int, schema.get("maxItems", MOST_NODES))), MOST_NODES)
        usual = 0 if depth >= LEAN_DEPTH else max(LENGTH, len(prefix))
        for length in dict.fromkeys((min(max(usual, least), most), least, len(prefix), 1, 0)):
            yield self._list(schema, prefix, length, name, path, depth)

    def _list(
        self, schema: JSONObject, prefix: list[Schema], length: int, name: str, path: str, depth: int
    ) -> list[JSONValue]:
        rest = cast("Schema", schema.get("items", True))
        contains = cast("Schema", schema.get("contains", True))
        items: list[JSONValue] = []
        unlike = items if schema.get("uniqueItems") else ()
        for place in range(length):
            wanted = prefix[place] if place < len(prefix) else rest if place else merged([rest, contains])
            item = self._make(wanted, _one_of(name), f"{path}/{place}", depth + 1, unlike=unlike)
            if isinstance(item, _Nothing):
                break
            items.append(item)
        return items

    def _objects(self, schema: JSONObject, path: str, depth: int) -> Iterator[JSONValue]:
        properties = cast("dict[str, Schema]", schema.get("properties", {}))
        required = dict.fromkeys(cast("list[str]", schema.get("required", [])))
        optional = [name for name in properties if name not in required]
        some = [] if depth >= LEAN_DEPTH else optional[:OPTIONAL]
        for chosen in (some, [], optional):
            made = self._object(schema, [*properties, *required], {*required, *chosen}, path, depth)
            if made is not None:
                yield made
            if not self._careful:
                return

    def _object(
        self, schema: JSONObject, order: list[str], chosen: set[str], path: str, depth: int
    ) -> JSONObject | None:
        properties = cast("dict[str, Schema]", schema.get("properties", {}))
        required = set(cast("list[str]", schema.get("required", [])))
        other = cast("Schema", schema.get("additionalProperties", True))
        made: JSONObject = {}
        for name in dict.fromkeys(name for name in order if name in chosen):
            value = self._make(properties.get(name, other), name, f"{path}/{name}", depth + 1)
            if not isinstance(value, _Nothing):
                made[name] = value
            elif name in required:
                return None
        lacking = int(cast(int, schema.get("minProperties", 0))) - len(made)
        for number in range(1, min(lacking, MOST_NODES) + 1):
            value = self._make(other, "", f"{path}/key_{number}", depth + 1)
            if not isinstance(value, _Nothing):
                made[f"key_{number}"] = value
        return made

    def _number(self, path: str) -> int:
        """Return what stands for chance: a number that depends on the call and on the place in the value."""
        return int.from_bytes(hashlib.sha256(self._said + path.encode(errors="replace")).digest()[:6])

    def _fits(self, schema: Schema, value: JSONValue) -> bool:
        self._checks += 1
        if self._checks > MOST_CHECKS:
            return False
        try:
            return _checker(self._schema, schema).first_error({"value": value}) is None
        except (RecursionError, OverflowError, ValueError):
            return False


def _default(schema: JSONObject) -> list[JSONValue]:
    return [schema["default"]] if "default" in schema else []


def _types(schema: JSONObject) -> list[str]:
    """Return the types to try; null last, for it says least."""
    said = schema.get("type")
    if said is None:
        return _implied(schema)
    words = [said] if isinstance(said, str) else cast("list[str]", said)
    return sorted(words, key=lambda word: word == "null")


def _implied(schema: JSONObject) -> list[str]:
    for word, keywords in _KEYWORDS.items():
        if any(keyword in schema for keyword in keywords):
            return [word]
    return ["string"]


_KEYWORDS = {
    "object": ("properties", "required", "minProperties", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "contains"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _one_of(name: str) -> str:
    """Return the name for one of several: nothing but a hint for whoever reads the value."""
    return name[:-1] if len(name) > 2 and name.endswith("s") else name


def _checker(schema: CleanSchema, part: Schema) -> Checker:
    # jsonschema takes 70 ms to load, and a server starts without it.
    from planact_server.catalog.checker import Checker  # noqa: PLC0415

    root: JSONObject = {"properties": {"value": part}}
    return Checker(CleanSchema(root=root, definitions=schema.definitions, problems=()))
