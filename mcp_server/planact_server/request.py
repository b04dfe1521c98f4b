"""The arguments of `run_python_actions`: their schema, and reading them with errors that help."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planact_tools import JSONObject

DEFAULT_WAIT_SECONDS = 45.0
"""Hosts cut calls at 60 s; a plan that needs longer is fetched by its handle."""

DEFAULT_MAX_CHARS = 20_000
LONGEST_SECONDS = 86_400.0

INPUT_SCHEMA: JSONObject = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "description": "A Python plan to run now."},
        "task": {
            "type": "string",
            "description": "A goal in plain words: the on-device planner writes the plan, then it is run.",
        },
        "run": {
            "type": "string",
            "description": "Handle of a run that still goes on or waits for approval: wait for it, or fetch its state.",
        },
        "session": {
            "type": "string",
            "description": "Handle of a session whose variables the plan sees. None: a new session.",
        },
        "mode": {
            "type": "string",
            "enum": ["run", "dry_run"],
            "default": "run",
            "description": "dry_run: reads are real, writes are only recorded.",
        },
        "wait_seconds": {
            "type": "number",
            "minimum": 0,
            "default": DEFAULT_WAIT_SECONDS,
            "description": "How long this call waits; the plan goes on after that and the answer holds a run handle.",
        },
        "timeout_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 300,
            "description": "Deadline of the whole plan.",
        },
        "max_chars": {
            "type": "integer",
            "minimum": 200,
            "default": DEFAULT_MAX_CHARS,
            "description": "Budget of the answer in characters.",
        },
    },
    "additionalProperties": False,
}


def _whole(value: object) -> object:
    """To JSON Schema, 2000.0 is an integer as well."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    code: str | None = None
    task: str | None = None
    run: str | None = None
    session: str | None = None
    mode: Literal["run", "dry_run"] | None = None
    wait_seconds: Annotated[float, Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)] | None = None
    max_chars: Annotated[int, Field(ge=200, le=100_000_000), BeforeValidator(_whole)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What one call of the tool asks for. Exactly one of `code`, `task` and `run` is set."""

    code: str | None = None
    task: str | None = None
    run: str | None = None
    session: str | None = None
    mode: Literal["run", "dry_run"] = "run"
    wait_seconds: float = DEFAULT_WAIT_SECONDS
    timeout_seconds: float | None = None
    """None: the configured deadline."""

    max_chars: int = DEFAULT_MAX_CHARS


class RequestError(Exception):
    """The arguments are wrong; `parameter` and `hint` say where and what to do."""

    def __init__(self, message: str, *, parameter: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.parameter = parameter
        self.hint = hint


def read_request(arguments: Mapping[str, Any] | None) -> PlanRequest:
    """Check the tool's arguments. Raises RequestError naming the argument."""
    try:
        read = _Arguments.model_validate(dict(arguments or {}))
    except ValidationError as error:
        raise _explain(error) from None
    given = {name: value for name, value in read if value is not None}
    _check_choice(given)
    if "code" in given:
        given["code"] = given["code"].removeprefix("\ufeff")  # what some editors begin a file with
    return PlanRequest(**given)


def _check_choice(given: Mapping[str, Any]) -> None:
    chosen = [name for name in ("code", "task", "run") if name in given]
    if not chosen:
        raise RequestError(
            "One of `code`, `task` and `run` is needed; none was given.",
            hint='Send a Python plan: {"code": "print(search_tools(\'what I need\'))"}.',
        )
    if len(chosen) > 1:
        names = " and ".join(f"`{name}`" for name in chosen)
        raise RequestError(f"Exactly one of `code`, `task` and `run` may be given, not {names}.", parameter=chosen[1])
    name = chosen[0]
    if not given[name].strip():
        raise RequestError(f"`{name}` is empty.", parameter=name, hint=f"Leave `{name}` out or fill it.")
    if name == "run" and "session" in given:
        raise RequestError("`session` does not go with `run`: a run knows its session.", parameter="session")


def _explain(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    properties = list(_Arguments.model_fields)
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, properties, n=1)
        valid = ", ".join(f"`{known}`" for known in properties)
        hint = f"Did you mean `{close[0]}`?" if close else f"The arguments are {valid}."
        return RequestError(f"There is no argument `{name}`.", parameter=name, hint=hint)
    wanted = first["msg"][0].lower() + first["msg"][1:]
    return RequestError(f"`{name}` is wrong: {wanted} (got {first['input']!r:.80}).", parameter=name)
