"""Planact: an MCP server with one tool that runs Python plans over all your other tools."""

__version__ = "0.1.0"
