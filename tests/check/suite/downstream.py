"""The MCP server whose tools the conformance suite's plans call."""

import base64

from mcp.server.mcpserver import Audio, Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import BlobResourceContents, ContentBlock, EmbeddedResource, TextContent, ToolAnnotations

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = base64.b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=")
READ = ToolAnnotations(read_only_hint=True)
server = MCPServer("suite")


@server.tool(annotations=READ)
def text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


@server.tool(annotations=READ)
def image() -> Image:
    """Return an image."""
    return Image(data=PNG, format="png")


@server.tool(annotations=READ)
def audio() -> Audio:
    """Return a sound."""
    return Audio(data=WAV, format="wav")


@server.tool(annotations=READ)
def document() -> EmbeddedResource:
    """Return a resource."""
    contents = BlobResourceContents(
        uri="test://document", mime_type="application/pdf", blob=base64.b64encode(b"%PDF-1.7").decode()
    )
    return EmbeddedResource(type="resource", resource=contents)


@server.tool(annotations=READ)
def mixed() -> list[ContentBlock]:
    """Return a text, an image and a resource."""
    return [TextContent(type="text", text="Multiple content types test:"), image().to_image_content(), document()]


@server.tool(annotations=READ)
def fail() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@server.tool(annotations=READ)
async def slow(context: Context) -> str:
    """Say three times how far it is."""
    for step in (0, 50, 100):
        await context.report_progress(step, 100, f"step {step}")
    return "done"


if __name__ == "__main__":
    server.run("stdio")
