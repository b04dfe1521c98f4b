"""What a tool is, and the tools that Planact ships."""

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
)

__all__ = [
    "Attachment",
    "JSONObject",
    "JSONValue",
    "Progress",
    "ToolCall",
    "ToolDefinition",
    "ToolError",
    "ToolResult",
    "Toolset",
]
