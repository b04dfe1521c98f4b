"""What the fields of a worker's frames may hold.

Lists and objects of names are looked through by plain functions that stop at the first that is wrong: Pydantic would
collect a million complaints about a million wrong names, and take seconds and gigabytes for it.
"""

from typing import Annotated, TypeAlias, cast

from pydantic import FailFast, Field, PlainValidator, Strict, StringConstraints

from planact_server.sandbox import PlanError
from planact_tools import JSONValue

MOST_CHARS = 1_000
"""Length of any name."""

MOST_ERRORS = 1_000
MOST_DOUBTS = 30
"""About one plan, before it runs."""

DEFINITIONS = 1_000
DEFINITION_CHARS = 256 * 1024
"""What a session keeps of its functions and classes: how many, and the length of all their sources."""


def _list(value: object) -> list[object]:
    if type(value) is not list:
        raise ValueError("not a list")
    return cast("list[object]", value)


def _object(value: object) -> dict[str, object]:
    if type(value) is not dict:
        raise ValueError("not an object")
    return cast("dict[str, object]", value)


def _text(value: object) -> str:
    if type(value) is not str or len(value) > MOST_CHARS:
        raise ValueError("not a text, or too long for a name")
    return value


def _name(value: object) -> str:
    if type(value) is not str or len(value) > MOST_CHARS or not value.isidentifier():
        raise ValueError("not a Python name")
    return value


def _texts(value: object) -> list[str]:
    return [_text(each) for each in _list(value)]


def _names(value: object) -> list[str]:
    return [_name(each) for each in _list(value)]


def _bindings(value: object) -> tuple[tuple[int, list[str]], ...]:
    return tuple(_binding(_list(pair)) for pair in _list(value))


def _binding(pair: list[object]) -> tuple[int, list[str]]:
    call, names = pair if len(pair) == 2 else (None, None)
    if type(call) is not int or call < 1 or not names:
        raise ValueError("not a call and the names of its result")
    return call, _names(names)


def _named(value: object) -> dict[str, object]:
    found = _object(value)
    for name in found:
        _name(name)
    return found


def _sizes(value: object) -> dict[str, int]:
    found = _named(value)
    for size in found.values():
        if type(size) is not int or size < 0:
            raise ValueError("not a size")
    return cast("dict[str, int]", found)


def _sources(value: object) -> dict[str, str]:
    found = _named(value)
    if len(found) > DEFINITIONS:
        raise ValueError(f"more than {DEFINITIONS:,} definitions")
    for source in found.values():
        if type(source) is not str:
            raise ValueError("a source that is no text")
    sources = cast("dict[str, str]", found)
    if sum(map(len, sources.values())) > DEFINITION_CHARS:
        raise ValueError(f"more than {DEFINITION_CHARS:,} characters of definitions")
    return sources


Count: TypeAlias = Annotated[int, Strict(), Field(ge=1, lt=2**53)]
Place: TypeAlias = Annotated[int, Strict(), Field(ge=0)]
Flag: TypeAlias = Annotated[bool, Strict()]
ToolName: TypeAlias = Annotated[str, StringConstraints(max_length=MOST_CHARS)]
ToolNames: TypeAlias = Annotated[list[str], PlainValidator(_texts)]
Names: TypeAlias = Annotated[list[str], PlainValidator(_names)]
Bindings: TypeAlias = Annotated[tuple[tuple[int, list[str]], ...], PlainValidator(_bindings)]
Variables: TypeAlias = Annotated[dict[str, JSONValue], PlainValidator(_named)]
Sizes: TypeAlias = Annotated[dict[str, int], PlainValidator(_sizes)]
Sources: TypeAlias = Annotated[dict[str, str], PlainValidator(_sources)]
Places: TypeAlias = Annotated[list[Place], FailFast(), Field(max_length=DEFINITIONS)]
Errors: TypeAlias = Annotated[list[PlanError], FailFast(), Field(max_length=MOST_ERRORS)]
Doubtful: TypeAlias = Annotated[list[PlanError], FailFast(), Field(max_length=MOST_DOUBTS)]
Layers: TypeAlias = Annotated[dict[str, Flag | str], Field(max_length=100)]
