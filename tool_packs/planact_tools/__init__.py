"""What a tool is, and the tools that Planact ships."""

from planact_tools.loading import LoadedPacks, PackError, load_pack, load_packs
from planact_tools.pack import Lifespan, Pack, bound_tools
from planact_tools.packs import ShippedPack, shipped_packs
from planact_tools.signature import ToolDefinitionError
from planact_tools.tool import Tool, tool
from planact_tools.toolset import (
    Attachment,
    JSONObject,
    JSONValue,
    Progress,
    ToolCall,
    ToolDefinition,
    ToolError,
    ToolResult,
    Toolset,
    message_of,
)

__all__ = [
    "Attachment",
    "JSONObject",
    "JSONValue",
    "Lifespan",
    "LoadedPacks",
    "Pack",
    "PackError",
    "Progress",
    "ShippedPack",
    "Tool",
    "ToolCall",
    "ToolDefinition",
    "ToolDefinitionError",
    "ToolError",
    "ToolResult",
    "Toolset",
    "bound_tools",
    "load_pack",
    "load_packs",
    "message_of",
    "shipped_packs",
    "tool",
]
