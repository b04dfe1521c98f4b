"""What is wrong with a plan's names before it runs: undefined names, unknown tools, unknown keywords."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import absent, facades, hints, language, trees

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

    from planact_server.sandbox.inside.scopes import Names
    from planact_server.sandbox.inside.source import Problem, Text

_IMPORTS = frozenset({ast.Import, ast.ImportFrom})

_UNKNOWN_NAME = "Give it a value before. If it should be a tool: search_tools('what it does') finds its name."


def outside_names(names: Names, known: Container[str]) -> list[str]:
    """The names to ask the host about: `tool` and `server.tool`, as far as they can come from outside."""
    plain = [name for name in names.read if name not in known and names.from_outside(name)]
    dotted = [
        f"{base}.{attribute}"
        for base, attribute in names.dotted
        if base in plain and base not in language.UNAVAILABLE and not attribute.startswith("_")
    ]
    return [name for name in plain if name not in language.UNAVAILABLE] + dotted


def missing_imports(nodes: Sequence[ast.AST], text: Text) -> Iterator[Problem]:
    """Imports among a plan's nodes that cannot work.

    Not those that it is prepared for (`try: … except ImportError`) or means for type checkers alone.
    """
    missing = [
        (node, name) for node in nodes if type(node) in _IMPORTS for name in _modules(node) if not _is_there(name)
    ]
    if not missing:
        return
    prepared = {inner for node in nodes for part in _parts_without_need(node) for inner in trees.walk(part)}
    for node, module in missing:
        if node not in prepared:
            message, hint = absent.missing_module(module)
            yield text.problem(node, "ModuleNotFoundError", message, hint)


def _modules(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=aliases):
            return [alias.name for alias in aliases]
        case ast.ImportFrom(module=str(module), level=0) if module != "__future__":
            return [module]
        case _:
            return []


def _is_there(module: str) -> bool:
    return module in facades.MODULES or module == "asyncio"


def undefined(
    names: Names, resolved: Mapping[str, Any], text: Text, session: Iterable[str], python: Collection[str]
) -> Iterator[Problem]:
    """Names that nothing has: neither the plan, nor the session, nor Python, nor a connected server."""
    own = {*session, *names.bound}
    for name, nodes in names.read.items():
        if name in own or name in python:
            continue
        if name in language.UNAVAILABLE:
            message = f"{name}() is not available in a plan."
            yield text.problem(nodes[0], "PolicyError", message, language.UNAVAILABLE[name])
        elif resolved.get(name, {}).get("kind") == "missing":
            hint = hints.about_name(name, own) or resolved[name].get("hint") or hints.about_name(name, python)
            message = f"name {name!r} is not defined"
            yield text.problem(nodes[0], "NameError", message, hint or _UNKNOWN_NAME)


def wrong_uses(names: Names, resolved: Mapping[str, Any], text: Text, known: Container[str]) -> Iterator[Problem]:
    """Tools that a server does not have, keywords that a tool does not have, and servers that are called."""
    for (base, attribute), nodes in names.dotted.items():
        answer = resolved.get(f"{base}.{attribute}", {})
        is_server = resolved.get(base, {}).get("kind") == "server" and base not in names.bound and base not in known
        if is_server and answer.get("kind") == "missing":
            message = f"Server {base!r} has no tool {attribute!r}."
            hint = answer.get("hint") or f"describe({base!r}) lists its tools."
            yield text.problem(nodes[0], "AttributeError", message, hint)
    for spelled, call in names.calls:
        base = spelled.partition(".")[0]
        found = resolved.get(spelled, {})
        if base in names.bound or base in known:
            continue
        if found.get("kind") == "tool":
            yield from _wrong_arguments(spelled, call, found, text)
        elif found.get("kind") == "server":
            hint = f"Call one of its tools, {spelled}.TOOL(…); describe({spelled!r}) lists them."
            yield text.problem(call, "TypeError", f"{spelled!r} is a server, which cannot be called.", hint)


def _wrong_arguments(spelled: str, call: ast.Call, tool: Mapping[str, Any], text: Text) -> Iterator[Problem]:
    parameters: list[str] = tool["parameters"]
    if len(call.args) > len(parameters) and not any(isinstance(arg, ast.Starred) for arg in call.args):
        message = f"{spelled}() takes {len(parameters)} positional arguments; {len(call.args)} are given."
        yield _about_tool(text.problem(call, "TypeError", message, _signature(parameters)), spelled, None)
    if tool.get("open_keywords"):
        return
    accepted = {*parameters, *tool.get("aliases", ())}
    for keyword in call.keywords:
        if keyword.arg is not None and keyword.arg not in accepted:
            message = f"{spelled}() has no parameter {keyword.arg!r}."
            meant = hints.did_you_mean(keyword.arg, parameters)
            hint = f"{meant} {_signature(parameters)}".strip()
            yield _about_tool(text.problem(keyword, "TypeError", message, hint), spelled, keyword.arg)


def _signature(parameters: list[str]) -> str:
    return f"Its parameters: {', '.join(parameters)}." if parameters else "It has no parameters."


def _about_tool(problem: Problem, spelled: str, parameter: str | None) -> Problem:
    return replace(problem, function=spelled.rpartition(".")[2], parameter=parameter)


def _parts_without_need(node: ast.AST) -> Sequence[ast.AST]:
    """The parts of a statement that may import what is not there."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body=body):
            return body
        case _:
            return [node] if _expects_import_error(node) else []


def _expects_import_error(node: ast.AST) -> bool:
    if not isinstance(node, ast.Try):
        return False
    caught = {name.id for handler in node.handlers for name in _names_in(handler.type)}
    return any(handler.type is None for handler in node.handlers) or bool(
        caught & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    )


def _names_in(expression: ast.expr | None) -> list[ast.Name]:
    return [] if expression is None else [node for node in trees.walk(expression) if isinstance(node, ast.Name)]
