"""What a Python function's signature says about it as a tool.

Owns the way from annotations and docstring to JSON Schema, from JSON arguments to Python values, and
from a returned Python value to JSON; Pydantic does the work of all three.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaWarningKind
from pydantic_core import ErrorDetails, PydanticSerializationError, to_jsonable_python

from planact_tools.docstring import Docstring, parse_docstring
from planact_tools.toolset import JSONObject, JSONValue, Progress, ToolError, ToolResult

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SHOWN_INPUT = 80
_SHOWN_ERRORS = 5
# As strings, which they are in `toolset`, they would be evaluated without end. What arrives is JSON anyway.
_JSON_TYPES: dict[str, Any] = {"JSONValue": Any, "JSONObject": dict[str, Any]}
_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional only",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments",
    inspect.Parameter.VAR_KEYWORD: "takes any keyword",
}


class ToolDefinitionError(Exception):
    """A function cannot be a tool as it is written; the message names the function and the parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A function's parameters and result as JSON Schema, and the conversions that go with them."""

    function: str
    description: str
    input_schema: JSONObject
    output_schema: JSONObject | None
    """Schema of the value itself. None where nothing is known of it."""

    takes_self: bool
    progress_parameter: str | None
    """Name of the parameter annotated `Progress`: it is no argument, the caller's receiver is passed there."""

    _arguments: type[BaseModel]
    _parameters: tuple[str, ...]
    _result: TypeAdapter[Any] | None

    @classmethod
    def read(cls, function: Callable[..., object]) -> Self:
        """Read a function. Raises ToolDefinitionError."""
        name = function.__name__
        docstring = parse_docstring(function.__doc__)
        parameters = dict(inspect.signature(function).parameters)
        takes_self = next(iter(parameters), None) == "self"
        if takes_self:
            del parameters["self"]
        types = {key: _annotation(function, parameter) for key, parameter in parameters.items()}
        progress = _progress_parameter(function, types)
        _check_documented(name, docstring, parameters)
        fields = {
            key: _field(name, parameter, types[key], docstring.parameters.get(key))
            for key, parameter in parameters.items()
            if key != progress
        }
        arguments = _arguments_model(fields)
        output_schema, result = _read_result(function)
        return cls(
            function=name,
            description=docstring.text,
            input_schema=_input_schema(name, arguments),
            output_schema=output_schema,
            takes_self=takes_self,
            progress_parameter=progress,
            _arguments=arguments,
            _parameters=tuple(fields),
            _result=result,
        )

    def bind(self, tool: str, arguments: Mapping[str, JSONValue]) -> dict[str, object]:
        """Return Python keyword arguments for JSON ones. Raises ToolError naming the parameter."""
        try:
            model = self._arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise ToolError(self._explain(tool, error)) from None
        return {name: getattr(model, _field_name(number)) for number, name in enumerate(self._parameters)}

    def convert(self, tool: str, value: object) -> ToolResult:
        """Return a result as JSON. Raises ToolError when it is not what the function declares."""
        if isinstance(value, ToolResult):
            return value
        try:
            if self._result is None:
                return ToolResult(value=to_jsonable_python(value))
            return ToolResult(value=self._result.dump_python(value, mode="json", warnings="error"))
        except (PydanticSerializationError, ValueError) as error:
            shown = _shorten(repr(value))
            raise ToolError(f"Tool {tool!r} returned {shown}, which is not what it declares: {error}") from error

    def _explain(self, tool: str, error: ValidationError) -> str:
        details = error.errors(include_url=False)
        sentences = [self._explain_one(detail) for detail in details[:_SHOWN_ERRORS]]
        if len(details) > _SHOWN_ERRORS:
            sentences.append(f"{len(details) - _SHOWN_ERRORS} more problems.")
        return f"Tool {tool!r}: {' '.join(sentences)}"

    def _explain_one(self, detail: ErrorDetails) -> str:
        name, *inside = detail["loc"]
        if detail["type"] == "missing" and not inside:
            return f"parameter {name!r} is missing."
        if detail["type"] == "extra_forbidden" and not inside:
            close = difflib.get_close_matches(str(name), self._parameters, n=1)
            valid = f"Did you mean {close[0]!r}?" if close else f"Its parameters: {', '.join(self._parameters)}."
            return f"there is no parameter {name!r}. {valid if self._parameters else 'It takes none.'}"
        where = f"parameter {name!r}" + "".join(f"[{key!r}]" for key in inside)
        return f"{where}: {detail['msg'].removeprefix('Value error, ')} (got {_shorten(repr(detail['input']))})."


class _JsonSchema(GenerateJsonSchema):
    """Leaves out the titles that only repeat a parameter's name, and fails where the default only warns."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - the base class's signature
        return False

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        raise PydanticInvalidForJsonSchema(f"{detail} ({kind})")


def _annotation(function: Callable[..., object], parameter: inspect.Parameter) -> Any:
    what = f"Parameter {parameter.name!r} of tool {function.__name__!r}"
    if parameter.kind in _KINDS:
        raise ToolDefinitionError(f"{what} {_KINDS[parameter.kind]}: name each argument, tools are called by keyword.")
    if parameter.annotation is inspect.Parameter.empty:
        raise ToolDefinitionError(f"{what} has no type. Write `{parameter.name}: str`, for example.")
    return _evaluate(function, parameter.annotation, what)


def _evaluate(function: Callable[..., object], annotation: object, what: str) -> Any:
    # One annotation at a time: typing evaluates all or none and does not say which one failed.
    holder = SimpleNamespace(__annotations__={"it": annotation})
    scope: dict[str, Any] = dict(getattr(inspect.unwrap(function), "__globals__", {}))
    scope |= {name: json_type for name, json_type in _JSON_TYPES.items() if isinstance(scope.get(name, ""), str)}
    if annotation == JSONValue:
        return Any
    try:
        return typing.get_type_hints(holder, globalns=scope, include_extras=True)["it"]
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise ToolDefinitionError(f"{what}: its type {annotation!r} cannot be read: {error}.") from error


def _progress_parameter(function: Callable[..., object], types: Mapping[str, Any]) -> str | None:
    found = next(
        (key for key, annotation in types.items() if Progress in (annotation, *typing.get_args(annotation))), None
    )
    if found is not None and not inspect.iscoroutinefunction(function):
        raise ToolDefinitionError(
            f"Parameter {found!r} of tool {function.__name__!r} is a Progress, which is awaited: "
            "make the function `async def`."
        )
    return found


def _check_documented(name: str, docstring: Docstring, parameters: Mapping[str, object]) -> None:
    for documented in docstring.parameters:
        if documented not in parameters:
            close = difflib.get_close_matches(documented, parameters, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ToolDefinitionError(f"The docstring of tool {name!r} has no such parameter: {documented!r}.{hint}")


def _field(name: str, parameter: inspect.Parameter, annotation: Any, documented: str | None) -> tuple[Any, Any]:
    """Return the parameter as `create_model` takes a field, after checking it by itself."""
    own = parameter.default if isinstance(parameter.default, FieldInfo) else FieldInfo.from_annotation(annotation)
    described = Field(alias=own.alias or parameter.name, description=own.description or documented)
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    field = (Annotated[annotation, described], default)
    try:
        _arguments_model({parameter.name: field}).model_json_schema(schema_generator=_JsonSchema)
    except Exception as error:
        # Pydantic has no common class for these: bad types, bad constraints and bad defaults all differ.
        reason = str(error).splitlines()[0]
        raise ToolDefinitionError(
            f"Parameter {parameter.name!r} of tool {name!r} cannot be described in JSON Schema: "
            f"its type is {parameter.annotation!r}. {reason}"
        ) from error
    return field


def _field_name(number: int) -> str:
    """A name that no attribute of BaseModel has; the parameter's own name is the alias."""
    return f"parameter_{number}"


def _arguments_model(fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    definitions: dict[str, Any] = {_field_name(number): field for number, field in enumerate(fields.values())}
    return create_model("Arguments", __config__=ConfigDict(extra="forbid"), **definitions)


def _input_schema(name: str, arguments: type[BaseModel]) -> JSONObject:
    schema = _json_schema(TypeAdapter(arguments), mode="validation", what=f"The parameters of tool {name!r}")
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return schema


def _read_result(function: Callable[..., object]) -> tuple[JSONObject | None, TypeAdapter[Any] | None]:
    annotation = inspect.signature(function).return_annotation
    if annotation is inspect.Signature.empty:
        return None, None
    what = f"The result of tool {function.__name__!r}"
    evaluated = _evaluate(function, annotation, what)
    if evaluated in (Any, ToolResult):
        return None, None
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(evaluated)
    except Exception as error:  # as for parameters: Pydantic has no common class
        reason = str(error).splitlines()[0]
        raise ToolDefinitionError(
            f"{what} cannot be described in JSON Schema: its type is {annotation!r}. {reason}"
        ) from error
    return _json_schema(adapter, mode="serialization", what=what), adapter


def _json_schema(adapter: TypeAdapter[Any], *, mode: JsonSchemaMode, what: str) -> JSONObject:
    try:
        return adapter.json_schema(mode=mode, schema_generator=_JsonSchema)
    except PydanticInvalidForJsonSchema as error:
        reason = str(error).splitlines()[0]
        raise ToolDefinitionError(f"{what} cannot be described in JSON Schema: {reason}") from error


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_INPUT else f"{text[: _SHOWN_INPUT - 1]}…"
