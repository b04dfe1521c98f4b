"""Other MCP servers as toolsets."""

from planact_bridge.downstream import Downstream
from planact_bridge.eras import Era, Eras
from planact_bridge.itself import INSIDE
from planact_bridge.link import Deadlines
from planact_bridge.listing import SkippedTool
from planact_bridge.mcp_json import McpFile, McpProblem, read_mcp_json
from planact_bridge.questions import ELICITATION, NOBODY, Person, QuestionRefused
from planact_bridge.server_files import ServerFiles
from planact_bridge.specs import HttpSpec, OAuthClient, ServerSpec, StdioSpec
from planact_bridge.status import Counters, DownstreamStatus
from planact_bridge.translate import wraps_result

__all__ = [
    "ELICITATION",
    "INSIDE",
    "NOBODY",
    "Counters",
    "Deadlines",
    "Downstream",
    "DownstreamStatus",
    "Era",
    "Eras",
    "HttpSpec",
    "McpFile",
    "McpProblem",
    "OAuthClient",
    "Person",
    "QuestionRefused",
    "ServerFiles",
    "ServerSpec",
    "SkippedTool",
    "StdioSpec",
    "read_mcp_json",
    "wraps_result",
]
