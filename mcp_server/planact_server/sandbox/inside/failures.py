"""An exception that came out of a plan → one entry of the answer's `errors`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from planact_server.sandbox.inside import hints
from planact_server.sandbox.inside.source import Problem, Text

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import FrameType, TracebackType

    from planact_server.sandbox.inside.channel import Channel
    from planact_server.sandbox.inside.export import Representer

_MESSAGE_CHARACTERS = 2000
_MESSAGE_SECONDS = 0.25
_Position = tuple[int | None, int | None, int | None, int | None]


def describe(
    error: BaseException, texts: dict[str, Text], current: Collection[str], link: Channel, show: Representer
) -> Problem:
    """Say what went wrong, where in the plan, and what may help. Never runs longer than a moment.

    `texts` are all that the session has run, `current` the file names of the plan at hand.
    """
    place = _innermost(error.__traceback__, current) or _innermost(error.__traceback__, texts)
    message = _message(error, show)
    fault = link.fault(error)
    if place is None:
        return Problem(type=_type_name(error), message=message, hint=fault.hint if fault else None)
    frame, position = place
    text = texts[frame.f_code.co_filename]
    line, _, offset, _ = position
    return Problem(
        type=_type_name(error),
        message=message,
        line=line,
        column=None if line is None or offset is None else text.column(line, offset),
        code_line=text.line(line),
        call=fault.call if fault else None,
        function=fault.function if fault else None,
        parameter=fault.parameter if fault else None,
        hint=(fault.hint if fault else None) or _hint(error, texts, show),
    )


def reached(error: BaseException, current: Collection[str]) -> int:
    """Return the furthest line of these files that the exception came through; 0 where it came through none."""
    furthest, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in current:
            furthest = max(furthest, trace.tb_lineno or 0)
        trace = trace.tb_next
    return furthest


def _innermost(trace: TracebackType | None, filenames: Collection[str]) -> tuple[FrameType, _Position] | None:
    """The last frame of these files that the exception came through."""
    found: TracebackType | None = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in filenames:
            found = trace
        trace = trace.tb_next
    if found is None:
        return None
    positions = list(found.tb_frame.f_code.co_positions())
    return found.tb_frame, positions[found.tb_lasti // 2]


def _hint(error: BaseException, texts: dict[str, Text], show: Representer) -> str | None:
    place = _innermost(error.__traceback__, texts)
    if place is None:
        return None
    frame, position = place
    node = _node_at(texts[frame.f_code.co_filename], position)
    failure = hints.Failure(error, frame, node)
    # A hint is a courtesy. Looking at a plan's values may run its code, which must not make a failure of it.
    text = show.call(lambda: hints.hint(failure, lambda value: show.text(value, 200)) or "", seconds=_MESSAGE_SECONDS)
    return text or None


def _node_at(text: Text, position: _Position) -> ast.AST | None:
    """The expression that the failed instruction was compiled from."""
    try:
        tree = ast.parse(text.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    line, end_line, offset, end_offset = position
    wanted = (line, offset, end_line, end_offset)
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr):
            continue
        if (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset) == wanted:
            return node
    return None


def _message(error: BaseException, show: Representer) -> str:
    if type(error) is MemoryError:
        return "The plan ran out of memory."
    text = show.call(lambda: str(error), seconds=_MESSAGE_SECONDS)
    if text is None:
        return f"{type(error).__name__} cannot be shown: its __str__ fails."
    return text[:_MESSAGE_CHARACTERS]


def _type_name(error: BaseException) -> str:
    return type(error).__name__
