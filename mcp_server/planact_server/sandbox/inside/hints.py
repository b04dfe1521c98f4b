"""What a person would point out about an exception: the items there are, the name that was meant.

Everything is read from the failed frame without running the plan's code: names, constant subscripts and attributes of
built-in containers only.
"""

# A plan's values may be anything; narrowing them by isinstance leaves their contents unknown, which is the truth.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import ast
import difflib
import re
from typing import TYPE_CHECKING, Any

from planact_server.sandbox.inside import observe, refusals
from planact_server.sandbox.inside.attributes import PolicyError
from planact_server.sandbox.inside.facades import MODULES
from planact_server.sandbox.inside.handles import LargeText
from planact_server.sandbox.inside.language import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

_UNKNOWN = object()
_CONTAINERS = (list, tuple, dict, str)


class Failure:
    """The expression that failed, in the frame where it failed."""

    def __init__(self, error: BaseException, frame: FrameType, node: ast.AST | None) -> None:
        self.error = error
        self.frame = frame
        self.node = node


def hint(failure: Failure, show: Callable[[Any], str]) -> str | None:
    """One sentence that helps to repair the plan, or nothing. `show` is a bounded repr."""
    error = failure.error
    if isinstance(error, IndexError):
        return _about_index(failure, show)
    if isinstance(error, KeyError):
        return _about_key(failure, show)
    if isinstance(error, NameError):
        return about_name(error.name or "", _names(failure.frame))
    if isinstance(error, PolicyError):
        return _about_policy(str(error))
    if isinstance(error, AttributeError):
        return _about_attribute(failure, show)
    if isinstance(error, TypeError):
        return _about_type(failure, show)
    if isinstance(error, RecursionError):
        return "A function calls itself without an end, or too deeply: use a loop."
    if isinstance(error, ValueError) and "set_int_max_str_digits" in str(error):
        return "Only integers of up to 4,300 digits become text; n.bit_length() and math.log10(n) tell how long one is."
    if isinstance(error, MemoryError):
        return "The plan needs more memory than it may use: work in smaller pieces."
    return None


def about_name(name: str, known: Iterable[str]) -> str | None:
    """What to do about a name that does not exist."""
    if name in UNAVAILABLE:
        return UNAVAILABLE[name]
    if name in MODULES or name == "asyncio":
        return f"Add `import {name}`."
    return did_you_mean(name, known) or None


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 1) -> str:
    others = [other for other in known if other != name and not other.startswith("_")]
    close = difflib.get_close_matches(name, others, n=limit)
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else ""


def _about_index(failure: Failure, show: Callable[[Any], str]) -> str | None:
    text, value = _subject(failure)
    if isinstance(value, list | tuple | str):
        return f"{text} has {_count(len(value), 'item')}: {show(value)}"
    return None


def _about_key(failure: Failure, show: Callable[[Any], str]) -> str | None:
    text, value = _subject(failure)
    if not isinstance(value, dict):
        return None
    keys: list[Any] = list(dict.keys(value))
    if not keys:
        return f"{text} is an empty dict."
    wanted = failure.error.args[0] if failure.error.args else None
    meant = did_you_mean(wanted, [key for key in keys if type(key) is str]) if type(wanted) is str else ""
    listed = ", ".join(show(key) for key in keys[:20]) + (", …" if len(keys) > 20 else "")
    return f"{meant} {text} has the {'key' if len(keys) == 1 else 'keys'} {listed}.".strip()


def _about_policy(message: str) -> str | None:
    name = re.match(r"Attribute '(\w+)'", message)
    return refusals.instead_of(name[1]) if name else None


def _about_attribute(failure: Failure, show: Callable[[Any], str]) -> str | None:
    error = failure.error
    if not isinstance(error, AttributeError) or not isinstance(failure.node, ast.Attribute):
        return None
    name = error.name or failure.node.attr
    text, value = _subject(failure)
    if value is _UNKNOWN:
        value = error.obj
    if value is None:
        return None if text == "None" else f"{text} is None."
    if isinstance(value, dict) and name in value:
        return f"{text} is a dict: use {text}[{name!r}]."
    meant = did_you_mean(name, dir(value)) if value is not _UNKNOWN else ""
    if isinstance(value, dict) and not meant:
        return f"{text} is a dict with the keys {show(list(dict.keys(value)))}."
    if isinstance(value, list | tuple | str) and not meant:
        return f"{text} is a {type(value).__name__}: {show(value)}"
    return meant or None


def _about_type(failure: Failure, show: Callable[[Any], str]) -> str | None:
    text, value = _subject(failure)
    message = str(failure.error)
    if value is None and "NoneType" in message:
        return f"{text} is None."
    if isinstance(value, str) and "string indices" in message:
        return f"{text} is text: {show(value)}"
    if isinstance(value, LargeText):
        return f"{text} is a LargeText: use slices, iterate over its lines, or .text()."
    if isinstance(value, list | tuple) and "indices must be integers" in message:
        return f"{text} is a {type(value).__name__} of {_count(len(value), 'item')}: {show(value)}"
    if isinstance(failure.node, ast.BinOp):
        return _about_operands(failure.node, failure.frame, show)
    return None


def _about_operands(node: ast.BinOp, frame: FrameType, show: Callable[[Any], str]) -> str | None:
    sides = [(ast.unparse(side), _evaluate(side, frame)) for side in (node.left, node.right)]
    known = [
        f"{text[:80]} is {show(value)} ({type(value).__name__})"
        for text, value in sides
        if value is not _UNKNOWN and not text.isdigit()
    ]
    return "; ".join(known) + "." if known else None


def _subject(failure: Failure) -> tuple[str, Any]:
    """The thing that was indexed, read or called: as text, and its value where it can be read again."""
    match failure.node:
        case ast.Subscript(value=inner) | ast.Attribute(value=inner) | ast.Call(func=inner):
            return ast.unparse(inner)[:200], _evaluate(inner, failure.frame)
        case _:
            return "", _UNKNOWN


def _evaluate(node: ast.expr, frame: FrameType) -> Any:
    """Read a name, or a constant place inside built-in containers. Runs nothing of the plan's."""
    match node:
        case ast.Name(id=name):
            value = observe.lookup(name, frame)
            return _UNKNOWN if value is observe.MISSING else value
        case ast.Constant(value=value):
            return value
        case ast.Subscript(value=inner, slice=key):
            container, index = _evaluate(inner, frame), _evaluate(key, frame)
            if type(container) not in _CONTAINERS or type(index) not in (int, str):
                return _UNKNOWN
            try:
                return container[index]
            except (LookupError, TypeError):
                return _UNKNOWN
        case _:
            return _UNKNOWN


def _names(frame: FrameType) -> set[str]:
    return {*frame.f_locals, *frame.f_globals, *frame.f_builtins}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
