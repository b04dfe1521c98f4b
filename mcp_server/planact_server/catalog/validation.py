"""Checking a call before it leaves: arguments in, raw names and checked values out.

Pure; never raises anything but ArgumentsError, and never looks anything up outside the tool's own schema. What the
schema leaves unclear is let through: the server checks again.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from planact_server.catalog.annotations import Annotator
from planact_server.catalog.complaints import Complaint, complain
from planact_server.catalog.patience import Patience
from planact_server.catalog.signatures import LINE_CHOICES
from planact_server.catalog.suggestions import LONGEST, MOST_STRANGE, closest, did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jsonschema.exceptions import ValidationError

    from planact_server.catalog.catalog import CatalogTool, Parameter
    from planact_server.catalog.checker import Checker
    from planact_server.catalog.schemas import Schema
    from planact_tools import JSONValue

MOST_LISTED = 30
"""Parameters that a hint lists."""

MOST_ARGUMENTS = 10_000
"""Arguments that one call may have; the tool may take any."""


class ArgumentsError(Exception):
    """The arguments do not fit the tool. `parameter` says where, as `location.city`; `hint` says what would fit."""

    def __init__(self, message: str, parameter: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.parameter = parameter
        self.hint = hint


def bind(
    tool: CatalogTool,
    positional: Sequence[JSONValue],
    keywords: Mapping[str, JSONValue],
    *,
    raw: bool = False,
    patience: Patience | None = None,
) -> dict[str, JSONValue]:
    """Return the arguments by raw names, in the schema's order.

    Positional ones go in schema order. Keywords may be spelled either way; `raw` says which spelling to show in
    messages; calls that share a `patience` share what checking them may cost. Raises ArgumentsError.
    """
    return _Call(tool, raw=raw, patience=patience or Patience()).bind(positional, keywords)


class _Call:
    """One call being bound."""

    def __init__(self, tool: CatalogTool, *, raw: bool, patience: Patience) -> None:
        self._tool = tool
        self._raw = raw
        self._patience = patience
        self._arguments: dict[str, JSONValue] = {}

    def bind(self, positional: Sequence[JSONValue], keywords: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
        if len(keywords) > MOST_ARGUMENTS:
            raise self._error(f"got {len(keywords):,} arguments, and {MOST_ARGUMENTS:,} are the most")
        self._take_positional(positional)
        for name, value in keywords.items():
            self._take_keyword(name, value)
        self._refuse_missing(keywords)
        self._check()
        declared = [parameter.raw for parameter in self._tool.parameters if parameter.raw in self._arguments]
        return {raw: self._arguments[raw] for raw in dict.fromkeys([*declared, *self._arguments])}

    def _take_positional(self, positional: Sequence[JSONValue]) -> None:
        parameters = self._tool.parameters
        if len(positional) > len(parameters):
            takes = f"at most {len(parameters)} positional argument{'' if len(parameters) == 1 else 's'}"
            raise self._error(f"takes {takes}, and {len(positional)} were given")
        for parameter, value in zip(parameters, positional, strict=False):
            self._put(parameter.raw, parameter, value)

    def _take_keyword(self, name: str, value: JSONValue) -> None:
        parameter = self._tool.parameter(name)
        if parameter is None and not self._tool.open_keywords:
            close = did_you_mean(name, self._names())
            raise self._error(f"has no parameter {quoted(name)}.{close}", parameter=name[:LONGEST], sentence=False)
        raw = name if parameter is None else parameter.raw
        if raw in self._arguments:
            raise self._error(f"got two values for {quoted(name)}", parameter=name[:LONGEST])
        self._put(raw, parameter, value)

    def _put(self, raw: str, parameter: Parameter | None, value: JSONValue) -> None:
        if value is not None or parameter is None or not parameter.null_is_absence:
            self._arguments[raw] = value

    def _refuse_missing(self, keywords: Mapping[str, JSONValue]) -> None:
        missing = [each for each in self._tool.parameters if each.required and each.raw not in self._arguments]
        if not missing:
            return
        names = ", ".join(repr(self._spelled(each)) for each in missing)
        unknown = islice((name for name in keywords if self._tool.parameter(name) is None), MOST_STRANGE)
        close = closest(self._spelled(missing[0]), unknown)
        instead = f" Did you mean it by {close!r}?" if close else ""
        plural = "s" if len(missing) > 1 else ""
        raise self._error(
            f"is missing the argument{plural} {names}.{instead}", parameter=self._spelled(missing[0]), sentence=False
        )

    def _check(self) -> None:
        try:
            error = _checker(self._tool).first_error(self._arguments, self._patience)
        except RecursionError:
            raise self._error("got a value that is nested too deeply") from None
        except (OverflowError, ValueError):
            # Python refuses to divide or to write down very long whole numbers.
            raise self._error("got a number that is too large") from None
        if error is not None:
            raise self._refusal(error)
        for parameter in self._tool.parameters:
            value = self._arguments.get(parameter.raw)
            # 2.0 is an integer to JSON Schema and to Python's division, but not to every server.
            if isinstance(value, float) and _wants_integer(parameter.schema):
                self._arguments[parameter.raw] = int(value)

    def _refusal(self, error: ValidationError) -> ArgumentsError:
        complaint = complain(error, self._annotated)
        path = self._path(complaint)
        subject = f"{self._tool.function}()" + (f": {path}" if path else "")
        hint = self._leave_out(complaint) or complaint.hint or self._hint()
        return ArgumentsError(f"{subject} {complaint.text}", path or None, hint)

    def _leave_out(self, complaint: Complaint) -> str | None:
        if complaint.value is not None or len(complaint.path) != 1:
            return None
        parameter = self._tool.parameter(str(complaint.path[0]))
        if parameter is None or parameter.required:
            return None
        return f"Leave {self._spelled(parameter)!r} out to use the server's own default."

    def _path(self, complaint: Complaint) -> str:
        if not complaint.path:
            return ""
        first, *rest = complaint.path
        parameter = self._tool.parameter(str(first))
        steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest]
        return (self._spelled(parameter) if parameter else str(first)) + "".join(steps)

    def _annotated(self, schema: Schema) -> str:
        return Annotator(schema=self._tool.schema, prefix="").annotate(schema, "")

    def _spelled(self, parameter: Parameter) -> str:
        return parameter.raw if self._raw else parameter.name

    def _names(self) -> list[str]:
        return [self._spelled(parameter) for parameter in self._tool.parameters]

    def _error(self, text: str, *, parameter: str | None = None, sentence: bool = True) -> ArgumentsError:
        return ArgumentsError(f"{self._tool.function}() {text}{'.' if sentence else ''}", parameter, self._hint())

    def _hint(self) -> str:
        annotator = Annotator(schema=self._tool.schema, prefix="", choices=LINE_CHOICES)
        listed = [
            f"{self._spelled(each)}: {annotator.annotate(each.schema, '')}" + ("" if each.required else " (optional)")
            for each in self._tool.parameters[:MOST_LISTED]
        ]
        if len(self._tool.parameters) > MOST_LISTED:
            listed.append("…")
        return f"Parameters: {', '.join(listed)}." if listed else "It takes no arguments."


# A tool and its checker live equally long; a catalog that nobody holds any more takes its checkers with it.
_checkers: WeakKeyDictionary[CatalogTool, Checker] = WeakKeyDictionary()


def _checker(tool: CatalogTool) -> Checker:
    if tool not in _checkers:
        # jsonschema takes 70 ms to load, and a server starts without it.
        from planact_server.catalog.checker import Checker  # noqa: PLC0415

        _checkers[tool] = Checker(tool.schema)
    return _checkers[tool]


def _wants_integer(schema: Schema) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "integer"
