"""The tools of the conformance suite that ask the host: within the call, or by a result that wants input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import mcp.types as types
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from mcp.server.context import ServerRequestContext

    Context: TypeAlias = ServerRequestContext[dict[str, Any]]
    Answer: TypeAlias = types.CallToolResult | types.InputRequiredResult
    Tool: TypeAlias = Callable[[Context, types.CallToolRequestParams], Awaitable[Answer]]

NAME = {"type": "string", "description": "User's name"}
FORMS: Mapping[str, dict[str, Any]] = {
    "test_elicitation": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "test_elicitation_sep1034_defaults": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "test_elicitation_sep1330_enums": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [
                {"const": "value1", "title": "First Option"},
                {"const": "value2", "title": "Second Option"},
                {"const": "value3", "title": "Third Option"},
            ],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": [
                    {"const": "value1", "title": "First Choice"},
                    {"const": "value2", "title": "Second Choice"},
                    {"const": "value3", "title": "Third Choice"},
                ]
            },
        },
    },
}
"""Tool → the fields of the form that it shows within the call."""


def form(message: str, **fields: Any) -> types.ElicitRequest:
    """Return a question with these fields, all of them wanted."""
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(text: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=100))


ROUNDS: Mapping[str, tuple[dict[str, types.InputRequest], ...]] = {
    "test_input_required_result_elicitation": ({"user_name": form("What is your name?", name=NAME)},),
    "test_input_required_result_sampling": ({"capital_question": sampling("What is the capital of France?")},),
    "test_input_required_result_list_roots": ({"client_roots": types.ListRootsRequest()},),
    "test_input_required_result_request_state": ({"confirm": form("Please confirm", ok={"type": "boolean"})},),
    "test_input_required_result_tampered_state": ({"confirm": form("Please confirm", ok={"type": "boolean"})},),
    "test_input_required_result_multiple_inputs": (
        {
            "user_name": form("What is your name?", name=NAME),
            "greeting": sampling("Generate a greeting"),
            "client_roots": types.ListRootsRequest(),
        },
    ),
    "test_input_required_result_multi_round": (
        {"step1": form("Step 1: What is your name?", name=NAME)},
        {"step2": form("Step 2: What is your favorite color?", color={"type": "string"})},
    ),
}
"""Tool → what it asks, round by round."""

STATELESS = {name for name in ROUNDS if name.endswith(("elicitation", "sampling", "list_roots"))}
"""They keep nothing from round to round."""


def question_tools() -> dict[str, Tool]:
    """Return every tool that asks."""
    return {
        **dict.fromkeys(FORMS, _show_form),
        **dict.fromkeys(ROUNDS, _ask_in_rounds),
        "test_input_required_result_capabilities": _ask_what_is_supported,
        "test_sampling": _sample,
        "test_streaming_elicitation": _stream,
    }


def text(what: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=what)])


async def missing_sampling(_: Context, __: types.CallToolRequestParams) -> types.CallToolResult:
    data = types.MissingRequiredClientCapabilityErrorData(
        required_capabilities=types.ClientCapabilities(sampling=types.SamplingCapability())
    )
    raise MCPError(
        types.MISSING_REQUIRED_CLIENT_CAPABILITY,
        "The client must be able to sample.",
        data.model_dump(by_alias=True, exclude_none=True),
    )


async def _show_form(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    fields = FORMS[params.name]
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    message = (params.arguments or {}).get("message", "Please fill in")
    reply = await context.session.elicit_form(message, schema, related_request_id=context.request_id)
    return text(f"Elicitation completed: action={reply.action}, content={json.dumps(reply.content)}")


async def _sample(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    message = types.SamplingMessage(
        role="user", content=types.TextContent(type="text", text=(params.arguments or {})["prompt"])
    )
    reply = await context.session.create_message(
        messages=[message], max_tokens=100, related_request_id=context.request_id
    )
    return text(f"LLM response: {reply.content}")


async def _ask_in_rounds(_: Context, params: types.CallToolRequestParams) -> Answer:
    rounds = ROUNDS[params.name]
    done = int(params.request_state or 0)
    answered = params.input_responses or {}
    if done < len(rounds) and not rounds[done].keys() - answered.keys():
        done += 1
    if done == len(rounds):
        return text(f"state-ok: {', '.join(map(repr, answered.values()))}")
    state = None if params.name in STATELESS else str(done)
    return types.InputRequiredResult(input_requests=rounds[done], request_state=state)


async def _ask_what_is_supported(context: Context, params: types.CallToolRequestParams) -> Answer:
    able = context.session.client_capabilities
    requests: dict[str, types.InputRequest] = {}
    if able is not None and able.sampling is not None:
        requests["question"] = sampling("What is the capital of France?")
    if able is not None and able.elicitation is not None:
        requests["name"] = form("What is your name?", name=NAME)
    if params.input_responses is not None or not requests:
        return text("done")
    return types.InputRequiredResult(input_requests=requests)


async def _stream(context: Context, _: types.CallToolRequestParams) -> Answer:
    await context.session.report_progress(0.5, 1.0, "half")
    return types.InputRequiredResult(input_requests={"name": form("What is your name?", name=NAME)})
