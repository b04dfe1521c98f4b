"""A toolset as an MCP server of its own, over stdio: `planact packs serve calendar`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import mcp.types as types
from mcp.server.lowlevel import Server

from planact_server import __version__
from planact_server.blocks import content_block
from planact_tools import Attachment, JSONObject, JSONValue, ToolCall, ToolDefinition, ToolError, Toolset

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.shared._stream_protocols import ReadStream, WriteStream
    from mcp.shared.message import SessionMessage


async def serve_pack(
    toolset: Toolset, read: ReadStream[SessionMessage | Exception], write: WriteStream[SessionMessage]
) -> None:
    """Serve a toolset to one client until it closes the streams."""
    server = pack_server(toolset)
    try:
        await server.run(read, write, server.create_initialization_options())
    finally:
        await toolset.aclose()


def pack_server(toolset: Toolset) -> Server[dict[str, Any]]:
    """Return the MCP server over a toolset."""

    async def list_tools(
        _: ServerRequestContext[dict[str, Any]], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(definition) for definition in await toolset.definitions()])

    async def call_tool(
        context: ServerRequestContext[dict[str, Any]], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        async def progress(text: str, fraction: float | None) -> None:
            await context.session.report_progress(fraction or 0.0, 1.0 if fraction is not None else None, text)

        definitions = {definition.name: definition for definition in await toolset.definitions()}
        try:
            result = await toolset.call(ToolCall(name=params.name, arguments=params.arguments or {}), progress=progress)
        except ToolError as error:
            return types.CallToolResult(content=[types.TextContent(type="text", text=error.message)], is_error=True)
        definition = definitions.get(params.name)
        return _result(result.value, result.attachments, wrap=definition is not None and _wrapped(definition))

    return Server(toolset.name, version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def _tool(definition: ToolDefinition) -> types.Tool:
    return types.Tool(
        name=definition.name,
        title=definition.title,
        description=definition.description,
        input_schema=dict(definition.input_schema),
        output_schema=_output_schema(definition),
        annotations=types.ToolAnnotations(
            title=definition.title,
            read_only_hint=definition.read_only,
            destructive_hint=definition.destructive,
            idempotent_hint=definition.idempotent,
            open_world_hint=definition.open_world,
        ),
    )


def _wrapped(definition: ToolDefinition) -> bool:
    """MCP wants an object: any other kind of result travels as {"result": value}."""
    return definition.output_schema is not None and definition.output_schema.get("type") != "object"


def _output_schema(definition: ToolDefinition) -> JSONObject | None:
    schema = definition.output_schema
    if schema is None:
        return None
    if not _wrapped(definition):
        return dict(schema)
    inner = dict(schema)
    shared = {key: inner.pop(key) for key in ("$defs",) if key in inner}
    return {"type": "object", "properties": {"result": inner}, "required": ["result"], **shared}


def _result(value: JSONValue, attachments: tuple[Attachment, ...], *, wrap: bool) -> types.CallToolResult:
    structured: JSONObject | None = {"result": value} if wrap else value if isinstance(value, dict) else None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    blocks.extend(content_block(attachment, uri="planact://attachment") for attachment in attachments)
    return types.CallToolResult(content=blocks, structured_content=structured)
