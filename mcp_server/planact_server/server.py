"""The MCP surface: one tool, its list_changed, and the runs as resources; both protocol eras.

Nothing here knows how a plan runs. A plan that fails is a tool result with `isError`; a protocol error
means that Planact itself failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Any

import mcp.types as types
from mcp.server.lowlevel import Server
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from planact_server import __version__, elicitation
from planact_server.answer import is_error, shrink, value_at
from planact_server.blocks import content_block
from planact_server.executor import Executor, Reply, refusal
from planact_server.plain_json import is_large, json_text
from planact_server.progress import ProgressNotices
from planact_server.request import DEFAULT_MAX_CHARS, INPUT_SCHEMA, RequestError, read_request
from planact_server.runs import RunError, Runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp.server.context import ServerRequestContext
    from mcp.server.models import InitializationOptions
    from mcp.server.session import ServerSession

    from planact_server.content import Contents
    from planact_tools import JSONObject, JSONValue

logger = logging.getLogger(__name__)

TOOL_NAME = "run_python_actions"
LOCAL_CLIENT = "local"
"""Who asks over stdio or on the command line: the user's own account."""

CONTENT_BYTES = 8 * 1024 * 1024
"""Most bytes of images, sounds and files that one answer carries."""

MOST_CLIENTS = 1_000
"""Clients of the older protocol that are told of changes."""

NOTIFY_SECONDS = 5.0

WARM_UP_SECONDS = 0.05
"""From the first answer to starting what the first plan will need."""

INSTRUCTIONS = (
    "Send one Python plan to run_python_actions instead of many tool calls: every connected tool is a function in it."
)


class _ChangingServer(Server[dict[str, Any]]):
    """Says on every transport that its list of tools may change; the SDK asks for it only over stdio."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *args: Any, **options: Any
    ) -> InitializationOptions:
        changing = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(changing, *args, **options)


class PlanactServer:
    """The low-level MCP server around an executor."""

    def __init__(
        self, executor: Executor, runs: Runs, *, describe: Callable[[], str], warm_up: Callable[[], None]
    ) -> None:
        self._executor = executor
        self._runs = runs
        self._describe = describe
        self._warm_up = warm_up
        self._described = ""
        self._bus = InMemorySubscriptionBus()
        self._legacy: dict[str, ServerSession] = {}
        self.mcp: Server[dict[str, Any]] = _ChangingServer(
            "planact",
            version=__version__,
            title="Planact",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_subscriptions_listen=ListenHandler(self._bus),
        )
        self.mcp.middleware.append(elicitation.sealing(client_of))

    def initialization(self) -> InitializationOptions:
        return self.mcp.create_initialization_options()

    async def tools_changed(self) -> None:
        """Tell every client, if the tool's description is not what they were told last."""
        described = self._describe()
        if described == self._described:
            return
        self._described = described
        await self._bus.publish(ToolsListChanged())
        await asyncio.gather(*(self._notify(client, session) for client, session in self._legacy.items()))

    async def _notify(self, client: str, session: ServerSession) -> None:
        try:
            async with asyncio.timeout(NOTIFY_SECONDS):
                await session.send_tool_list_changed()
        except TimeoutError:  # a host that does not read must not hold up the others
            logger.info("client %s does not listen and is told of no more changes", client)
            self._legacy.pop(client, None)

    async def _list_tools(
        self, context: ServerRequestContext[dict[str, Any]], _: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            self._remember(client_of(context), context.session)
        self._described = self._describe()
        tool = types.Tool(
            name=TOOL_NAME,
            title="Run Python actions",
            description=self._described,
            input_schema=INPUT_SCHEMA,
            annotations=types.ToolAnnotations(
                title="Run Python actions", read_only_hint=False, destructive_hint=True, open_world_hint=True
            ),
        )
        # Once this answer is out; starting servers and workers would hold it up.
        asyncio.get_running_loop().call_later(WARM_UP_SECONDS, self._warm_up)
        return types.ListToolsResult(tools=[tool])

    def _remember(self, client: str, session: ServerSession) -> None:
        """Keep the newest clients; the SDK does not say when one has gone."""
        self._legacy.pop(client, None)
        self._legacy[client] = session
        if len(self._legacy) > MOST_CLIENTS:
            del self._legacy[next(iter(self._legacy))]

    async def _call_tool(
        self, context: ServerRequestContext[dict[str, Any]], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name != TOOL_NAME:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool {params.name!r}; this server has only {TOOL_NAME!r}.")
        try:
            request = read_request(params.arguments)
        except RequestError as error:
            return _result(Reply(answer=refusal(error)), DEFAULT_MAX_CHARS)
        begun = elicitation.begun(params)
        rounds = 0 if begun is None else begun.rounds
        notices = ProgressNotices(context.session.report_progress)
        owner = client_of(context) if _is_told_apart(context) else None
        host = elicitation.host_of(context, rounds=rounds, owner=owner)
        try:
            reply = await self._executor.execute(
                request,
                client=client_of(context),
                listener=notices.report,
                host=host,
                begun=begun,
            )
            await notices.finish()
        finally:
            notices.give_up()
            host.leave()
        if reply.run is not None and reply.questions:
            return elicitation.asking(reply.run, reply.questions, rounds=rounds)
        if is_large(reply.answer):  # a plan's values may be anything, and other clients wait meanwhile
            return await asyncio.to_thread(_result, reply, request.max_chars)
        return _result(reply, request.max_chars)

    async def _list_resources(
        self, context: ServerRequestContext[dict[str, Any]], _: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        recent = self._runs.recent(client_of(context)) if _is_told_apart(context) else []
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=f"planact://runs/{run.handle}", name=run.handle, mime_type="application/json")
                for run in recent
            ]
        )

    async def _list_templates(
        self, _: ServerRequestContext[dict[str, Any]], __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            uri_template="planact://runs/{run}/{+path}",
            name="run",
            description="The whole answer of a run, or the part of it at a path such as variables/rows.",
            mime_type="application/json",
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def _read_resource(
        self, context: ServerRequestContext[dict[str, Any]], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        try:
            value = read_run(self._runs, uri, client_of(context))
        except RunError as error:
            raise MCPError(types.INVALID_PARAMS, str(error), {"uri": uri}) from None
        text = value if isinstance(value, str) else await asyncio.to_thread(json_text, value)
        mime = "text/plain" if isinstance(value, str) else "application/json"
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=mime, text=text)])


def read_run(runs: Runs, uri: str, client: str) -> JSONValue:
    """Return the part of a run's whole answer that `planact://runs/RUN/PATH` names. Raises RunError."""
    prefix = "planact://runs/"
    if not uri.startswith(prefix):
        raise RunError(f"There is no resource {uri!r}; runs are at {prefix}RUN.")
    handle, _, path = uri.removeprefix(prefix).partition("/")
    run = runs.get(handle, client)
    value: JSONValue = run.answer if run.answer is not None else (run.snapshot() if run.snapshot else None)
    try:
        return value_at(value, path)
    except LookupError as error:
        raise RunError(f"{uri!r}: {error}") from None


def client_of(context: ServerRequestContext[dict[str, Any]]) -> str:
    """Return who asks, as far as the transport tells: handles belong to one client."""
    request = context.request
    if request is None:
        return LOCAL_CLIENT
    session = request.headers.get("mcp-session-id")
    # Only in the older protocol has the transport given this name to the session, and so knows it to be its own.
    if session and context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return f"http:{session}"
    token = request.headers.get("authorization", "")
    return f"http:{hashlib.sha256(token.encode()).hexdigest()[:16]}"


def _is_told_apart(context: ServerRequestContext[dict[str, Any]]) -> bool:
    """Say whether `client_of` is one client: over HTTP without sessions nothing but a handle tells them apart."""
    return context.request is None or context.protocol_version not in MODERN_PROTOCOL_VERSIONS


def _result(reply: Reply, max_chars: int) -> types.CallToolResult:
    answer = reply.answer
    run = answer.get("run")
    short = shrink(answer, max_chars, link=lambda path: f"planact://runs/{run}/{path}")
    text = types.TextContent(type="text", text=json_text(short))
    blocks = _content_blocks(answer, reply.session.contents) if reply.session is not None else []
    return types.CallToolResult(
        content=[text, *blocks], structured_content=short, is_error=is_error(str(answer["status"]))
    )


def _content_blocks(answer: JSONObject, contents: Contents) -> list[types.ContentBlock]:
    """Return the images and sounds that the result refers to, or the variables where the result has none."""
    handles = contents.handles_in(answer.get("result")) or contents.handles_in(answer.get("variables"))
    blocks: list[types.ContentBlock] = []
    room = CONTENT_BYTES
    for handle in handles:
        attachment = contents.attachment(handle)
        room -= len(attachment.data)
        if room < 0:
            break
        blocks.append(content_block(attachment, uri=f"planact://content/{handle}"))
    return blocks
