"""A server of which there are several releases: its one tool is what a file says when it starts.

changing.py FILE: JSON with "tool", "parameter" and "read". Each call adds a line to FILE.called.
"""

import json
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

release = Path(sys.argv[1])
facts: dict[str, Any] = json.loads(release.read_text())
server = MCPServer("changing")


def note(value: str) -> str:
    with release.with_suffix(".called").open("a") as file:
        file.write(f"{facts['tool']}({facts['parameter']}={value})\n")
    return value


scope: dict[str, Any] = {"note": note}
exec(f"def {facts['tool']}({facts['parameter']}: str = 'x') -> str:\n    return note({facts['parameter']})", scope)
server.tool(annotations=ToolAnnotations(read_only_hint=facts["read"]))(scope[facts["tool"]])

if __name__ == "__main__":
    server.run()
