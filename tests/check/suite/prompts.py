"""The prompts that the conformance suite asks a server for."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import mcp.types as types
from mcp.shared.exceptions import MCPError

from check.suite.asking import form
from check.suite.downstream import PNG

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server

PROMPTS = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}
"""Prompt → its arguments."""


def offer_prompts(mcp: Server[dict[str, Any]]) -> None:
    """Add the prompts, and completion of their arguments."""
    mcp.add_request_handler("prompts/list", types.PaginatedRequestParams, _list)
    mcp.add_request_handler("prompts/get", types.GetPromptRequestParams, _get)
    mcp.add_request_handler("completion/complete", types.CompleteRequestParams, _complete)


async def _list(_: ServerRequestContext[dict[str, Any]], __: object) -> types.ListPromptsResult:
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=name,
                description=name,
                arguments=[types.PromptArgument(name=each, description=each, required=True) for each in arguments],
            )
            for name, arguments in PROMPTS.items()
        ]
    )


async def _complete(
    _: ServerRequestContext[dict[str, Any]], params: types.CompleteRequestParams
) -> types.CompleteResult:
    return types.CompleteResult(completion=types.Completion(values=[f"{params.argument.value}ing"]))


async def _get(
    _: ServerRequestContext[dict[str, Any]], params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _prompt(_text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            return _prompt(_text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"))
        case "test_prompt_with_embedded_resource":
            resource = types.TextResourceContents(
                uri=given["resourceUri"], mime_type="text/plain", text="Embedded resource content for testing."
            )
            embedded = types.EmbeddedResource(type="resource", resource=resource)
            return _prompt(embedded, _text("Please process the embedded resource above."))
        case "test_prompt_with_image":
            data = base64.b64encode(PNG).decode()
            image = types.ImageContent(type="image", data=data, mime_type="image/png")
            return _prompt(image, _text("Please analyze the image above."))
        case "test_input_required_result_prompt":
            if params.input_responses is None:
                question = form("What context should the prompt use?", context={"type": "string"})
                return types.InputRequiredResult(input_requests={"user_context": question})
            return _prompt(_text(f"Prompt with context: {params.input_responses}"))
        case unknown:
            raise MCPError(types.INVALID_PARAMS, f"There is no prompt {unknown!r}.")


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _prompt(*contents: types.ContentBlock) -> types.GetPromptResult:
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content) for content in contents])
