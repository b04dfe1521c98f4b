"""The Berkeley function calls as tools and as calls that are known to be right.

BFCL has a dialect of its own for types, and an answer lists, for every parameter, the values that are accepted;
an empty string among them means that the parameter may be left out.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from planact_server.catalog.catalog import Catalog
from planact_tools import ToolDefinition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SERVER = "bfcl"
TYPES = {"dict": "object", "float": "number", "tuple": "array"}
SINGLE_TURN = ("simple_python", "multiple", "parallel", "live_simple", "live_parallel")
EXECUTABLE = ("exec_simple", "exec_multiple", "exec_parallel")
MULTI_TURN = ("multi_turn_base", "multi_turn_miss_param")
CLASSES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}


@dataclass(frozen=True, kw_only=True)
class GoldCall:
    """A call that the benchmark's authors call right. `id` is the question's, with the call's number after it."""

    id: str
    catalog: Catalog
    function: str
    positional: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict[str, Any])


def definition(function: Mapping[str, Any]) -> ToolDefinition:
    return ToolDefinition(
        name=function["name"],
        description=function.get("description", ""),
        input_schema=to_json_schema(function["parameters"]),
        output_schema=to_json_schema(function["response"]) if "response" in function else None,
    )


def to_json_schema(schema: Any) -> Any:
    """Translate type words. A property may be called `type`, and then its value is no word."""
    if isinstance(schema, list):
        return [to_json_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    translated = {key: to_json_schema(value) for key, value in schema.items()}
    word = schema.get("type")
    if word == "any":
        del translated["type"]
    elif isinstance(word, str):
        translated["type"] = TYPES.get(word, word)
    return translated


@cache
def functions(folder: Path) -> tuple[ToolDefinition, ...]:
    """Return every function in the data, each definition once."""
    found: dict[str, ToolDefinition] = {}
    files = [*folder.glob("BFCL_v4_*.json"), *folder.glob("exec/question/*.json")]
    for path in sorted(files):
        for question in _lines(path):
            for function in question.get("function", []):
                found.setdefault(json.dumps(function, sort_keys=True), definition(function))
    for path in sorted(folder.glob("multi_turn_func_doc/*.json")):
        for function in _lines(path):
            found.setdefault(json.dumps(function, sort_keys=True), definition(function))
    return tuple(found.values())


@cache
def gold_calls(folder: Path) -> tuple[GoldCall, ...]:
    return (*_single_turn(folder), *_executable(folder), *_multi_turn(folder))


def _single_turn(folder: Path) -> Iterator[GoldCall]:
    for category in SINGLE_TURN:
        answers = {answer["id"]: answer["ground_truth"] for answer in _lines(folder / _possible_answer(category))}
        for question in _lines(folder / f"BFCL_v4_{category}.json"):
            catalog = _catalog(question["function"])
            for number, call in enumerate(answers.get(question["id"], []), start=1):
                ((name, accepted),) = call.items()
                schema = next(each["parameters"] for each in question["function"] if each["name"] == name)
                yield GoldCall(
                    id=f"{question['id']}#{number}",
                    catalog=catalog,
                    function=name,
                    keywords=_chosen(accepted, schema),
                )


def _executable(folder: Path) -> Iterator[GoldCall]:
    for category in EXECUTABLE:
        answers = {answer["id"]: answer for answer in _lines(folder / "exec" / _possible_answer(category))}
        for question in _lines(folder / "exec" / "question" / f"BFCL_v4_{category}.json"):
            catalog = _catalog(question["function"])
            for number, call in enumerate(answers[question["id"]]["ground_truth"], start=1):
                yield _written(call, f"{question['id']}#{number}", catalog)


def _multi_turn(folder: Path) -> Iterator[GoldCall]:
    documents = {name: _lines(folder / "multi_turn_func_doc" / f"{file}.json") for name, file in CLASSES.items()}
    for category in MULTI_TURN:
        answers = {answer["id"]: answer for answer in _lines(folder / _possible_answer(category))}
        for question in _lines(folder / f"BFCL_v4_{category}.json"):
            catalog = _class_catalog(documents, tuple(question["involved_classes"]))
            turns = answers[question["id"]]["ground_truth"]
            for number, call in enumerate((call for turn in turns for call in turn), start=1):
                yield _written(call, f"{question['id']}#{number}", catalog)


_class_catalogs: dict[tuple[str, ...], Catalog] = {}


def _class_catalog(documents: Mapping[str, list[Any]], classes: tuple[str, ...]) -> Catalog:
    if classes not in _class_catalogs:
        _class_catalogs[classes] = _catalog([function for name in classes for function in documents[name]])
    return _class_catalogs[classes]


def _catalog(functions: list[Any]) -> Catalog:
    return Catalog.build({SERVER: [definition(function) for function in functions]})


def _written(call: str, id: str, catalog: Catalog) -> GoldCall:
    """Read a call that is written as Python."""
    expression = ast.parse(call, mode="eval").body
    assert isinstance(expression, ast.Call)
    return GoldCall(
        id=id,
        catalog=catalog,
        function=ast.unparse(expression.func),
        positional=tuple(_plain(_value(argument)) for argument in expression.args),
        keywords={str(each.arg): _plain(_value(each.value)) for each in expression.keywords},
    )


def _value(argument: ast.expr) -> Any:
    """Work an argument out; some are written as `0.05 / 12`."""
    return eval(ast.unparse(argument), {"__builtins__": {}})


def _plain(value: Any) -> Any:
    """Return a value as it leaves a plan: a tuple is a list."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _chosen(accepted: Mapping[str, list[Any]], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Take the first accepted value of every parameter that may not be left out, as far as there is one."""
    properties = schema.get("properties", {})
    return {
        name: _first(values[0], properties.get(name, {}))
        for name, values in accepted.items()
        if values and "" not in values
    }


def _first(value: Any, schema: Mapping[str, Any]) -> Any:
    """Inside of objects, too, every value is a list of accepted ones."""
    if isinstance(value, dict) and all(isinstance(each, list) and each for each in value.values()):
        return _chosen(value, schema)
    if isinstance(value, list) and schema.get("items", {}).get("type") == "dict":
        return [_first(item, schema["items"]) for item in value]
    return value


def _possible_answer(category: str) -> str:
    return f"possible_answer/BFCL_v4_{category}.json"


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
