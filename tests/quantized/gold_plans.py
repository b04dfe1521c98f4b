"""Plans that are known to be right, with the tools that they call: what a plan grammar must admit.

Berkeley's calls and NESTFUL's graphs are rendered as the models write plans; those for DPAB were written by hand.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog import bfcl
from planact_server.catalog.catalog import Catalog, CatalogTool
from planact_tools import ToolDefinition

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent / "data"
_REFERENCE = re.compile(r"\$(\w+?)(?:\.([\w.]+))?\$")
_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "list": "array", "dict": "object"}


@dataclass(frozen=True, kw_only=True)
class GoldPlan:
    """A plan and the catalog of the tools that its writer saw."""

    id: str
    catalog: Catalog
    source: str


def bfcl_plans(shared: Path) -> Iterator[GoldPlan]:
    """One plan for each question: its gold calls, one a line."""
    calls = bfcl.gold_calls(shared / "data" / "bfcl_v4")
    for question, group in groupby(calls, key=lambda call: call.id.partition("#")[0]):
        gold = list(group)
        lines = [f"result{number} = {_call(call)}" for number, call in enumerate(gold, start=1)]
        yield GoldPlan(id=question, catalog=gold[0].catalog, source="\n".join([*lines, ""]))


def nestful_plans(shared: Path, *, published: bool = False) -> Iterator[GoldPlan]:
    """One plan for each graph: a variable for each node, a subscript for each edge.

    Many graphs do not keep to the specifications that come with them: they pass arguments that those do not list, or
    leave out required ones. A function takes what any graph passes here, and needs what all of them do; with
    `published` it is as its specification says.
    """
    folder = shared / "data" / "nestful"
    samples = _json(folder / "executable-data.json")
    specs = _json(folder / "executable-spec.json")
    uses = {each["name"]: [] if published else _uses(samples, each["name"]) for each in specs}
    catalog = Catalog.build({"nestful": [_nestful_tool(each, uses[each["name"]]) for each in specs]})
    for number, sample in enumerate(samples):
        lines = [_node(catalog, node) for node in sample["output"]]
        yield GoldPlan(id=f"nestful_{number}", catalog=catalog, source="\n".join([*lines, ""]))


def dpab_plans(shared: Path) -> Iterator[GoldPlan]:
    """The plans written by hand, with the functions of their rows."""
    rows = _lines(shared / "data" / "dpab" / "eval_alpha_odd.jsonl")
    for written in _lines(DATA / "dpab_plans.jsonl"):
        row = rows[written["row"]]
        yield GoldPlan(id=f"dpab_{written['row']}", catalog=dpab_catalog(row), source=written["plan"])


def dpab_tasks(shared: Path) -> list[str]:
    """Return what those plans were written for, in the same order."""
    rows = _lines(shared / "data" / "dpab" / "eval_alpha_odd.jsonl")
    return [str(rows[written["row"]]["user_query"]) for written in _lines(DATA / "dpab_plans.jsonl")]


def dpab_catalog(row: dict[str, Any]) -> Catalog:
    functions = row["function_schema_json"]
    functions = json.loads(functions) if isinstance(functions, str) else functions
    return Catalog.build({"dpab": [_dpab_tool(each) for each in functions]})


def _dpab_tool(function: dict[str, Any]) -> ToolDefinition:
    return ToolDefinition(
        name=function["name"], description=function["description"], input_schema=function["parameters"]
    )


def _call(call: bfcl.GoldCall) -> str:
    tool = _tool(call.catalog, call.function)
    written = [repr(value) for value in call.positional]
    for name, value in call.keywords.items():
        parameter = tool.parameter(name)
        written.append(f"{name if parameter is None else parameter.name}={value!r}")
    return f"{tool.function}({', '.join(written)})"


def _tool(catalog: Catalog, name: str) -> CatalogTool:
    found = catalog.resolve(name)
    return found if isinstance(found, CatalogTool) else catalog.by_raw(name, None)


def _node(catalog: Catalog, node: dict[str, Any]) -> str:
    arguments = {name: _value(value) for name, value in node["arguments"].items()}
    if node["name"] == "var_result":
        return "result = {" + ", ".join(f"{name!r}: {value}" for name, value in arguments.items()) + "}"
    tool = _tool(catalog, node["name"])
    names = {name: found.name if (found := tool.parameter(name)) else name for name in arguments}
    written = ", ".join(f"{names[name]}={value}" for name, value in arguments.items())
    return f"{node['label']} = {tool.function}({written})"


def _value(value: Any) -> str:
    """Write an argument: what refers to a node reads its variable."""
    if isinstance(value, str) and (whole := _REFERENCE.fullmatch(value)):
        return _read(whole, '"')
    if isinstance(value, str) and _REFERENCE.search(value):
        inner = _REFERENCE.sub(lambda match: "{" + _read(match, "'") + "}", value)
        return f'f"{inner}"'
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_value(each)}" for key, each in value.items()) + "}"
    return repr(value)


def _read(match: re.Match[str], quote: str) -> str:
    keys = match[2].split(".") if match[2] else []
    return match[1] + "".join(f"[{quote}{key}{quote}]" for key in keys)


def _uses(samples: list[Any], name: str) -> list[set[str]]:
    return [set(node["arguments"]) for sample in samples for node in sample["output"] if node["name"] == name]


def _nestful_tool(spec: dict[str, Any], uses: list[set[str]]) -> ToolDefinition:
    parameters = spec.get("query_parameters") or spec.get("arguments") or {}
    properties = {name: {"type": _type(each), "description": each["description"]} for name, each in parameters.items()}
    properties |= {name: {} for use in uses for name in sorted(use) if name not in properties}
    required = [name for name, each in parameters.items() if each.get("required") in (True, "True", "true")]
    return ToolDefinition(
        name=spec["name"],
        description=spec["description"],
        input_schema={
            "type": "object",
            "properties": properties,
            "required": [name for name in required if all(name in use for use in uses)],
        },
    )


def _type(parameter: dict[str, Any]) -> str:
    word = str(parameter.get("type", "string")).lower()
    return _TYPES.get(word, word)


def is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _json(path: Path) -> list[Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
