"""Reading JSON Schemas that others wrote.

A server's schema may be of any draft, or of none: wrong types, dangling references, endless recursion. `clean`
turns it into a small well-formed dialect (below), so that nothing after it has to be on its guard. What is
lost on the way is named in `problems` and is simply not checked: no value is refused for it. Nothing here raises
or fetches anything.

The dialect is draft 2020-12 without `$id`, `$anchor`, `patternProperties`, `unevaluated…` and `dependencies`;
every `$ref` is `#/$defs/NAME` with NAME in `definitions`, and following references always gets deeper into a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, cast
from urllib.parse import unquote

from planact_server.catalog.loosening import EXACT, Exact, leading_to
from planact_server.catalog.patterns import matcher
from planact_tools import JSONObject, JSONValue

Schema: TypeAlias = "bool | JSONObject"

TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")
REF_PREFIX = "#/$defs/"

MAX_DEPTH = 32
"""How deep a schema may nest between two references."""

MAX_NODES = 10_000
"""How many subschemas of one schema are read."""

MAX_DEFINITIONS = 1_000

MAX_PROBLEMS = 20

_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = (
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minContains", "maxContains"),
)
_TEXTS = ("title", "description", "format")
_SUBSCHEMAS = ("additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")
_SUBSCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SUBSCHEMA_MAPS = ("properties", "dependentSchemas")
_UNCHECKED = ("unevaluatedProperties", "unevaluatedItems", "dependencies", "$dynamicRef", "$recursiveRef")
_IN_PLACE = ("anyOf", "oneOf", "allOf")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanSchema:
    """A schema in the dialect. `root` holds no `$defs`; they are `definitions`."""

    root: Schema
    definitions: Mapping[str, Schema]
    problems: tuple[str, ...]

    def target(self, schema: JSONObject) -> Schema:
        """Return what the `$ref` of a schema points at."""
        return self.definitions[cast(str, schema["$ref"]).removeprefix(REF_PREFIX)]


def clean(schema: object) -> CleanSchema:
    """Bring any value that claims to be a JSON Schema into the dialect."""
    return _Cleaner(schema).clean()


@dataclass(slots=True)
class _Cleaner:
    document: object
    problems: dict[str, None] = field(default_factory=dict[str, None])
    definitions: dict[str, Schema] = field(default_factory=dict[str, Schema])
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Reference as the server wrote it → name among the definitions."""

    queue: list[tuple[str, object]] = field(default_factory=list[tuple[str, object]])
    nodes: int = 0
    losses: int = 0
    """How much was lost that would have been checked."""

    exact: list[Exact] = field(default_factory=list[Exact])

    def clean(self) -> CleanSchema:
        loose: set[str] = set()
        root = self.schema(self.document, "", 0)
        # A queue rather than recursion: a hundred definitions may each lead to the next one.
        while self.queue:
            name, target = self.queue.pop(0)
            before = self.losses
            self.definitions[name] = self.schema(target, name, 0)
            if self.losses > before:
                loose.add(REF_PREFIX + name)
        for name in _endless(self.definitions):
            self.definitions[name] = True
            self.note(name, "refers to itself and nothing else")
            loose.add(REF_PREFIX + name)
        self._loosen(leading_to(loose, {REF_PREFIX + name: schema for name, schema in self.definitions.items()}))
        problems = tuple(self.problems)[:MAX_PROBLEMS]
        return CleanSchema(root=root, definitions=self.definitions, problems=problems)

    def note(self, path: str, problem: str, *, loses: bool = True) -> None:
        self.problems.setdefault(f"{path or 'schema'}: {problem}; not checked")
        self.losses += loses

    def _loosen(self, loose: Container[str]) -> None:
        for exact in [each for each in self.exact if each.is_inexact(loose)]:
            exact.loosen()
            self.note(exact.path, f"{exact.keyword} has something in it that cannot be read")

    def schema(self, raw: object, path: str, depth: int) -> Schema:
        if isinstance(raw, bool):
            return raw
        if not isinstance(raw, Mapping):
            self.note(path, "not a schema")
            return True
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            self.note(path, "nested too deeply" if depth > MAX_DEPTH else "too large")
            return True
        return _Reading(self, cast("Mapping[object, object]", raw), path, depth).read()

    def reference(self, ref: object, path: str) -> str | None:
        """Return the dialect's reference for the server's, or None where it leads nowhere."""
        if not isinstance(ref, str):
            self.note(path, "reference is not text")
            return None
        if ref not in self.names:
            if len(self.names) >= MAX_DEFINITIONS:
                self.note(path, "too many references")
                return None
            try:
                target = _lookup(self.document, ref)
            except LookupError:
                self.note(path, f"reference {ref[:100]!r} leads nowhere")
                return None
            name = self._definition_name(ref)
            self.names[ref] = name
            self.definitions[name] = True
            self.queue.append((name, target))
        return REF_PREFIX + self.names[ref]

    def _definition_name(self, ref: str) -> str:
        last = ref.rpartition("/")[2].lstrip("#") or "Root"
        # Slashes, tildes and percent signs would mean something inside a reference.
        stem = "".join(char if char.isascii() and (char.isalnum() or char == "_") else "_" for char in last)
        taken = self.definitions
        return stem if stem not in taken else next(n for i in range(2, MAX_NODES) if (n := f"{stem}_{i}") not in taken)


@dataclass(slots=True)
class _Reading:
    """One schema object being read."""

    cleaner: _Cleaner
    raw: Mapping[object, object]
    path: str
    depth: int
    out: JSONObject = field(default_factory=dict[str, JSONValue])

    def read(self) -> Schema:
        self._take(_TEXTS, lambda value: value if isinstance(value, str) else None, "is not text")
        self._read_type()
        self._read_values()
        self._take(_NUMBERS, _number, "is not a number")
        self._take(_COUNTS, _count, "is not a count")
        self._read_exclusive_bounds()
        self._read_pattern()
        self._read_required()
        self._read_subschemas()
        self._read_items()
        self._read_pattern_properties()
        self._read_reference()
        for keyword in _UNCHECKED:
            if keyword in self.raw:
                self._note(f"{keyword} is not supported")
        if self.raw.get("uniqueItems") is True:
            self.out["uniqueItems"] = True
        return _nullable(self.out) if self.raw.get("nullable") is True else self.out

    def _note(self, problem: str, *, loses: bool = True) -> None:
        self.cleaner.note(self.path, problem, loses=loses)

    def _sub(self, raw: object, step: str) -> Schema:
        if raw is False and step not in ("additionalProperties", "items"):
            return {"not": {}}  # jsonschema says where this one fails
        path = f"{self.path}.{step}" if self.path else step
        return self.cleaner.schema(raw, path, self.depth + 1)

    def _take(self, keywords: Sequence[str], read: Callable[[object], JSONValue], problem: str) -> None:
        for keyword in keywords:
            if keyword not in self.raw or (value := self.raw[keyword]) is None:
                continue
            if (clean := read(value)) is not None:
                self.out[keyword] = clean
            elif not (keyword.startswith("exclusive") and isinstance(value, bool)):
                self._note(f"{keyword} {problem}", loses=keyword not in _TEXTS)

    def _read_type(self) -> None:
        raw = self.raw.get("type")
        if raw is None:
            return
        words = cast("list[object]", raw) if isinstance(raw, list) else [raw]
        types: list[JSONValue] = [word for word in TYPES if word in words]
        if not types or any(word not in TYPES for word in words):
            self._note(f"type {_shown(cast(object, raw))} is unknown")
        else:
            self.out["type"] = types[0] if len(types) == 1 else types

    def _read_values(self) -> None:
        raw = self.raw.get("enum")
        if isinstance(raw, list) and raw and is_value(cast("list[object]", raw)):
            self.out["enum"] = cast("list[JSONValue]", raw)
        elif "enum" in self.raw:
            self._note("enum is no list of values")
        examples = self.raw.get("examples")
        if isinstance(examples, list) and is_value(cast("list[object]", examples)):
            self.out["examples"] = cast("list[JSONValue]", examples)
        for keyword in ("const", "default"):
            if keyword in self.raw:
                if is_value(self.raw[keyword]):
                    self.out[keyword] = cast("JSONValue", self.raw[keyword])
                else:
                    self._note(f"{keyword} is no JSON value", loses=keyword == "const")

    def _read_exclusive_bounds(self) -> None:
        """Draft 4 had a flag beside the bound."""
        for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if self.raw.get(flag) is True and bound in self.out:
                self.out[flag] = self.out.pop(bound)
        if isinstance(step := self.out.get("multipleOf"), int | float) and step <= 0:
            del self.out["multipleOf"]
            self._note("multipleOf is not positive")

    def _read_pattern(self) -> None:
        pattern = self.raw.get("pattern")
        if isinstance(pattern, str) and matcher(pattern) is not None:
            self.out["pattern"] = pattern
        elif pattern is not None:
            self._note(f"pattern {_shown(pattern)} cannot be read")

    def _read_required(self) -> None:
        if "required" in self.raw:
            names = _names(self.raw["required"])
            if names is None:
                self._note("required is no list of names")
            elif names:
                self.out["required"] = names
        if isinstance(dependent := self.raw.get("dependentRequired"), Mapping):
            entries = cast("Mapping[object, object]", dependent).items()
            self.out["dependentRequired"] = {key: _names(value) or [] for key, value in entries if isinstance(key, str)}

    def _read_subschemas(self) -> None:
        for keyword in _SUBSCHEMAS:
            if keyword in self.raw:
                with self._exactly(keyword):
                    self.out[keyword] = self._sub(self.raw[keyword], keyword)
        for keyword in _SUBSCHEMA_LISTS:
            raw = self.raw.get(keyword)
            if isinstance(raw, list) and raw:
                branches = enumerate(cast("list[object]", raw))
                with self._exactly(keyword):
                    self.out[keyword] = [self._sub(branch, f"{keyword}[{index}]") for index, branch in branches]
            elif keyword in self.raw:
                self._note(f"{keyword} is no list of schemas")
        for keyword in _SUBSCHEMA_MAPS:
            raw = self.raw.get(keyword)
            if isinstance(raw, Mapping):
                entries = cast("Mapping[object, object]", raw).items()
                self.out[keyword] = {name: self._sub(sub, name) for name, sub in entries if isinstance(name, str)}
            elif keyword in self.raw:
                self._note(f"{keyword} is no object of schemas")

    @contextmanager
    def _exactly(self, keyword: str) -> Generator[None]:
        before = self.cleaner.losses
        yield
        if keyword in EXACT:
            is_broken = self.cleaner.losses > before
            self.cleaner.exact.append(Exact(schema=self.out, keyword=keyword, path=self.path, is_broken=is_broken))

    def _read_items(self) -> None:
        """Until draft 2019-09 a list of schemas stood in `items`, and what came after them in `additionalItems`."""
        raw = self.raw.get("items")
        if isinstance(raw, list):
            entries = enumerate(cast("list[object]", raw))
            self.out["prefixItems"] = [self._sub(item, f"items[{index}]") for index, item in entries] or [True]
            if "additionalItems" in self.raw:
                self.out["items"] = self._sub(self.raw["additionalItems"], "additionalItems")
        elif raw is not None:
            self.out["items"] = self._sub(raw, "items")

    def _read_pattern_properties(self) -> None:
        if self.raw.get("patternProperties"):
            # Without them nobody can tell which properties are additional ones.
            self.out["additionalProperties"] = True
            self._note("patternProperties are not supported")

    def _read_reference(self) -> None:
        if "$ref" in self.raw and (ref := self.cleaner.reference(self.raw["$ref"], self.path)):
            self.out["$ref"] = ref


def is_value(value: object, *, levels: int = MAX_DEPTH) -> bool:
    """Say whether a value is JSON, nests only so deep, and can be written down."""
    if isinstance(value, list):
        return levels > 0 and all(is_value(item, levels=levels - 1) for item in cast("list[object]", value))
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value).items()
        return levels > 0 and all(isinstance(key, str) and is_value(item, levels=levels - 1) for key, item in entries)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _shown(value: object) -> str:
    return repr(value[:60]) if isinstance(value, str) else f"({type(value).__name__})"


def _lookup(document: object, ref: str) -> object:
    """Follow a JSON pointer. Raises LookupError."""
    if ref == "#":
        return document
    if not ref.startswith("#/"):
        raise LookupError(ref)
    found = document
    for step in ref[2:].split("/"):
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = cast("Mapping[str, object]", found)[key]
        elif isinstance(found, list) and key.isdecimal() and len(key) < 10:
            found = cast("list[object]", found)[int(key)]
        else:
            raise LookupError(ref)
    return found


def _number(value: object) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond every float: what compares with it would overflow, too
        return None


def _count(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 0 and number == int(number) else None


def _names(value: object) -> list[JSONValue] | None:
    if not isinstance(value, list):
        return None
    names = cast("list[object]", value)
    return list(dict.fromkeys(name for name in names if isinstance(name, str))) if names else []


def _nullable(schema: JSONObject) -> Schema:
    """OpenAPI 3.0 marks "or null" with a flag, and leaves null out of the enum."""
    described = {key: schema.pop(key) for key in ("title", "description", "default") if key in schema}
    return {"anyOf": [schema, {"type": "null"}], **described}


def _endless(definitions: Mapping[str, Schema]) -> list[str]:
    """Return the definitions on a chain of references that comes back without going deeper into a value."""
    left = {name: set(_in_place(schema)) for name, schema in definitions.items()}
    while True:
        wanted = set[str]().union(*left.values())
        ends = [name for name, successors in left.items() if not successors & left.keys() or name not in wanted]
        if not ends:
            return list(left)
        for name in ends:
            del left[name]


def _in_place(schema: JSONValue) -> list[str]:
    """Return the definitions that apply to the very value that the schema applies to."""
    if not isinstance(schema, dict):
        return []
    names = [cast(str, schema["$ref"]).removeprefix(REF_PREFIX)] if "$ref" in schema else []
    for keyword in _IN_PLACE:
        for branch in cast("list[JSONValue]", schema.get(keyword, [])):
            names += _in_place(branch)
    for keyword in ("not", "if", "then", "else"):
        names += _in_place(schema.get(keyword))
    for branch in cast("dict[str, JSONValue]", schema.get("dependentSchemas", {})).values():
        names += _in_place(branch)
    return names
