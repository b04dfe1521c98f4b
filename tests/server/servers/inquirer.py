"""An MCP server that wants to know things of a person in the middle of its calls, in either era.

inquirer.py [http PORT]
"""

import asyncio
import sys
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
    ToolAnnotations,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

server = MCPServer("inquirer")
READ = ToolAnnotations(read_only_hint=True)
FORM = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"]}
NESTED = {"type": "object", "properties": {"address": {"type": "object"}}}
later: set[asyncio.Task[None]] = set()
LOGIN = "https://example.com/login?who=you"


async def asked(context: Context, requests: dict[str, ElicitRequest]) -> dict[str, Any] | InputRequiredResult:
    """Return the answers, or in the newer era what has to be asked first."""
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        answers = context.input_responses
        if answers is None:
            return InputRequiredResult(input_requests=requests, request_state="mine")
        assert context.request_state == "mine"
        return {key: answer.model_dump(mode="json", exclude_none=True) for key, answer in answers.items()}
    found = {}
    for key, request in requests.items():
        answer = await context.session.send_request(request, ElicitResult)
        found[key] = answer.model_dump(mode="json", exclude_none=True)
    return found


def form(message: str, schema: dict[str, Any] = FORM) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


@server.tool(annotations=READ, structured_output=False)
async def greet(context: Context) -> Any:
    """Ask for a name and greet."""
    return await asked(context, {"who": form("What is your name?")})


@server.tool(annotations=READ, structured_output=False)
async def interview(context: Context) -> Any:
    """Ask two things."""
    return await asked(context, {"one": form("First?"), "two": form("Second?")})


@server.tool(annotations=READ, structured_output=False)
async def log_in(context: Context) -> Any:
    """Have a person visit a page."""
    url = ElicitRequestURLParams(message="Log in there.", url=LOGIN, elicitation_id="1")
    return await asked(context, {"go": ElicitRequest(params=url)})


@server.tool(annotations=READ, structured_output=False)
async def log_in_to_the_end(context: Context) -> Any:
    """Have a person visit a page, and hear when they are done there."""
    url = ElicitRequestURLParams(message="Log in there.", url=LOGIN, elicitation_id="page 1")
    answer = await context.session.send_request(ElicitRequest(params=url), ElicitResult)
    await context.session.send_elicit_complete("page 1")
    await context.session.send_elicit_complete("page 1")
    await context.session.send_elicit_complete("no page")
    return answer.action


@server.tool(annotations=READ, structured_output=False)
async def log_in_at_leisure(context: Context) -> Any:
    """Have a person visit a page, and hear long after the call when they are done there."""
    url = ElicitRequestURLParams(message="Log in there.", url=LOGIN, elicitation_id="page 2")
    answer = await context.session.send_request(ElicitRequest(params=url), ElicitResult)

    async def tell() -> None:
        await asyncio.sleep(0.5)
        await context.session.send_elicit_complete("page 2")

    later.add(asyncio.create_task(tell()))
    return answer.action


@server.tool(annotations=READ, structured_output=False)
async def pry(context: Context) -> Any:
    """Ask for something that no form can hold."""
    return await asked(context, {"where": form("Where?", NESTED)})


@server.tool(annotations=READ, structured_output=False)
async def fill(context: Context, field: dict[str, Any]) -> Any:
    """Ask for one field."""
    return await asked(context, {"form": form("Which?", {"type": "object", "properties": {"field": field}})})


@server.tool(annotations=READ)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        server.run("streamable-http", port=int(sys.argv[2]))
    else:
        server.run()
