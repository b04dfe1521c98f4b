"""What Monty says went wrong → one entry of the answer's `errors`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from planact_server.sandbox import PlanError, PlanFault
from planact_server.sandbox.inside import hints
from planact_server.sandbox.monty import values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from pydantic_monty import Frame, MontyRuntimeError, MontySyntaxError

    from planact_server.sandbox.monty.outline import Outline

MESSAGE_CHARACTERS = 2000
_READ_CHARACTERS = 200
_UNKNOWN_SYNTAX = "The monty syntax parser does not yet support "
_NAME = re.compile(r"^name '(\w+)' is not defined$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An exception that the host had a call raise."""

    fault: PlanFault | None = None
    call: int | None = None
    hint: str | None = None


@dataclass(slots=True)
class Faults:
    """What was raised in a plan by its calls: Monty keeps of an exception its type and its text."""

    _raised: dict[tuple[str, str], Raised] = field(default_factory=dict[tuple[str, str], Raised])

    def add(self, error: BaseException, fault: PlanFault, call: int | None) -> None:
        self._raised[type(error).__name__, str(error)] = Raised(fault=fault, call=call, hint=fault.hint)

    def add_hint(self, error: BaseException, hint: str) -> None:
        self._raised[type(error).__name__, str(error)] = Raised(hint=hint)

    def find(self, type_name: str, message: str) -> Raised | None:
        return self._raised.get((type_name, message))


def is_unknown_syntax(error: MontyRuntimeError) -> bool:
    """True where Monty did not start, because it does not know something in the source."""
    return str(error.exception()).startswith(_UNKNOWN_SYNTAX)


def is_full(error: MontyRuntimeError) -> bool:
    """True where the plan has used up its memory."""
    return isinstance(error.exception(), MemoryError)


def unknown_syntax(error: MontyRuntimeError | MontySyntaxError, outline: Outline) -> PlanError:
    """Say what Monty cannot read."""
    inner = error.exception()
    frames = error.traceback()
    what = str(inner).removeprefix(_UNKNOWN_SYNTAX)
    known = isinstance(inner, NotImplementedError)
    return PlanError(
        type="PolicyError" if known else type(inner).__name__,
        message=f"The engine 'monty' does not know {what}." if known else what,
        line=frames[-1].line if frames else None,
        column=frames[-1].column if frames else None,
        code_line=outline.text.line(frames[-1].line) if frames else None,
        hint="Write it with functions, loops and dicts; docs/monty.md lists what is missing." if known else None,
    )


def line_of(error: MontyRuntimeError, filename: str) -> int | None:
    """The line of the plan itself, outside of its functions, that failed."""
    return next((frame.line for frame in error.traceback() if _is_module(frame, filename)), None)


def lines_of(error: MontyRuntimeError, filename: str) -> set[int]:
    return {frame.line for frame in error.traceback() if frame.filename == filename}


def describe(
    error: MontyRuntimeError,
    outlines: Mapping[str, Outline],
    filename: str,
    faults: Faults,
    variables: Mapping[str, Any],
) -> PlanError:
    """Say what failed, and where in the plan. `variables` are the session's as they are now."""
    inner = error.exception()
    type_name, message = type(inner).__name__, str(inner)[:MESSAGE_CHARACTERS]
    raised = faults.find(type(inner).__name__, str(inner))
    frames = error.traceback()
    frame = _innermost(frames, {filename}) or _innermost(frames, outlines)
    fault = raised.fault if raised is not None else None
    hint = raised.hint if raised is not None else None
    if frame is None:
        return PlanError(type=type_name, message=message, hint=hint)
    return PlanError(
        type=type_name if fault is None else fault.type,
        message=message,
        line=frame.line,
        column=outlines[frame.filename].column(frame.line, frame.column),
        code_line=outlines[frame.filename].text.line(frame.line),
        call=raised.call if raised is not None else None,
        function=fault.function if fault is not None else None,
        parameter=fault.parameter if fault is not None else None,
        hint=hint or _hint(inner, frame, outlines[frame.filename], variables),
    )


def _innermost(frames: list[Frame], filenames: Any) -> Frame | None:
    return next((frame for frame in reversed(frames) if frame.filename in filenames), None)


def _is_module(frame: Frame, filename: str) -> bool:
    return frame.filename == filename and frame.function_name == "<module>"


def _expression(frame: Frame, outline: Outline) -> ast.expr | None:
    """The expression that failed, where it is short enough to be read here."""
    line = outline.text.line(frame.line) or ""
    whole = outline.text.source.split("\n")[frame.line - 1 : frame.line]
    if frame.end_line != frame.line or not whole or len(line) > _READ_CHARACTERS:
        return None
    begin, end = (outline.column(frame.line, column) - 1 for column in (frame.column, frame.end_column))
    try:
        return ast.parse(whole[0][begin:end].strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _hint(error: BaseException, frame: Frame, outline: Outline, variables: Mapping[str, Any]) -> str | None:
    if isinstance(error, NameError) and (found := _NAME.match(str(error))):
        return hints.about_name(found[1], variables)
    node = _expression(frame, outline)
    seen: Mapping[str, Any] = variables if frame.function_name == "<module>" else {}
    place = SimpleNamespace(f_locals={}, f_globals=seen, f_builtins={})
    return hints.hint(hints.Failure(error, cast("FrameType", place), node), values.shown)
