"""What the conformance suite asks of a server under test, offered beside Planact's own tool.

What a plan can bring about (content of every kind, an error, progress) is a plan that Planact runs. What Planact has
no use for (prompts, completion, sampling, log messages) is answered here, through Planact's transport and sessions.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import mcp.types as types
from mcp.server.subscriptions import PromptsListChanged, ToolsListChanged

from check.suite.asking import missing_sampling, question_tools, text
from check.suite.downstream import PNG
from check.suite.prompts import offer_prompts

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from planact_server.server import PlanactServer

    Context = ServerRequestContext[dict[str, Any]]

PLANS = {
    "test_simple_text": "text()",
    "test_image_content": "image()",
    "test_audio_content": "audio()",
    "test_embedded_resource": "document()",
    "test_multiple_content_types": "mixed()",
    "test_error_handling": "fail()",
    "test_tool_with_progress": "slow()",
}
"""Tool → the plan that it stands for."""

SCHEMA_TOOL = types.Tool(
    name="json_schema_2020_12_tool",
    description="Keeps every keyword of its schema.",
    input_schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
HEADER_TOOL = types.Tool(
    name="test_custom_headers",
    description="Takes an argument that travels in a header too.",
    input_schema={
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
)
RESOURCES = {
    "test://static-text": "This is the content of the static text resource.",
    "test://static-binary": PNG,
    "test://watched-resource": "Watched resource content",
}


def offer(server: PlanactServer) -> None:
    """Add what the suite asks for; a request for anything else is Planact's own."""
    mcp = server.mcp
    tools = _Tools(server)
    mcp.add_request_handler("tools/list", types.PaginatedRequestParams, tools.list)
    mcp.add_request_handler("tools/call", types.CallToolRequestParams, tools.call)
    resources = _Resources(server)
    mcp.add_request_handler("resources/list", types.PaginatedRequestParams, resources.list)
    mcp.add_request_handler("resources/templates/list", types.PaginatedRequestParams, resources.templates)
    mcp.add_request_handler("resources/read", types.ReadResourceRequestParams, resources.read)
    mcp.add_request_handler("resources/subscribe", types.SubscribeRequestParams, _accept)
    mcp.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, _accept)
    mcp.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _accept)
    offer_prompts(mcp)


async def _accept(_: Context, __: object) -> types.EmptyResult:
    return types.EmptyResult()


class _Tools:
    def __init__(self, server: PlanactServer) -> None:
        self._bus = server._bus
        self._list = server._list_tools
        self._run = server._call_tool
        self._direct = {
            **question_tools(),
            "test_missing_capability": missing_sampling,
            "test_tool_with_logging": _logging,
            "test_logging_tool": _logging,
            "test_reconnection": _reconnection,
            "test_trigger_tool_change": self._change_tools,
            "test_trigger_prompt_change": self._change_prompts,
            "test_custom_headers": _custom_headers,
        }

    async def list(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        own = await self._list(context, params)
        names = [name for name in (*PLANS, *self._direct) if name != HEADER_TOOL.name]
        simple = [types.Tool(name=name, description=name, input_schema={"type": "object"}) for name in names]
        return types.ListToolsResult(tools=[*own.tools, SCHEMA_TOOL, HEADER_TOOL, *simple])

    async def call(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if (code := PLANS.get(params.name)) is not None:
            plan = params.model_copy(update={"name": "run_python_actions", "arguments": {"code": code}})
            return await self._run(context, plan)
        if (tool := self._direct.get(params.name)) is not None:
            return await tool(context, params)
        return await self._run(context, params)

    async def _change_tools(self, _: Context, __: types.CallToolRequestParams) -> types.CallToolResult:
        await self._bus.publish(ToolsListChanged())
        return text("changed")

    async def _change_prompts(self, _: Context, __: types.CallToolRequestParams) -> types.CallToolResult:
        await self._bus.publish(PromptsListChanged())
        return text("changed")


async def _custom_headers(_: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    return text(json.dumps(params.arguments))


async def _logging(context: Context, _: types.CallToolRequestParams) -> types.CallToolResult:
    for what in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.session.send_log_message("info", what, related_request_id=context.request_id)
    return text("logged")


async def _reconnection(context: Context, _: types.CallToolRequestParams) -> types.CallToolResult:
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    return text("Reconnection test completed")


class _Resources:
    def __init__(self, server: PlanactServer) -> None:
        self._list = server._list_resources
        self._templates = server._list_templates
        self._read = server._read_resource

    async def list(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        own = await self._list(context, params)
        ours = [types.Resource(uri=uri, name=uri) for uri in RESOURCES]
        return types.ListResourcesResult(resources=[*ours, *own.resources])

    async def templates(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        own = await self._templates(context, params)
        ours = types.ResourceTemplate(uri_template="test://template/{id}/data", name="template")
        return types.ListResourceTemplatesResult(resource_templates=[ours, *own.resource_templates])

    async def read(self, context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        if (found := re.fullmatch(r"test://template/([^/]+)/data", uri)) is not None:
            data = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
            contents = types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(data))
        elif isinstance(content := RESOURCES.get(uri), bytes):
            contents = types.BlobResourceContents(
                uri=uri, mime_type="image/png", blob=base64.b64encode(content).decode()
            )
        elif content is not None:
            contents = types.TextResourceContents(uri=uri, mime_type="text/plain", text=content)
        else:
            return await self._read(context, params)
        return types.ReadResourceResult(contents=[contents])
