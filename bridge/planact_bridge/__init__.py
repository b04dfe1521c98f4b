"""Other MCP servers as toolsets."""
