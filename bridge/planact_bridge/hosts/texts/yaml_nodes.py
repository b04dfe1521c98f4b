"""What a YAML text means, and where each part of it stands. The one module that touches ruamel.yaml."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The library has no types.

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from planact_bridge.hosts.errors import SyntaxProblem

if TYPE_CHECKING:
    from planact_tools import JSONValue


MOST_ALIASED = 100_000
"""Parts that a text may have beyond those that are written out: an alias can stand for itself, or for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One part of a text."""

    kind: Literal["scalar", "list", "mapping"]
    start: int
    end: int
    """As the parser has it: it counts blank lines and comments to the block above them."""

    column: int
    flow: bool = False
    """Whether it is written with brackets or braces."""

    text: str = ""
    """Of a scalar."""

    parts: tuple[tuple[Node, ...], ...] = ()
    """Of a mapping, keys with their values; of a list, its items."""


def load(text: str) -> JSONValue:
    """Return the value. Raises SyntaxProblem."""
    try:
        value = cast("JSONValue", _reader().load(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(str(error.problem or error.context).split())
        if mark is None:
            raise SyntaxProblem(reason) from None
        raise SyntaxProblem(reason, line=mark.line + 1, column=mark.column + 1) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise SyntaxProblem(" ".join(str(error).split())) from None
    if _unfolds_past(value, len(text) + MOST_ALIASED):
        raise SyntaxProblem("its aliases (`*name`) go round in circles, or unfold to too much")
    return value


@lru_cache(maxsize=4)  # one edit asks for the same text several times, and reading is slow
def compose(text: str) -> Node | None:
    """Return the tree of a text that `load` accepts; None for one without content."""
    root = _reader().compose(text)
    return None if root is None else _node(root)


def _unfolds_past(value: JSONValue, most: int) -> bool:
    """Return whether a value has more parts than `most`, those that aliases share counted each time."""
    waiting = [value]
    for _ in range(most):
        if not waiting:
            return False
        part = waiting.pop()
        if isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part
    return bool(waiting)


def _reader() -> YAML:
    return YAML(typ="safe", pure=True)


def _node(node: Any) -> Node:
    place = {"start": node.start_mark.index, "end": node.end_mark.index, "column": node.start_mark.column}
    if isinstance(node, MappingNode):
        pairs = tuple((_node(key), _node(value)) for key, value in node.value)
        return Node(kind="mapping", parts=pairs, flow=bool(node.flow_style), **place)
    if isinstance(node, SequenceNode):
        return Node(
            kind="list", parts=tuple((_node(item),) for item in node.value), flow=bool(node.flow_style), **place
        )
    assert isinstance(node, ScalarNode)  # noqa: S101 - there are three kinds
    return Node(kind="scalar", text=str(node.value), **place)
